// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { AT_FDCWD, Fd, O_DIRECTORY, O_PATH, openat } from "../../ffi/file.ts";
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY } from "../../ffi/mount.ts";
import { statfs } from "../../ffi/statfs.ts";
import { bindMount } from "../../lib/mount/bind_mount.ts";
import { mountsOf, placeOf } from "../../lib/mount/mount_place.ts";
import { readMountInfo } from "../../lib/mount/mountinfo.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run, runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

function openDirectory(path: string): Fd {
  return new Fd(openat(AT_FDCWD, path, O_PATH | O_DIRECTORY));
}

for (const api of ["new", "classic"] as const) {
  testNeeding(
    [needsRoot],
    `bindMount() by the ${api} way has flags of its own beside those of its source`,
    async () => {
      await using directory = await TempDir.make();
      const [from, to] = [await directory.mkdir("from"), await directory.mkdir("to")];
      await runOk("mount", ["-t", "tmpfs", "-o", "nosuid", "tmpfs", from]);
      {
        using target = openDirectory(to);
        bindMount(from, target, ["ro", "nodev"], api);
      }
      const all = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
      assertEquals(statfs(to).mountFlags & all, MS_RDONLY | MS_NOSUID | MS_NODEV);
      assertEquals(statfs(from).mountFlags & all, MS_NOSUID);
      await Deno.writeTextFile(`${from}/file`, "x");
      assertEquals(await Deno.readTextFile(`${to}/file`), "x");
    },
  );

  testNeeding([needsRoot], `a bind mount by the ${api} way is seen and unseen in other mount namespaces`, async () => {
    await using directory = await TempDir.make();
    const [from, shared] = [await directory.mkdir("from"), await directory.mkdir("shared")];
    await Deno.writeTextFile(`${from}/file`, "x");
    await runOk("mount", ["-t", "tmpfs", "tmpfs", shared]);
    await runOk("mount", ["--make-shared", shared]);
    const to = await directory.mkdir("shared/to");
    // A process that has a mount namespace of its own, and is told what goes on here.
    const args = ["--mount", "--propagation", "slave", "sh", "-c", "echo ready; exec cat"];
    await using other = new Deno.Command("unshare", { args, stdin: "piped", stdout: "piped" }).spawn();
    const said = other.stdout.getReader();
    await said.read();
    const seen = (): Promise<{ code: number }> =>
      run("nsenter", ["--mount", `--target=${other.pid}`, "test", "-e", `${to}/file`]);
    assertEquals((await seen()).code, 1);
    {
      using target = openDirectory(to);
      bindMount(from, target, ["ro"], api);
    }
    assertEquals((await seen()).code, 0);
    await runOk("umount", [to]);
    assertEquals((await seen()).code, 1);
    await other.stdin.close();
    await said.cancel();
  });
}

testNeeding([needsRoot], "placeOf() tells what a bind mount shows, and mountsOf() finds it where it is", async () => {
  await using directory = await TempDir.make();
  const [from, to] = [await directory.mkdir("from/deep"), await directory.mkdir("to")];
  using source = openDirectory(from);
  const { device, root, path } = placeOf(source.fd);
  assertEquals(path, from);
  assertStringIncludes(from, root === "/" ? from : root);
  assertEquals(mountsOf({ device, root }, to, readMountInfo()), []);
  await runOk("mount", ["--bind", from, to]);
  using target = openDirectory(to);
  const place = placeOf(target.fd);
  assertEquals([place.device, place.root, place.path, place.mountPoint], [device, root, to, to]);
  assertEquals(mountsOf({ device, root }, to, readMountInfo()).map(({ id }) => id), [place.mountId]);
});
