// SPDX-License-Identifier: Apache-2.0

/** Layers that are mounted under other ids than they have on disk. */

import "../_helpers/warm_libc.ts";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { CLONE_NEWUSER, endSleeper, startSleeper } from "../../ffi/child.ts";
import type { Change, GraphDriver } from "../../lib/drivers/driver.ts";
import { DRIVER_NAMES, openDriver, type OpenOptions } from "../../lib/drivers/registry.ts";
import type { IdMaps } from "../../lib/id_map.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { childProcesses } from "../_helpers/children.ts";
import { needsIdMappedMounts } from "../_helpers/id_mapped_mounts.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";
import { streamOf } from "./driver_suite.ts";

const NEEDS = [needsRoot, needsOverlay, needsIdMappedMounts];

const MAP = [{ containerId: 0, hostId: 100_000, size: 65_536 }];
const MAPS: IdMaps = { uidMaps: MAP, gidMaps: MAP };

const BASE: readonly TarItem[] = [
  { path: "./", type: "5", mode: 0o755 },
  { path: "etc/", type: "5", mode: 0o755, mtime: 1000 },
  { path: "etc/passwd", data: "root", mtime: 1000 },
  { path: "home/", type: "5", mode: 0o750, uid: 1000, gid: 1001, mtime: 1000 },
  { path: "home/file", data: "of 1000", mode: 0o4755, uid: 1000, gid: 1001, mtime: 1000 },
  { path: "home/gone", data: "x", uid: 1000, gid: 1001, mtime: 1000 },
  { path: "nobodys", data: "x", uid: 65_534, gid: 65_534, mtime: 1000 },
  { path: "uncovered", data: "x", uid: 70_000, gid: 70_000, mtime: 1000 },
];
const MIDDLE: readonly TarItem[] = [{ path: "etc/group", data: "x", gid: 42, mtime: 1000 }];

const SEEN = [
  ". 100000:100000 755",
  "etc/passwd 100000:100000 644",
  "etc/group 100000:100042 644",
  "home 101000:101001 750",
  "home/file 101000:101001 4755",
  "nobodys 165534:165534 644",
  "uncovered 65534:65534 644",
];

async function owners(directory: string, names: readonly string[]): Promise<string[]> {
  const { stdout } = await runOk("stat", ["-c", "%n %u:%g %a", "--", ...names], { cwd: directory });
  return stdout.trim().split("\n");
}

const seenOf = (path: string): Promise<string[]> => owners(path, SEEN.map((line) => line.split(" ")[0]!));

/** Runs a script as the root of a user namespace with {@linkcode MAPS}. */
async function runInContainer(script: string, cwd: string): Promise<void> {
  const pid = startSleeper(CLONE_NEWUSER, 60);
  try {
    for (const kind of ["uid", "gid"]) await Deno.writeTextFile(`/proc/${pid}/${kind}_map`, "0 100000 65536");
    const enter = [`--user=/proc/${pid}/ns/user`, "--setuid", "0", "--setgid", "0", `--wd=${cwd}`];
    await runOk("nsenter", [...enter, "bash", "-ec", script]);
  } finally {
    endSleeper(pid);
  }
}

async function open(directory: TempDir, options: OpenOptions): Promise<GraphDriver> {
  // The container's root has to get there.
  await Deno.chmod(directory.path, 0o755);
  return await openDriver({
    work: "in-place",
    root: directory.join("root"),
    runRoot: directory.join("run"),
    ...options,
  });
}

async function makeLayers(driver: GraphDriver): Promise<void> {
  await driver.create("base");
  await driver.applyDiff("base", streamOf(tarOf(BASE)));
  await driver.create("middle", { parent: "base" });
  await driver.applyDiff("middle", streamOf(tarOf(MIDDLE)));
  await driver.createReadWrite("job", { parent: "middle", idMaps: MAPS });
}

const SCRIPT = `
  [ "$(stat -c %u:%g etc/passwd home/file uncovered | xargs)" = "0:0 1000:1001 65534:65534" ]
  echo new >new; echo theirs >theirs; chown 7:8 theirs; echo more >>etc/passwd; rm home/gone
  chmod 700 home; ! echo x >>uncovered`;

const CHANGES: Change[] = [
  { path: "/etc", kind: "modify" },
  { path: "/etc/passwd", kind: "modify" },
  { path: "/home", kind: "modify" },
  { path: "/home/gone", kind: "delete" },
  { path: "/new", kind: "add" },
  { path: "/theirs", kind: "add" },
];

