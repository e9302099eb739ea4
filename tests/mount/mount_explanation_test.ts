// SPDX-License-Identifier: Apache-2.0

/** What a refused mount says, for refusals that a real kernel makes. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { ERRNO, failure, SyscallError } from "../../ffi/errno.ts";
import { StorageError } from "../../lib/errors.ts";
import { mountFailed } from "../../lib/mount/mount_explanation.ts";
import type { OverlayMount } from "../../lib/mount/overlay.ts";
import { type MountApi, mountOverlay } from "../../lib/mount/overlay_mount.ts";
import { unmountLazily } from "../../lib/mount/unmount.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run, runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay];
const APIS: readonly MountApi[] = ["new", "classic", "from"];

interface Layers {
  overlay: OverlayMount & { upper: { upperDir: string; workDir: string } };
  target: string;
}

async function makeLayers(directory: TempDir, at: string): Promise<Layers> {
  const [lower, upperDir, workDir, target] = await Promise.all(
    ["lower", "upper", "work", "merged"].map((name) => directory.mkdir(`${at}/${name}`)),
  );
  const upper = { upperDir: upperDir!, workDir: workDir! };
  return { overlay: { lowerDirs: [lower!], upper, options: [] }, target: target! };
}

/** Fails unless the mount is refused with `errno`, and says each of `says`; returns the error. */
function assertRefused(
  overlay: OverlayMount,
  target: string,
  api: MountApi,
  errno: string,
  says: string[],
): StorageError {
  const error = assertThrows(() => mountOverlay(overlay, target, api), StorageError);
  assertEquals(error.code, "mount_failed");
  assert(error.cause instanceof SyscallError);
  assertEquals(error.cause.code, errno, error.message);
  for (const part of [errno, target, ...says]) assertStringIncludes(error.message, part);
  assert(error.hint !== undefined && error.hint !== "");
  return error;
}

for (const api of APIS) {
  testNeeding(NEEDS, `by ${api} a missing layer, and a link to none, is named`, async () => {
    await using directory = await TempDir.make();
    const { overlay, target } = await makeLayers(directory, "x");
    const [gone, link, loop, file] = ["gone", "link", "loop", "file"].map((name) => directory.join(name));
    await Deno.symlink("../web/diff", link!);
    await Deno.symlink("loop", loop!);
    await Deno.writeTextFile(file!, "");
    const refused = (path: string, errno: string, says: string): StorageError =>
      assertRefused({ ...overlay, lowerDirs: [...overlay.lowerDirs, path] }, target, api, errno, [says]);
    refused(gone!, "ENOENT", `${gone} is missing`);
    refused(link!, "ENOENT", `the link ${link} leads to ../web/diff`);
    refused(loop!, "ELOOP", `the link ${loop} leads to loop`);
    refused(file!, "EINVAL", `${file} is no directory`);
  });

  testNeeding(NEEDS, `by ${api} directories in use are told with the mount that holds them`, async () => {
    await using directory = await TempDir.make();
    const { overlay, target } = await makeLayers(directory, "x");
    const other = await directory.mkdir("other");
    mountOverlay({ ...overlay, options: ["index=on"] }, target, api);
    const { hint } = assertRefused({ ...overlay, options: ["index=on"] }, other, api, "EBUSY", [
      `${overlay.upper.upperDir} is in use by the mount at ${target}`,
    ]);
    assertStringIncludes(hint ?? "", `umount ${target}`);
  });

  testNeeding(NEEDS, `by ${api} an upper directory of other lower layers is explained`, async () => {
    await using directory = await TempDir.make();
    const { overlay, target } = await makeLayers(directory, "x");
    mountOverlay({ ...overlay, options: ["index=on"] }, target, api);
    unmountLazily(target);
    const lowerDirs = [await directory.mkdir("other")];
    assertRefused({ ...overlay, lowerDirs, options: ["index=on"] }, target, api, "ESTALE", ["other lower layers"]);
  });

  testNeeding(NEEDS, `by ${api} a layer that is there twice is named, and one inside another`, async () => {
    await using directory = await TempDir.make();
    const { overlay, target } = await makeLayers(directory, "x");
    const [lower] = overlay.lowerDirs;
    await Deno.symlink(lower!, directory.join("again"));
    const twice = { ...overlay, lowerDirs: [lower!, directory.join("again")] };
    assertRefused(twice, target, api, "ELOOP", [`${lower} and ${directory.join("again")} are the same directory`]);
    const inside = { ...overlay, lowerDirs: [lower!, await directory.mkdir("x/upper/inside")] };
    assertRefused(inside, target, api, "ELOOP", ["one of the directories lies in another"]);
  });

  testNeeding(NEEDS, `by ${api} upper and work directories that do not go together are explained`, async () => {
    await using directory = await TempDir.make();
    const { overlay, target } = await makeLayers(directory, "x");
    const tmpfs = await directory.mkdir("tmpfs");
    await runOk("mount", ["-t", "tmpfs", "tmpfs", tmpfs]);
    const elsewhere = { upperDir: overlay.upper.upperDir, workDir: tmpfs };
    assertRefused({ ...overlay, upper: elsewhere }, target, api, "EINVAL", ["different file systems"]);
    const inside = { upperDir: overlay.upper.upperDir, workDir: `${overlay.upper.upperDir}/work` };
    await Deno.mkdir(inside.workDir);
    assertRefused({ ...overlay, upper: inside }, target, api, "EINVAL", ["one lies in the other"]);
  });
}

