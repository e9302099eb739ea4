// SPDX-License-Identifier: Apache-2.0

/** What can be wrong in a home beside its layers' names: interrupted work, strays, mounts, counts, and who may write. */

import "../_helpers/warm_libc.ts";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { DriverName } from "../../lib/drivers/registry.ts";
import { lockDirectory } from "../../lib/util/directory_lock.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { snapshot } from "../_helpers/snapshot.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { codesOf, type Damage, fillStore, findingsOf, openIn, seen, testDamage } from "./_damaged_store.ts";

const NEEDS = [needsRoot, needsOverlay];
/** Nobody is at what is older than some seconds and not locked. */
const OLD = "touch -d '1 minute ago'";
const BUSY_STORE = fileURLToPath(new URL("./_busy_store.ts", import.meta.url));
const BUSY_MS = 1500;

const DAMAGES: readonly (Damage & { driver: DriverName })[] = [
  {
    driver: "overlay2",
    name: "strays: a directory, a file, a link, a name that is no text",
    script: "mkdir stray; echo >.file; ln -s base link; echo >$'\\xff\\xfe'; mkdir lost+found; echo >lost+found/stray",
    finds: ["stray", "stray", "stray", "stray"],
    moves: [/^\.file$/, /^link$/, /^stray$/, /^stray\.1$/, /^\\377\\376$/],
  },
  {
    driver: "overlay2",
    name: "layers that were being made and changed",
    script: `mkdir -p .lamina-create-ABC/diff .lamina-remap-ABC; ${OLD} .lamina-*`,
    finds: ["left_over", "left_over"],
    moves: [/^\.lamina-create-ABC$/, /^\.lamina-remap-ABC$/],
  },
  {
    driver: "overlay2",
    name: "mounts by which a killed process found out what the kernel can do",
    script: `mkdir -p .lamina-probe-ABC/{merged,mapped} .lamina-new-probe-ABC; ${OLD} .lamina-new-probe-ABC
      mount -t overlay -o lowerdir=base/diff:other/diff overlay .lamina-probe-ABC/merged
      mount --bind base/diff .lamina-probe-ABC/mapped`,
    finds: ["left_over", "left_over"],
    moves: [/^\.lamina-new-probe-ABC$/, /^\.lamina-probe-ABC$/],
  },
  {
    driver: "overlay2",
    name: "a layer that was being removed",
    script: "mkdir -p .lamina-remove-ABC/diff/deep; echo >.lamina-remove-ABC/diff/deep/file",
    finds: ["removal_begun"],
  },
  {
    driver: "overlay2",
    name: "a layer that was being filled",
    script: "mkdir -p other/.lamina-applying/etc; echo >other/.lamina-applying/etc/file",
    finds: ["half_applied"],
    moves: [/^other-\.lamina-applying$/],
  },
  {
    driver: "overlay2",
    name: "files that were being replaced, by lamina and by Docker",
    script: "echo >base/.lamina-ABCDEFGHIJ-committed; echo >mid/.tmp-lower123; mkdir top/.lamina-applying-work",
    finds: ["left_over", "left_over", "left_over"],
    moves: [/^base-\.lamina-A/, /^mid-\.tmp-lower123$/, /^top-\.lamina-applying-work$/],
  },
  {
    driver: "overlay2",
    name: "a mount point without a mount",
    script: "mkdir top/merged",
    finds: ["mount_point_left"],
  },
  {
    driver: "overlay2",
    name: "a mount point that somebody wrote into",
    script: "mkdir top/merged; echo >top/merged/file",
    finds: ["mount_point_not_empty"],
    moves: [/^top-merged$/],
  },
  {
    driver: "overlay2",
    name: "a mount point that leads out",
    script: "ln -s /etc top/merged",
    finds: ["mount_point_not_empty"],
    moves: [/^top-merged$/],
  },
  {
    driver: "overlay2",
    name: "a mount point that leads to a mount",
    script: "ln -s /proc top/merged",
    finds: ["mount_point_not_empty"],
    moves: [/^top-merged$/],
  },
  {
    driver: "overlay2",
    name: "parents that Docker did not mark",
    script: "rm base/committed mid/committed",
    finds: ["parent_unmarked", "parent_unmarked"],
  },
  {
    driver: "overlay2",
    name: "a count without a mount, and one without a layer",
    script: "cd ../../run/overlay2-*/mounts; ln -s 2 top; ln -s 1 gone",
    finds: ["count_stale", "count_stale"],
  },
  {
    driver: "overlay2",
    name: "directories that others may write to",
    script: "chmod 777 .; chmod 722 l; chmod 770 base",
    finds: ["mode_unsafe", "mode_unsafe", "mode_unsafe"],
  },
  {
    driver: "overlay2",
    name: "a layer that somebody else owns",
    script: "chown 1234 mid",
    finds: ["owner_wrong"],
    leaves: ["owner_wrong"],
  },
  {
    driver: "overlay2",
    name: "a layer of Docker's legacy driver among those of overlay2",
    script: "mkdir -p image/root",
    finds: ["other_driver"],
    leaves: ["other_driver"],
  },
  {
    driver: "overlay2",
    name: "layers of another driver in the same root",
    script: "mkdir -p ../vfs/layer",
    finds: ["other_driver"],
    leaves: ["other_driver"],
  },
  {
    driver: "containers-overlay",
    name: "what containers/storage has beside its layers is no stray",
    script: "mkdir staging tempdirs; printf false >.has-mount-program; mknod backingFsBlockDev b 7 99",
    finds: [],
  },
  {
    driver: "containers-overlay",
    name: "a flag that says nothing, and older content behind a gap",
    script: ": >.has-mount-program; mkdir other/diff2",
    finds: ["flag_unsafe", "older_content_gap"],
    leaves: ["flag_unsafe", "older_content_gap"],
  },
  {
    driver: "containers-overlay",
    name: "a mount point that somebody wrote into",
    script: "mkdir -p top/merged; echo >top/merged/file; mkdir mid/merged.1",
    finds: ["left_over", "mount_point_not_empty"],
    moves: [/^mid-merged\.1$/, /^top-merged$/],
  },
];