const WRITTEN = ["new", "theirs", "etc", "etc/passwd", "home"];
const WRITTEN_IN = ["new 0:0 644", "theirs 7:8 644", "etc 0:0 755", "etc/passwd 0:0 644", "home 1000:1001 700"];
const WRITTEN_ON_DISK = [
  "new 100000:100000 644",
  "theirs 100007:100008 644",
  "etc 100000:100000 755",
  "etc/passwd 100000:100000 644",
  "home 101000:101001 700",
];

/** Each driver, and one whose diffs compare mounts. */
const ROWS: readonly OpenOptions[] = [
  ...DRIVER_NAMES.map((driver) => ({ driver })),
  { driver: "containers-overlay", options: ["overlay.mountopt=redirect_dir=on"] },
];

for (const row of ROWS) {
  const name = `${row.driver}${row.options === undefined ? "" : ` with ${row.options}`}`;

  testNeeding(
    [...NEEDS, needsProgram("nsenter")],
    `${name}: who writes in a mount with id maps does so with the host's ids, and its diff has the container's`,
    async () => {
      await using directory = await TempDir.make();
      await using driver = await open(directory, row);
      await makeLayers(driver);
      assertEquals(await driver.supportsShifting(), true);
      {
        await using job = await driver.get("job", { idMaps: MAPS });
        assertEquals(await seenOf(job.path), SEEN);
        await runInContainer(SCRIPT, job.path);
        assertEquals(await driver.changes("job", { idMaps: MAPS }), CHANGES);
        assertEquals(mountPointsBelow(directory.path), [job.path]);
        assertEquals(childProcesses(), []);
      }
      const { upperDir } = await driver.getMetadata("job");
      assertEquals(await owners(upperDir, WRITTEN), WRITTEN_ON_DISK);
      assertEquals(await driver.changes("job", { idMaps: MAPS }), CHANGES);
      assertEquals(mountPointsBelow(directory.path), []);

      await driver.create("copy", { parent: "middle" });
      await driver.applyDiff("copy", await driver.diff("job", { idMaps: MAPS }));
      assertEquals(await driver.changes("copy"), CHANGES);
      await using copy = await driver.get("copy", { readOnly: true });
      assertEquals(await owners(copy.path, WRITTEN), WRITTEN_IN);
      // Mounted again, it shows what was written; so it does below another layer, and read-only.
      await using again = await driver.get("job", { idMaps: MAPS });
      assertEquals(await owners(again.path, WRITTEN), WRITTEN_ON_DISK);
      await again[Symbol.asyncDispose]();
      await using view = await driver.get("job", { idMaps: MAPS, readOnly: true });
      assertEquals(await owners(view.path, [...WRITTEN, "home/file"]), [
        ...WRITTEN_ON_DISK,
        "home/file 101000:101001 4755",
      ]);
    },
  );
}

for (const driverName of DRIVER_NAMES) {
  testNeeding(
    NEEDS,
    `${driverName}: images are shown under other ids, each for itself, and nothing changes`,
    async () => {
      await using directory = await TempDir.make();
      await using driver = await open(directory, { driver: driverName });
      await makeLayers(driver);
      for (const id of ["middle", "base"]) {
        await using view = await driver.get(id, { idMaps: MAPS, readOnly: true });
        assertEquals(await owners(view.path, ["home/file", "nobodys"]), [
          "home/file 101000:101001 4755",
          "nobodys 165534:165534 644",
        ]);
        assertEquals(mountPointsBelow(directory.path), [view.path]);
      }
      await using plain = await driver.get("middle", { readOnly: true });
      assertEquals(await owners(plain.path, ["home/file", "etc/group"]), [
        "home/file 1000:1001 4755",
        "etc/group 0:42 644",
      ]);
    },
  );
}