testNeeding(
  [...NEEDS, needsProgram("unshare")],
  "a mount in another namespace that holds a layer is found",
  async () => {
    await using directory = await TempDir.make();
    const { overlay, target } = await makeLayers(directory, "x");
    const { upperDir, workDir } = overlay.upper;
    const data = `lowerdir=${overlay.lowerDirs[0]},upperdir=${upperDir},workdir=${workDir},index=on`;
    const script = 'mount -t overlay overlay -o "$0" "$1" && echo ready && read -r _';
    await using holder = new Deno.Command("unshare", {
      args: ["--mount", "sh", "-c", script, data, target],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const reader = holder.stdout.getReader();
    await reader.read();
    const error = assertRefused({ ...overlay, options: ["index=on"] }, target, "new", "EBUSY", [
      `${upperDir} is in use by the mount at ${target}`,
      "in the mount namespace of process ",
    ]);
    assertMatch(error.message, /process \d+ \(sh\)/);
    await holder.stdin.close();
    await reader.cancel();
    await holder.status;
  },
);

testNeeding([...NEEDS, needsProgram("setpriv")], "a process without the capability is told which", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory, "x");
  const main = directory.join("main.ts");
  const module = new URL("../../lib/mount/overlay_mount.ts", import.meta.url).href;
  await Deno.writeTextFile(
    main,
    `import { mountOverlay } from "${module}";
try {
  mountOverlay(${JSON.stringify(overlay)}, ${JSON.stringify(target)}, Deno.args[0]);
} catch (error) {
  console.log(error.code, error.message, error.hint);
}`,
  );
  for (const api of APIS) {
    const deno = [Deno.execPath(), "run", "--no-lock", "--no-check", "--allow-all", main, api];
    const { stdout, stderr } = await run("setpriv", [
      "--bounding-set=-sys_admin",
      "--inh-caps=-sys_admin",
      "--",
      ...deno,
    ]);
    assertMatch(stdout, /^mount_failed .*EPERM.*lacks the capability CAP_SYS_ADMIN.*run as root/, stderr);
  }
});

testNeeding(NEEDS, "by new the kernel's own words are told", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory, "x");
  const lowerDirs = await Promise.all(Array.from({ length: 501 }, (_, i) => directory.mkdir(`lower${i}`)));
  const { message } = assertRefused({ ...overlay, lowerDirs }, target, "new", "EINVAL", ["limit is 500"]);
  assertEquals(message.split("lowerdir+").length, 2, message);
});

testNeeding([needsRoot], "no space is told to be that of the work directory's file system", async () => {
  await using directory = await TempDir.make();
  const tmpfs = await directory.mkdir("x");
  await runOk("mount", ["-t", "tmpfs", "-o", "size=4k", "tmpfs", tmpfs]);
  const { overlay, target } = await makeLayers(directory, "x");
  const refusal = failure(ERRNO.ENOSPC, "mount");
  assertMatch(mountFailed(refusal, overlay, target, "words").message, /ENOSPC: words$/);
  await Deno.writeTextFile(`${tmpfs}/last`, "x");
  const { message, hint } = mountFailed(refusal, overlay, target, "words");
  assertStringIncludes(message, `ENOSPC: words: the file system of ${overlay.upper.workDir} is full`);
  assertMatch(hint ?? "", /df -h, df -i/);
});

Deno.test("an error number that nothing is known of is told as it is", () => {
  const overlay = { lowerDirs: ["/a", "/b"], upper: undefined, options: [] };
  const { message } = mountFailed(failure(ERRNO.EXDEV, "mount"), overlay, "/m", "the kernel's words");
  assertEquals(message, "Cannot mount an overlay at /m: mount(): EXDEV: the kernel's words");
});