for (const { driver, ...damage } of DAMAGES) {
  testNeeding(NEEDS, `check() of ${driver}: ${damage.name}`, () => testDamage(driver, damage));
}

testNeeding(NEEDS, "check() leaves alone what a living process is at", async () => {
  await using directory = await TempDir.make();
  await using driver = await openIn(directory, "overlay2");
  await fillStore(driver);
  const script = `mkdir -p .lamina-create-ABC/diff other/.lamina-applying/etc
    printf $(printf %026d 0 | tr 0 A) >.lamina-create-ABC/link; ln -s ../new/diff l/$(cat .lamina-create-ABC/link)
    ${OLD} .lamina-create-ABC other/.lamina-applying`;
  await runOk("bash", ["-ec", script], { cwd: driver.home });
  const before = snapshot(driver.home);
  {
    using _create = await lockDirectory(`${driver.home}/.lamina-create-ABC`, "exclusive");
    using _apply = await lockDirectory(`${driver.home}/other/.lamina-applying`, "exclusive");
    assertEquals(await findingsOf(driver, { repair: true }), []);
    assertEquals(snapshot(driver.home), before);
  }
  assertEquals(codesOf(await findingsOf(driver)), ["half_applied", "left_over", "name_dangling"]);
});

testNeeding(NEEDS, "check() of a store in use finds nothing, and repairs nothing of it", async () => {
  await using directory = await TempDir.make();
  await using driver = await openIn(directory, "overlay2");
  await fillStore(driver);
  const before = await seen(driver, "top");
  await using busy = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-lock", "--allow-all", BUSY_STORE, directory.join("root"), directory.join("run")],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const said = busy.stdout.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await said.read()).value, "ready\n");
  const found: unknown[] = [];
  for (const end = Date.now() + BUSY_MS; Date.now() < end;) found.push(...await findingsOf(driver, { repair: true }));
  await busy.stdin.close();
  assert(Number((await said.read()).value) > 0);
  await said.cancel();
  assertEquals((await busy.status).code, 0);
  assertEquals(found, []);
  assertEquals(await findingsOf(driver), []);
  assertEquals(await namesIn(driver.home), ["base", "l", "mid", "other", "top"]);
  assertEquals(await seen(driver, "top"), before);
});

testNeeding(NEEDS, "a parent that Docker did not mark can be written in until check() marks it", async () => {
  await using directory = await TempDir.make();
  await using driver = await openIn(directory, "overlay2");
  await fillStore(driver);
  await Deno.remove(`${driver.home}/mid/committed`);
  const write = async (): Promise<void> => {
    await using layer = await driver.get("mid");
    await Deno.writeTextFile(`${layer.path}/written`, "");
  };
  await write();
  await findingsOf(driver, { repair: true });
  await assertRejects(write, Error, "Read-only file system");
});

testNeeding(NEEDS, "check() of mounted layers, and of a mount that lamina did not make", async () => {
  await using directory = await TempDir.make();
  await using driver = await openIn(directory, "overlay2");
  await fillStore(driver);
  await driver.createReadWrite("job", { parent: "top" });
  await using job = await driver.get("job");
  assertEquals(await findingsOf(driver, { repair: true }), []);
  assertEquals(mountPointsBelow(driver.home), [job.path]);
  const options = "lowerdir=base/diff:mid/diff";
  await runOk("bash", [
    "-ec",
    `mkdir other/merged stray; mount -t overlay overlay -o ${options} other/merged
    mount -t overlay overlay -o ${options} stray`,
  ], { cwd: driver.home });
  assertEquals(codesOf(await findingsOf(driver)), ["mount_of_no_layer", "mount_uncounted", "stray"]);
  assertEquals(codesOf((await findingsOf(driver, { repair: true })).filter(({ repaired }) => repaired)), [
    "mount_of_no_layer",
    "stray",
  ]);
  assertEquals(mountPointsBelow(driver.home).sort(), [job.path, `${driver.home}/other/merged`].sort());
});