testNeeding(
  [...NEEDS, needsProgram("setfacl"), needsProgram("setcap")],
  "a diff has ACLs and capabilities for the container's ids, and takes them in again",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory, {});
    await makeLayers(driver);
    const base = (await driver.getMetadata("base")).upperDir;
    await runOk(
      "bash",
      ["-ec", "setfacl -m u:7:rw etc/passwd; setfacl -d -m g:8:r home; setcap cap_chown+ep nobodys"],
      {
        cwd: base,
      },
    );
    const tell = async (cwd: string): Promise<string> =>
      (await runOk("bash", ["-ec", "getfacl -ncp etc/passwd home; getcap -n nobodys"], { cwd })).stdout;
    const before = await tell(base);
    {
      await using job = await driver.get("job", { idMaps: MAPS });
      await runOk("touch", ["etc/passwd", "home/file", "nobodys"], { cwd: job.path });
    }
    assertStringIncludes(await tell((await driver.getMetadata("job")).upperDir), "rootid=100000");
    await driver.create("copy");
    await driver.applyDiff("copy", await driver.diff("job", { idMaps: MAPS }));
    assertEquals(await tell((await driver.getMetadata("copy")).upperDir), before);
    // A store for such containers has the host's ids throughout.
    await using mapped = await open(directory, { root: directory.join("mapped"), idMaps: MAPS });
    await mapped.create("copy");
    await mapped.applyDiff("copy", await driver.diff("copy"));
    const { upperDir } = await mapped.getMetadata("copy");
    assertEquals(await tell(upperDir), before.replace("user:7:", "user:100007:").replace(":8:", ":100008:"));
    await driver.create("back");
    await driver.applyDiff("back", await mapped.diff("copy"));
    assertEquals(await tell((await driver.getMetadata("back")).upperDir), before);
  },
);

for (const driverName of ["overlay2", "containers-overlay"] as const) {
  testNeeding(NEEDS, `${driverName}: a layer on one that was written with id maps shows both as they are`, async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory, { driver: driverName });
    await makeLayers(driver);
    await using job = await driver.get("job", { idMaps: MAPS });
    await Deno.writeTextFile(`${job.path}/new`, "x");
    await Deno.chown(`${job.path}/new`, 100_005, 100_006);
    await job[Symbol.asyncDispose]();
    await driver.createReadWrite("second", { parent: "job", idMaps: MAPS });
    await using second = await driver.get("second", { idMaps: MAPS });
    assertEquals(await owners(second.path, ["new"]), ["new 100005:100006 644"]);
    assertEquals(await seenOf(second.path), SEEN);
  });
}

for (const mountApi of ["new", "classic", "from"] as const) {
  testNeeding(NEEDS, `a deep chain is mounted with id maps by ${mountApi}`, async () => {
    await using directory = await TempDir.make();
    await using driver = await open(directory, { mountApi });
    for (let i = 0; i < 20; i++) {
      await driver.create(`layer-${i}`, i === 0 ? {} : { parent: `layer-${i - 1}` });
      await driver.applyDiff(`layer-${i}`, streamOf(tarOf([{ path: `file-${i}`, uid: i, gid: i }])));
    }
    await driver.createReadWrite("job", { parent: "layer-19", idMaps: MAPS });
    await using job = await driver.get("job", { idMaps: MAPS });
    const names = Array.from({ length: 20 }, (_, i) => `file-${i}`);
    assertEquals(
      await owners(job.path, names),
      names.map((name, i) => `${name} ${100_000 + i}:${100_000 + i} 644`),
    );
  });
}

testNeeding(NEEDS, "a layer made without the maps is not mounted with them, and stays as it was", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory, {});
  await makeLayers(driver);
  await driver.createReadWrite("plain", { parent: "middle" });
  const error = await assertFails(driver.get("plain", { idMaps: MAPS }), "invalid_argument");
  assertStringIncludes(error.message, "0:0");
  assertStringIncludes(error.hint ?? "", "--uid-map");
  assertEquals(mountPointsBelow(directory.path), []);
  await using plain = await driver.get("plain");
  assertEquals(await owners(plain.path, ["home"]), ["home 1000:1001 750"]);
});

testNeeding(NEEDS, "layers of an image store whose file system maps no ids are not mounted with them", async () => {
  await using directory = await TempDir.make();
  await using images = await open(directory, { driver: "containers-overlay", root: directory.join("images") });
  await images.create("image");
  // Nothing can be written to a layer there that overlayfs would have to mark.
  await runOk("bash", ["-ec", "mkdir store; mount -t ramfs ramfs store; cp -a images/. store"], {
    cwd: directory.path,
  });
  const options = [`overlay.imagestore=${directory.join("store")}`];
  await using driver = await open(directory, { driver: "containers-overlay", options });
  await driver.createReadWrite("job", { parent: "image", idMaps: MAPS });
  const error = await assertFails(driver.get("job", { idMaps: MAPS }), "not_supported");
  assertStringIncludes(error.message, "ramfs");
  assertEquals(mountPointsBelow(directory.path), [directory.join("store")]);
});
