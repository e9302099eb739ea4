// SPDX-License-Identifier: Apache-2.0

/** That containers-overlay's files are those of containers/storage, and what its options do. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver, type OpenOptions } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { listTree } from "../_helpers/tree.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { streamOf } from "./driver_suite.ts";

const NEEDS = [needsRoot, needsOverlay];

async function open(directory: TempDir, options: OpenOptions = {}): Promise<GraphDriver> {
  return await openDriver({
    root: directory.join("root"),
    runRoot: directory.join("run"),
    driver: "containers-overlay",
    work: "in-place",
    ...options,
  });
}

async function mountOptionsAt(path: string): Promise<string[]> {
  return (await runOk("findmnt", ["-no", "OPTIONS", path])).stdout.trim().split(",");
}

testNeeding(NEEDS, "containers-overlay lays layers out as containers/storage does", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await driver.create("middle", { parent: "base" });
  await driver.createReadWrite("top", { parent: "middle" });
  const home = directory.join("root/overlay");
  assertEquals(driver.home, home);
  const read = (file: string): Promise<string> => Deno.readTextFile(`${home}/${file}`);
  const links = { base: await read("base/link"), middle: await read("middle/link") };
  for (const [id, link] of Object.entries(links)) {
    assertMatch(link, /^[A-Z2-7]{26}$/);
    assertEquals(await Deno.readLink(`${home}/l/${link}`), `../${id}/diff`);
  }
  assertEquals(await read("middle/lower"), `l/${links.base}`);
  assertEquals(await read("top/lower"), `l/${links.middle}:l/${links.base}`);
  const { stdout } = await runOk("find", [".", "-not", "-path", "./l/*", "-printf", "%p %m %U:%G\n"], { cwd: home });
  assertEquals(stdout.trim().split("\n").sort(), [
    ". 700 0:0",
    "./base 700 0:0",
    "./base/diff 555 0:0",
    "./base/empty 700 0:0",
    "./base/link 644 0:0",
    "./base/merged 700 0:0",
    "./base/work 700 0:0",
    "./l 755 0:0",
    ...["middle", "top"].flatMap((id) => [
      `./${id} 700 0:0`,
      `./${id}/diff 555 0:0`,
      `./${id}/link 644 0:0`,
      `./${id}/lower 644 0:0`,
      `./${id}/merged 700 0:0`,
      `./${id}/work 700 0:0`,
    ]),
  ]);
});

testNeeding(
  NEEDS,
  "containers-overlay gives a layer's directories to the container's root, and children the root's mode",
  async () => {
    await using directory = await TempDir.make();
    const maps = [{ containerId: 0, hostId: 5000, size: 100 }];
    await using driver = await open(directory, { idMaps: { uidMaps: maps, gidMaps: maps } });
    await driver.create("base");
    await driver.applyDiff("base", streamOf(tarOf([{ path: "./", type: "5", mode: 0o700, uid: 7, gid: 8 }])));
    await driver.create("child", { parent: "base" });
    const { stdout } = await runOk("find", ["base", "child", "-type", "d", "-printf", "%p %m %U:%G\n"], {
      cwd: driver.home,
    });
    assertEquals(stdout.trim().split("\n").sort(), [
      "base 700 5000:5000",
      "base/diff 700 5007:5008",
      "base/empty 700 5000:5000",
      "base/merged 700 5000:5000",
      "base/work 700 5000:5000",
      "child 700 5000:5000",
      "child/diff 700 5007:5008",
      "child/merged 700 5000:5000",
      "child/work 700 5000:5000",
    ]);
  },
);

testNeeding(NEEDS, "a base layer of containers-overlay is mounted too, on its empty directory", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory, { mountApi: "classic" });
  await driver.create("base");
  await using base = await driver.get("base");
  assertEquals(base.path, `${driver.home}/base/merged`);
  assert((await mountOptionsAt(base.path)).includes(`lowerdir=${driver.home}/base/empty`));
  await Deno.writeTextFile(`${base.path}/file`, "x");
  assertEquals(await driver.changes("base"), [{ path: "/file", kind: "add" }]);
});

testNeeding(NEEDS, "containers-overlay finds what a layer was before its files changed owners", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  await driver.create("middle", { parent: "base" });
  await driver.create("top", { parent: "middle" });
  // As containers/storage leaves a layer: the newest content in diff, older ones in diff1, diff2, …
  const script = `
    mkdir {base,middle}/diff{1,2}
    echo 0 >base/diff/a; echo 1 >base/diff1/a; echo 1 >base/diff1/b; echo 2 >base/diff2/b; echo 2 >base/diff2/c
    echo 11 >middle/diff1/c; echo 1 >middle/diff1/d; echo 2 >middle/diff2/e`;
  await runOk("bash", ["-ec", script], { cwd: driver.home });
  const contentsOf = async (id: string): Promise<string> => {
    await using layer = await driver.get(id);
    return (await runOk("bash", ["-c", 'cd "$0"; grep . *', layer.path])).stdout;
  };
  assertEquals(await contentsOf("base"), "a:0\nb:1\nc:2\n");
  assertEquals(await contentsOf("middle"), "a:0\nb:1\nc:11\nd:1\ne:2\n");
  assertEquals(await contentsOf("top"), "a:0\nb:1\nc:11\nd:1\ne:2\n");
  const { lowerDirs } = await driver.getMetadata("top");
  const names = ["middle", "base"].flatMap((id) =>
    ["diff", "diff1", "diff2"].map((diff) => `${driver.home}/${id}/${diff}`)
  );
  assertEquals(lowerDirs, names);
  {
    await using top = await driver.get("top");
    await Deno.writeTextFile(`${top.path}/e`, "changed");
  }
  assertEquals(await driver.changes("top"), [{ path: "/e", kind: "modify" }]);
  // What this one changed lies in three directories.
  assertEquals(await driver.changes("middle"), [
    { path: "/c", kind: "modify" },
    { path: "/d", kind: "add" },
    { path: "/e", kind: "add" },
  ]);
  await assertFails(driver.applyDiff("middle", streamOf(tarOf([]))), "layer_not_empty");
});

testNeeding(NEEDS, "containers-overlay makes lost short names again", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  for (const [id, ...parent] of [["base"], ["middle", "base"], ["top", "middle"]] as const) {
    await driver.create(id, parent.length === 0 ? {} : { parent: parent[0] });
  }
  const before = await namesIn(`${driver.home}/l`);
  for (const lost of ["rm l/*", "rm -r l", "rm l/$(cat base/link)"]) {
    await runOk("bash", ["-ec", lost], { cwd: driver.home });
    await using again = await open(directory);
    await using top = await again.get("top");
    assertEquals(mountPointsBelow(driver.home), [top.path]);
    assertEquals(await namesIn(`${driver.home}/l`), before);
  }
});

testNeeding(NEEDS, "a root is known as one of containers/storage by its short names, or by link files", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  const places = { root: directory.join("root"), runRoot: directory.join("run") };
  assertEquals((await openDriver(places)).name, "containers-overlay");
  await Deno.remove(`${driver.home}/l`, { recursive: true });
  assertEquals((await openDriver(places)).name, "containers-overlay");
  await directory.mkdir("root/overlay2/layer/diff");
  const error = await assertFails(openDriver(places), "prior_driver_conflict");
  assertMatch(error.message, /overlay2, containers-overlay/);
});

for (const mountApi of ["new", "classic"] as const) {
  testNeeding(
    NEEDS,
    `containers-overlay mounts with the options of mountopt, or with given ones, by ${mountApi}`,
    async () => {
      await using directory = await TempDir.make();
      await using driver = await open(directory, { mountApi, options: ["overlay.mountopt=nodev, nosuid,metacopy=on"] });
      await driver.create("base");
      await driver.createReadWrite("job", { parent: "base" });
      const optionsWith = async (mountOptions: string[]): Promise<string[]> => {
        await using job = await driver.get("job", { mountOptions });
        const all = await mountOptionsAt(job.path);
        return ["rw", "ro", "nodev", "nosuid", "noexec", "metacopy=on"].filter((option) => all.includes(option));
      };
      assertEquals(await optionsWith([]), ["rw", "nodev", "nosuid", "metacopy=on"]);
      assertEquals(await optionsWith(["noexec"]), ["rw", "noexec", "metacopy=on"]);
      assertEquals(await optionsWith(["ro"]), ["ro", "metacopy=on"]);
      const status = Object.fromEntries(await driver.status());
      assertEquals([status["Using metacopy"], status["Native Overlay Diff"]], ["true", "false"]);
      await using plain = await open(directory);
      assertEquals(Object.fromEntries(await plain.status())["Using metacopy"], "false");
    },
  );
}

testNeeding(NEEDS, "containers-overlay stacks 500 layers, mounts them, and refuses the next at create", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("l0");
  for (let i = 1; i <= 500; i++) await driver.create(`l${i}`, { parent: `l${i - 1}` });
  for (let i = 0; i <= 500; i++) await Deno.writeTextFile(`${driver.home}/l${i}/diff/of-${i}`, "");
  {
    await using top = await driver.get("l500");
    assertEquals((await namesIn(top.path)).length, 501);
  }
  await assertFails(driver.create("l501", { parent: "l500" }), "max_depth_exceeded");
});

testNeeding(NEEDS, "containers-overlay takes the options of containers/storage in every spelling", async () => {
  await using directory = await TempDir.make();
  const store = await directory.mkdir("store");
  const taken = [
    "override_kernel_check=1",
    "size=0",
    "size=10G",
    "skip_mount_home=true",
    "mount_program=",
    "ignore_chown_errors=false",
    "ignore_chown_errors=1",
    "force_mask=shared",
    "force_mask=private",
    "force_mask=0711",
  ]
    .concat(
      "mountopt=",
      "MountOpt=nodev",
      `imagestore=${store}`,
      `additionalimagestore=${store},${store}`,
      "imagestore=",
    );
  for (const option of taken.flatMap((option) => ["overlay.", "overlay2.", ".", ""].map((prefix) => prefix + option))) {
    await using _driver = await open(directory, { options: [option] });
  }
});

const REFUSED: readonly [option: string, code: "invalid_argument" | "not_supported", says: RegExp][] = [
  ["overlay.unknown=1", "invalid_argument", /unknown option overlay\.unknown/],
  ["overlay.overlay.size=1", "invalid_argument", /unknown option overlay\.overlay\.size/],
  ["bogus", "invalid_argument", /"bogus": write KEY=VALUE/],
  ["overlay.imagestore=relative/path", "invalid_argument", /"relative\/path".*not absolute/],
  ["overlay.imagestore=/nonexistent/store", "invalid_argument", /"\/nonexistent\/store".*not there/],
  ["overlay.imagestore=/etc/passwd", "invalid_argument", /"\/etc\/passwd".*not a directory/],
  ["overlay.mount_program=/nonexistent", "invalid_argument", /"\/nonexistent".*not there/],
  ["overlay.force_mask=9", "invalid_argument", /"9".*force_mask.*no mode/],
  ["overlay.force_mask=", "invalid_argument", /no mode/],
  ["overlay.skip_mount_home=perhaps", "invalid_argument", /"perhaps"/],
  ["overlay.size=10q", "invalid_argument", /10q/],
  ["overlay.force_mask=17777", "invalid_argument", /"17777".*force_mask.*no mode/],
  ["overlay.ignore_chown_errors=perhaps", "invalid_argument", /"perhaps"/],
  ["overlay.mount_program=bin/true", "invalid_argument", /"bin\/true".*not absolute/],
];

for (const [option, code, says] of REFUSED) {
  Deno.test(`containers-overlay refuses ${option} as ${code}, and makes nothing`, async () => {
    await using directory = await TempDir.make();
    const error = await assertFails(open(directory, { options: [option] }), code);
    assertMatch(error.message, says);
    assert(error.hint !== undefined || /write |no program|Cannot read/.test(error.message), error.message);
    assertEquals(await namesIn(directory.path), []);
  });
}

testNeeding(NEEDS, "names that containers/storage keeps for itself are no layer ids there", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory);
  await driver.create("base");
  for (const id of ["staging", "tempdirs", "l"]) await assertFails(driver.create(id), "invalid_argument");
  await runOk("bash", ["-ec", "mkdir -p staging/x/dir tempdirs/y; echo true >.has-mount-program"], {
    cwd: driver.home,
  });
  assertEquals((await Array.fromAsync(driver.layers())).map(({ id }) => id), ["base"]);
});

testNeeding(NEEDS, "layers of an image store are found, mounted and named, and nothing is written there", async () => {
  await using directory = await TempDir.make();
  const [store, empty] = [directory.join("store"), await directory.mkdir("empty")];
  {
    await using owner = await open(directory, { root: store });
    await owner.create("base");
    await owner.applyDiff("base", streamOf(tarOf([{ path: "file", data: "x", mtime: 1000 }])));
    await owner.create("middle", { parent: "base" });
  }
  const before = await listTree(store);
  await using driver = await open(directory, { options: [`additionalimagestore=${empty},${store}`] });
  await driver.createReadWrite("job", { parent: "middle" });
  assertEquals(await driver.getMetadata("job").then(({ lowerDirs }) => lowerDirs), [
    `${store}/overlay/middle/diff`,
    `${store}/overlay/base/diff`,
  ]);
  assertEquals((await driver.getMetadata("middle")).upperDir, `${store}/overlay/middle/diff`);
  assertMatch((await driver.getMetadata("middle")).mergedDir, new RegExp(`^${directory.join("run")}/`));
  assertEquals(await driver.exists("base"), true);
  assertEquals((await Array.fromAsync(driver.layers())).map(({ id, depth }) => [id, depth]), [
    ["base", 0],
    ["job", 2],
    ["middle", 1],
  ]);
  for (const id of ["job", "middle", "base"]) {
    await using layer = await driver.get(id);
    assertEquals(await namesIn(layer.path), ["file"]);
    assertEquals((await mountOptionsAt(layer.path))[0], id === "job" ? "rw" : "ro");
  }
  assertEquals(await driver.changes("middle", { parent: null }), [{ path: "/file", kind: "add" }]);
  await assertFails(driver.updateLayerIdMap("middle", undefined, undefined), "store_read_only");
  await assertFails(driver.remove("middle"), "store_read_only");
  assertEquals(await listTree(store), before);
});