testNeeding(
  NEEDS,
  "check() leaves alone what is mounted in another mount namespace, its mount point and its count",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await openIn(directory, "overlay2");
    await fillStore(driver);
    await driver.createReadWrite("job", { parent: "top" });
    await seen(driver, "job");
    const counts = `$(echo ${directory.join("run")}/overlay2-*/mounts)`;
    const options = "lowerdir=top/diff:mid/diff,upperdir=job/diff,workdir=job/work";
    const script = `mkdir job/merged; mount -t overlay overlay -o ${options} job/merged; ln -s 1 ${counts}/job
    echo mounted; read || echo still >job/merged/file; cat job/diff/file`;
    await using holder = new Deno.Command("unshare", {
      args: ["--mount", "bash", "-ec", script],
      cwd: driver.home,
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const said = holder.stdout.pipeThrough(new TextDecoderStream()).getReader();
    assertEquals((await said.read()).value, "mounted\n");
    assertEquals(await findingsOf(driver, { repair: true }), []);
    await holder.stdin.close();
    assertEquals((await said.read()).value, "still\n");
    await said.cancel();
    await holder.status;
    // Now it is nobody's.
    assertEquals(codesOf(await findingsOf(driver, { repair: true })), ["count_stale", "mount_point_left"]);
    assertEquals(await findingsOf(driver), []);
  },
);

testNeeding(NEEDS, "two who repair at the same time bring the store back once", async () => {
  await using directory = await TempDir.make();
  await using first = await openIn(directory, "overlay2");
  await using second = await openIn(directory, "overlay2");
  await fillStore(first);
  const before = await seen(first, "top");
  await runOk("bash", ["-ec", ": >base/link; rm mid/link; rm -r l; : >mid/lower; mkdir stray; mkdir mid/merged"], {
    cwd: first.home,
  });
  const found = await Promise.all([first, second].map((driver) => findingsOf(driver, { repair: true })));
  assertEquals(found.flat().filter(({ repaired, failure }) => !repaired && failure === undefined), []);
  assertEquals(await findingsOf(first), []);
  assertEquals(await seen(first, "top"), before);
  assertEquals(await namesIn(`${first.home}/lost+found`), ["stray"]);
});

for (
  const [name, script] of [
    ["a symbolic link", "ln -s /tmp lost+found"],
    ["a file", "echo >lost+found"],
    ["somebody else's", "mkdir lost+found; chown 1234 lost+found"],
    ["open to everybody", "mkdir lost+found; chmod 777 lost+found"],
  ] as const
) {
  testNeeding(NEEDS, `check() moves nothing to a lost+found that is ${name}`, async () => {
    await using directory = await TempDir.make();
    await using driver = await openIn(directory, "overlay2");
    await fillStore(driver);
    await runOk("bash", ["-ec", `${script}; mkdir stray`], { cwd: driver.home });
    const before = snapshot(driver.home);
    const findings = await findingsOf(driver, { repair: true });
    assertEquals(codesOf(findings), ["lost_found_unsafe", "stray"]);
    assertMatch(findings.find(({ code }) => code === "stray")!.failure!, /Cannot move anything to .*lost\+found/);
    assertEquals(snapshot(driver.home), before);
  });
}

testNeeding(NEEDS, "lost+found is no layer, whatever lies in it", async () => {
  await using directory = await TempDir.make();
  await using driver = await openIn(directory, "overlay2");
  await fillStore(driver);
  await runOk("bash", ["-ec", "mkdir -m 700 lost+found; cp -a base/. lost+found"], { cwd: driver.home });
  assertEquals(await findingsOf(driver), []);
  assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), ["base", "mid", "other", "top"]);
});

testNeeding(NEEDS, "check() of a store that is not there finds nothing and makes nothing", async () => {
  await using directory = await TempDir.make();
  await using driver = await openIn(directory, "overlay2");
  assertEquals(await findingsOf(driver, { repair: true, deep: true }), []);
  assertEquals(await namesIn(directory.path), []);
});

testNeeding(NEEDS, "check() ends when its signal says so", async () => {
  await using directory = await TempDir.make();
  await using driver = await openIn(directory, "overlay2");
  await driver.create("base");
  const error = await findingsOf(driver, { signal: AbortSignal.abort() }).catch((error: unknown) => error);
  assertEquals((error as { code?: string }).code, "aborted");
});

testNeeding(NEEDS, "a half-applied layer can be filled again after a repair", async () => {
  await using directory = await TempDir.make();
  await using driver = await openIn(directory, "overlay2");
  await driver.create("base");
  await runOk("bash", ["-ec", "mkdir base/.lamina-applying; echo >base/.lamina-applying/half"], { cwd: driver.home });
  await findingsOf(driver, { repair: true });
  assertEquals((await seen(driver, "base")).length, 1);
  await driver.applyDiff("base", new Blob([tarOf([{ path: "whole", data: "x" }])]).stream());
  assertEquals(await namesIn(`${driver.home}/base/diff`), ["whole"]);
});
