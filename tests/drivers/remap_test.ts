// SPDX-License-Identifier: Apache-2.0

/** Layers of containers-overlay under other ids. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { GraphDriver, Progress } from "../../lib/drivers/driver.ts";
import { DRIVER_NAMES, openDriver, type OpenOptions } from "../../lib/drivers/registry.ts";
import type { IdMaps } from "../../lib/id_map.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsFuseOverlayfs, needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { listTree } from "../_helpers/tree.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";
import { streamOf } from "./driver_suite.ts";

const NEEDS = [needsRoot, needsOverlay];
const TOOLS = [needsProgram("setfacl"), needsProgram("setcap")];

function mapsTo(hostId: number, size = 1000): IdMaps {
  const maps = [{ containerId: 0, hostId, size }];
  return { uidMaps: maps, gidMaps: maps };
}

const FROM = mapsTo(10_000);
const TO = mapsTo(50_000);

const BASE: readonly TarItem[] = [
  { path: "./", type: "5", mode: 0o750, uid: 10_003, gid: 10_004, mtime: 1000 },
  { path: "bin/", type: "5", mode: 0o755, uid: 10_000, gid: 10_000, mtime: 1000 },
  { path: "bin/su", data: "su", mode: 0o6755, uid: 10_001, gid: 10_002, mtime: 1000 },
  { path: "bin/hard", type: "1", link: "bin/su" },
  { path: "bin/third", type: "1", link: "bin/su" },
  { path: "bin/soft", type: "2", link: "su", uid: 10_005, gid: 10_006, mtime: 1000 },
  { path: "of-root", data: "x", mtime: 1000 },
  { path: "pipe", type: "6", mode: 0o622, uid: 10_001, gid: 10_001, mtime: 1000 },
];

async function open(directory: TempDir, options: OpenOptions = {}): Promise<GraphDriver> {
  const places = { root: directory.join("root"), runRoot: directory.join("run") };
  return await openDriver({ driver: "containers-overlay", work: "in-place", ...places, ...options });
}

async function listing(tree: string): Promise<string[]> {
  // A merged directory and a copied-up one count their links otherwise.
  const format = (links: string): string => `%P %y %m %U:%G ${links} %s %T@\n`;
  const args = [".", "-type", "d", "-printf", format("-"), "-o", "-printf", format("%n")];
  const { stdout } = await runOk("find", args, { cwd: tree });
  return stdout.split("\n").filter(Boolean).sort();
}

testNeeding(
  [...NEEDS, ...TOOLS],
  "updateLayerIdMap() changes owners of all that one sees, and nothing else",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory);
    await driver.create("base");
    await driver.applyDiff("base", streamOf(tarOf(BASE)));
    await runOk("bash", [
      "-ec",
      "setfacl -m u:10007:rw,g:10008:r of-root; setfacl -d -m u:10007:r bin; setcap cap_net_raw+ep bin/su",
    ], {
      cwd: `${driver.home}/base/diff`,
    });
    await driver.create("job", { parent: "base" });
    await driver.applyDiff(
      "job",
      streamOf(tarOf([{ path: "own", uid: 10_009, gid: 10_009, mtime: 1000 }, { path: ".wh.pipe" }])),
    );
    const before = await (async (): Promise<string[]> => {
      await using job = await driver.get("job");
      return await listing(job.path);
    })();
    const base = await listTree(`${driver.home}/base`);
    await driver.updateLayerIdMap("job", FROM, TO);
    assertEquals(await listTree(`${driver.home}/base`), base);
    await using job = await driver.get("job");
    const shifted = before.map((line) => line.replaceAll(/\b100(0\d)\b/g, "500$1").replace(" 0:0 ", " 50000:50000 "));
    assertEquals(await listing(job.path), shifted);
    assert(shifted.some((line) => line.startsWith("bin/su f 6755 50001:50002 3 ")), shifted.join("\n"));
    const { stdout } = await runOk("bash", ["-ec", "getfacl -ncp of-root bin; getcap bin/third"], { cwd: job.path });
    assertMatch(stdout, /user:50007:rw-[^]*group:50008:r--[^]*default:user:50007:r--[^]*cap_net_raw=ep/);
  },
);

testNeeding(
  NEEDS,
  "updateLayerIdMap() leaves the content below an empty diff, as containers/storage does",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory);
    await driver.create("base");
    await driver.applyDiff("base", streamOf(tarOf(BASE)));
    const link = await Deno.readTextFile(`${driver.home}/base/link`);
    for (const [from, to] of [[FROM, TO], [TO, FROM]]) await driver.updateLayerIdMap("base", from, to);
    assertEquals(await namesIn(`${driver.home}/base`), ["diff", "diff1", "diff2", "empty", "link", "merged", "work"]);
    assertEquals(await namesIn(`${driver.home}/base/diff`), []);
    assertEquals(await Deno.readTextFile(`${driver.home}/base/link`), link);
    const stat = async (name: string): Promise<string> => {
      const { stdout } = await runOk("stat", ["-c", "%a %u:%g %Y", `${driver.home}/base/${name}`]);
      return stdout.trim();
    };
    assertEquals([await stat("diff"), await stat("diff1")], ["750 10003:10004 1000", "750 10003:10004 1000"]);
    assertMatch(await stat("diff2"), /^750 50003:50004 /);
    assertMatch(await stat("work"), /^700 10000:10000 /);
    assertEquals(await driver.changes("base").then((all) => all.length), 7);
    await assertFails(driver.applyDiff("base", streamOf(tarOf(BASE))), "layer_not_empty");
    await driver.create("child", { parent: "base" });
    await using child = await driver.get("child");
    assertEquals(await namesIn(child.path), ["bin", "of-root", "pipe"]);
    assertEquals((await Deno.lstat(`${child.path}/bin/su`)).uid, 10_001);
    assertEquals(mountPointsBelow(driver.home), [child.path]);
  },
);

testNeeding(NEEDS, "a layer under other ids is exported with the container's ids again", async () => {
  await using directory = await TempDir.make();
  const archive = tarOf(
    BASE.map((item) => ({ ...item, uid: (item.uid ?? 10_000) - 10_000, gid: (item.gid ?? 10_000) - 10_000 })),
  );
  await using plain = await open(directory);
  for (const id of ["plain", "mapped"]) {
    await plain.create(id);
    await plain.applyDiff(id, streamOf(archive));
  }
  await plain.updateLayerIdMap("mapped", undefined, TO);
  await using mapped = await open(directory, { idMaps: TO });
  const bytes = async (diff: ReadableStream<Uint8Array>): Promise<Uint8Array> =>
    new Uint8Array(await new Response(diff).arrayBuffer());
  assertEquals(await bytes(await mapped.diff("mapped")), await bytes(await plain.diff("plain", { parent: null })));
});

testNeeding(
  [...NEEDS, needsFuseOverlayfs],
  "updateLayerIdMap() works through a mount program, which can do without",
  async () => {
    await using directory = await TempDir.make();
    const options = ["mount_program=/usr/bin/fuse-overlayfs"];
    await using driver = await open(directory, { options });
    await driver.create("base");
    // fuse-overlayfs 1.10 cannot copy a fifo up.
    await driver.applyDiff("base", streamOf(tarOf(BASE.filter(({ path }) => path !== "pipe"))));
    await driver.create("job", { parent: "base" });
    await driver.updateLayerIdMap("job", FROM, TO);
    await using job = await driver.get("job");
    const { stdout } = await runOk("stat", ["-c", "%a %u:%g %h", "bin/su", "bin/soft", "of-root"], { cwd: job.path });
    assertEquals(stdout.trim().split("\n"), ["6755 50001:50002 3", "777 50005:50006 1", "644 50000:50000 1"]);
    assertEquals(await driver.supportsShifting(), true);
  },
);

testNeeding(NEEDS, "updateLayerIdMap() that fails leaves the layer as it was", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await driver.applyDiff("base", streamOf(tarOf(BASE)));
  await driver.create("child", { parent: "base" });
  // Directories in which a mount point came and went have another time.
  const list = async (): Promise<string[]> =>
    (await listTree(driver.home)).filter((line) => !/^"(?:\.|child|child\/(?:merged|work|work\/work))"/.test(line));
  const before = await list();
  const uncovered = await assertFails(driver.updateLayerIdMap("child", mapsTo(10_000, 2), TO), "invalid_argument");
  assertMatch(uncovered.message, /"bin\/.*1000[25].*host id/);
  const unmapped = await assertFails(driver.updateLayerIdMap("child", FROM, mapsTo(50_000, 2)), "invalid_argument");
  assertMatch(unmapped.message, /container id/);
  await assertFails(driver.updateLayerIdMap("child", FROM, TO, { signal: AbortSignal.abort() }), "aborted");
  await assertFails(driver.updateLayerIdMap("base", FROM, TO), "layer_in_use");
  await using child = await driver.get("child");
  await assertFails(driver.updateLayerIdMap("child", FROM, TO), "layer_in_use");
  await child[Symbol.asyncDispose]();
  assertEquals(await list(), before);
  assertEquals(await namesIn(driver.home), ["base", "child", "l"]);
});

testNeeding(
  NEEDS,
  "updateLayerIdMap() that is aborted on the way leaves the layer as it was; the next one finishes",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory, { work: "worker" });
    const items = Array.from({ length: 1000 }, (_, i) => ({ path: `file-${i}`, data: "x", uid: 10_001, gid: 10_001 }));
    await driver.create("base");
    await driver.applyDiff("base", streamOf(tarOf(items)));
    const ownersOf = async (id: string): Promise<string[]> => {
      await using layer = await driver.get(id, { readOnly: true });
      const { stdout } = await runOk("find", [".", "-type", "f", "-printf", "%U\\n"], { cwd: layer.path });
      const lines = stdout.trim().split("\n");
      assertEquals(lines.length, items.length);
      return [...new Set(lines)];
    };
    for (const delayMs of [0, 5, 20, 40, 80]) {
      const id = `job-${delayMs}`;
      await driver.create(id, { parent: "base" });
      const work = { signal: AbortSignal.timeout(delayMs) };
      const isDone = await driver.updateLayerIdMap(id, FROM, TO, work).then(() => true, (error) => {
        assertEquals(error.code, "aborted", error.message);
        return false;
      });
      assertEquals(await ownersOf(id), [isDone ? "50001" : "10001"]);
      assertEquals((await namesIn(driver.home)).filter((name) => name.startsWith(".")), []);
      if (!isDone) await driver.updateLayerIdMap(id, FROM, TO);
      assertEquals(await ownersOf(id), ["50001"]);
    }
    assertEquals(mountPointsBelow(directory.path), []);
    await using inPlace = await open(directory);
    await inPlace.create("told", { parent: "base" });
    const told: Progress[] = [];
    await inPlace.updateLayerIdMap("told", FROM, TO, { onProgress: (progress) => void told.push(progress) });
    assert(told.some(({ entries }) => entries > 0));
  },
);

testNeeding(NEEDS, "updateLayerIdMap() is not_supported where owners are not the files' own", async () => {
  await using directory = await TempDir.make();
  for (const driverName of DRIVER_NAMES) {
    const options = driverName === "containers-overlay" ? ["force_mask=shared"] : [];
    await using driver = await open(directory, { driver: driverName, options, root: directory.join(driverName) });
    await driver.create("base");
    await assertFails(driver.updateLayerIdMap("base", FROM, TO), "not_supported");
  }
});
