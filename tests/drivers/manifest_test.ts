// SPDX-License-Identifier: Apache-2.0

/** Manifests of layers: what they hold, what they notice, and what they do not mind. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { DRIVER_NAMES, isStorageError, openDriver } from "../../mod.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { findingsOf, openIn } from "./_damaged_store.ts";

const NEEDS = [needsRoot, needsOverlay];

const ENTRIES = [
  { path: "etc/", type: "5", mode: 0o755 },
  { path: "etc/passwd", data: "root:x:0:0\n" },
  { path: "etc/empty", data: "" },
  { path: "etc/link", type: "2", link: "passwd" },
  { path: "etc/again", type: "1", link: "etc/passwd" },
  { path: "large", data: "lamina".repeat(100_000) },
  { path: "with blank\\ and\nline\xff", data: "x" },
  { path: "tty", type: "3", major: 5, minor: 0 },
];

for (const name of DRIVER_NAMES) {
  testNeeding(NEEDS, `${name}: verify() tells what changed since applyDiff() wrote the manifest`, async () => {
    await using directory = await TempDir.make();
    await using driver = await openIn(directory, name);
    await driver.create("base");
    assertEquals(await driver.verify("base"), undefined);
    const diff = new Blob([tarOf(ENTRIES)]).stream();
    await driver.applyDiff("base", diff, { manifest: true });
    assertEquals(await driver.verify("base"), []);
    assertEquals(await findingsOf(driver, { deep: true }), []);

    const { upperDir } = await driver.getMetadata("base");
    const script = `echo new >added; chmod 600 etc/empty; ln -sfn shadow etc/link; rm tty
      n=$(stat -c %s large); rm large; truncate -s $n large; touch with*`;
    await runOk("bash", ["-ec", script], { cwd: upperDir });
    assertEquals(await driver.verify("base"), [
      { path: "added", change: "added" },
      { path: "etc/empty", change: "changed" },
      { path: "etc/link", change: "changed" },
      { path: "large", change: "zeroed" },
      { path: "tty", change: "missing" },
    ]);
    const [finding, ...others] = await findingsOf(driver, { deep: true });
    assertEquals(others, []);
    assertEquals([finding?.code, finding?.layer, finding?.repairable], ["manifest_differs", "base", false]);
    assertMatch(finding!.problem, /in 5 places/);
    assertEquals(await findingsOf(driver), []);

    await driver.recordManifest("base");
    assertEquals(await driver.verify("base"), []);
  });
}

for (const name of DRIVER_NAMES) {
  testNeeding(NEEDS, `${name}: a layer has its content and the manifest, or neither`, async () => {
    await using directory = await TempDir.make();
    const root = await directory.mkdir("disk");
    await runOk("mount", ["-t", "tmpfs", "tmpfs", root]);
    await using driver = await openDriver({ root, runRoot: directory.join("run"), driver: name, work: "in-place" });
    await driver.create("base");
    const { stdout } = await runOk("df", ["--block-size=1", "--output=used", root]);
    const used = Number(stdout.split("\n")[1]);
    const archive = tarOf([1, 2, 3].map((i) => ({ path: `file-${i}`, data: "content" })));
    const apply = (): Promise<unknown> => driver.applyDiff("base", ReadableStream.from([archive]), { manifest: true });
    // One page more each time, so that at last there is none for the manifest alone; a size of 0 were no limit.
    let pages = 0;
    for (; pages < 20; pages++) {
      await runOk("mount", ["-o", `remount,size=${Math.max(used + 4096 * pages, 1)}`, root]);
      const error = await apply().then(() => undefined, (reason: unknown) => reason);
      if (error === undefined) break;
      assert(isStorageError(error, "no_space"), String(error));
      assertEquals(await driver.changes("base"), []);
      assertEquals(await driver.verify("base"), undefined);
    }
    assertGreater(pages, 3);
    assertEquals(await driver.verify("base"), []);
  });
}

testNeeding(NEEDS, "a manifest has one line a name, as its documentation says", async () => {
  await using directory = await TempDir.make();
  await using driver = await openIn(directory, "overlay2");
  await driver.create("base");
  await driver.applyDiff("base", new Blob([tarOf(ENTRIES)]).stream(), { manifest: true });
  const lines = (await Deno.readTextFile(`${driver.home}/base/.lamina-manifest`)).split("\n");
  const sha256 = async (path: string): Promise<string> =>
    (await runOk("sha256sum", [`${driver.home}/base/diff/${path}`])).stdout.slice(0, 64);
  assertEquals(lines[0], "lamina-manifest 1");
  assertEquals(lines.slice(-2), ["9 entries", ""]);
  assertEquals(lines[1], "d 0755 0 0 - - .");
  assertEquals(lines.includes(`f 0644 0 0 11 sha256:${await sha256("etc/passwd")} etc/passwd`), true);
  assertEquals(lines.includes("c 0644 0 0 5:0 - tty"), true);
  assertMatch(lines.find((line) => line.includes("blank"))!, / with\\040blank\\134\\040and\\012line\\377$/);
});

testNeeding(NEEDS, "a manifest that was cut short is store_damaged, wherever it was cut", async () => {
  await using directory = await TempDir.make();
  await using driver = await openIn(directory, "overlay2");
  await driver.create("base");
  await driver.applyDiff("base", new Blob([tarOf(ENTRIES)]).stream(), { manifest: true });
  const path = `${driver.home}/base/.lamina-manifest`;
  const text = await Deno.readTextFile(path);
  for (const length of [0, 5, 18, 40, text.indexOf("etc"), text.lastIndexOf("9"), text.length - 1]) {
    await Deno.writeTextFile(path, text.slice(0, length));
    await assertFails(driver.verify("base"), "store_damaged");
  }
  assertEquals((await findingsOf(driver, { deep: true })).map(({ code }) => code), ["manifest_differs"]);
});

testNeeding(NEEDS, "verify() and recordManifest() of a layer that is not there are layer_not_found", async () => {
  await using directory = await TempDir.make();
  await using driver = await openIn(directory, "overlay2");
  await assertFails(driver.verify("nobody"), "layer_not_found");
  await assertFails(driver.recordManifest("nobody"), "layer_not_found");
  await assertFails(driver.verify("../etc"), "invalid_argument");
});

testNeeding(NEEDS, "a layer that was given to other ids has no manifest any more", async () => {
  await using directory = await TempDir.make();
  await using driver = await openIn(directory, "containers-overlay");
  await driver.create("base");
  await driver.applyDiff("base", new Blob([tarOf(ENTRIES)]).stream(), { manifest: true });
  const maps = [{ containerId: 0, hostId: 100_000, size: 65536 }];
  await driver.updateLayerIdMap("base", undefined, { uidMaps: maps, gidMaps: maps });
  assertEquals(await driver.verify("base"), undefined);
});

testNeeding(
  NEEDS,
  "check() looks for deletions where nothing is below, and for names of them, when it looks deep",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await openIn(directory, "overlay2");
    await driver.create("base");
    await driver.create("top", { parent: "base" });
    const script =
      "mkdir {base,top}/diff/d; mknod base/diff/d/gone c 0 0; mknod top/diff/gone c 0 0; echo >top/diff/d/.wh.x";
    await runOk("bash", ["-ec", script], { cwd: driver.home });
    assertEquals(await findingsOf(driver), []);
    const findings = await findingsOf(driver, { deep: true });
    assertEquals(findings.map(({ code, kind, layer }) => [code, kind, layer]), [
      ["whiteout_idle", "note", "base"],
      ["whiteout_name", "note", "top"],
    ]);
    assertMatch(findings[0]!.problem, /1 of the devices .* d\/gone/);
    assertMatch(findings[1]!.problem, /d\/\.wh\.x/);
  },
);
