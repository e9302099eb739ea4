// SPDX-License-Identifier: Apache-2.0

/** What rootless_test.ts runs in a user namespace with one id, in which all files are root's. */

import "../_helpers/warm_libc.ts";
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver, type OpenOptions } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";
import { ROOTLESS_ROWS } from "./_rootless_rows.ts";
import { streamOf } from "./driver_suite.ts";

const BASE: readonly TarItem[] = [
  { path: "etc/", type: "5", mode: 0o755, mtime: 1000 },
  { path: "etc/hosts", data: "127.0.0.1\n", mtime: 1000 },
  { path: "etc/passwd", data: "root\n", mtime: 1000 },
  { path: "bin/su", data: "su", mode: 0o4755, mtime: 1000 },
  { path: "var/log/old", data: "old", mtime: 1000 },
];

async function withStore(
  options: OpenOptions,
  body: (driver: GraphDriver, directory: TempDir) => Promise<void>,
): Promise<void> {
  await using directory = await TempDir.make();
  await using driver = await openDriver({
    ...options,
    root: directory.join("root"),
    runRoot: directory.join("run"),
  });
  await body(driver, directory);
}

async function changeEverything(tree: string): Promise<void> {
  await Deno.writeTextFile(`${tree}/etc/hosts`, "::1\n", { append: true });
  await Deno.remove(`${tree}/etc/passwd`);
  await Deno.remove(`${tree}/var`, { recursive: true });
  await Deno.mkdir(`${tree}/var`);
  await Deno.writeTextFile(`${tree}/var/new`, "new");
  await Deno.mkdir(`${tree}/srv`);
}

for (const { name, options } of ROOTLESS_ROWS) {
  Deno.test(`${name}: layers are made, filled, mounted, changed, moved and removed`, async () => {
    await withStore(options, async (driver, directory) => {
      await driver.create("base");
      assertEquals((await driver.applyDiff("base", streamOf(tarOf(BASE)))).entries, 5);
      await driver.createReadWrite("job", { parent: "base" });
      {
        await using job = await driver.get("job");
        await changeEverything(job.path);
        assertEquals(await namesIn(`${job.path}/var`), ["new"]);
      }
      const changes = await driver.changes("job");
      assertEquals(changes.map(({ path, kind }) => `${kind} ${path}`), [
        "modify /etc",
        "modify /etc/hosts",
        "delete /etc/passwd",
        "add /srv",
        "modify /var",
        "delete /var/log",
        "add /var/new",
      ]);
      await driver.create("copy", { parent: "base" });
      await driver.applyDiff("copy", await driver.diff("job"));
      assertEquals(await driver.changes("copy"), changes);
      assertEquals(await driver.diffSize("copy"), await driver.diffSize("job"));
      {
        await using job = await driver.get("job", { readOnly: true });
        await using copy = await driver.get("copy", { readOnly: true });
        await assertSameTree(job.path, copy.path);
      }
      for (const id of ["copy", "job", "base"]) await driver.remove(id);
      assertEquals(await Array.fromAsync(driver.layers()), []);
      assertEquals(mountPointsBelow(directory.path), []);
    });
  });

  Deno.test(`${name}: an owner that the namespace lacks is refused by its number, and leaves the layer empty`, async () => {
    await withStore(options, async (driver) => {
      await driver.create("base");
      for (const owner of [{ uid: 1000 }, { gid: 1000 }]) {
        for (const item of [{ path: "file" }, { path: "d/", type: "5" }, { path: "l", type: "2", link: "x" }]) {
          const archive = tarOf([{ path: "first" }, { ...item, ...owner }]);
          const error = await assertFails(driver.applyDiff("base", streamOf(archive)), "permission_denied");
          assertStringIncludes(error.message, `"${item.path.replace("/", "")}`);
          assertStringIncludes(error.message, "1000");
          assertStringIncludes(error.hint ?? "", "/etc/subuid");
        }
      }
      await using base = await driver.get("base");
      assertEquals(await namesIn(base.path), []);
    });
  });

  Deno.test(`${name}: a new layer for ids that the namespace lacks is refused, and leaves nothing`, async () => {
    await withStore(options, async (driver) => {
      const maps = [{ containerId: 0, hostId: 100_000, size: 10 }];
      const error = await assertFails(
        driver.create("base", { idMaps: { uidMaps: maps, gidMaps: maps } }),
        "permission_denied",
      );
      assertStringIncludes(error.message, "100000");
      assertEquals(await Array.fromAsync(driver.layers()), []);
      await driver.create("base");
    });
  });

  Deno.test(`${name}: mounts map the ids of layers only by a mount program`, async () => {
    await withStore(options, async (driver) => {
      await driver.create("base");
      await driver.createReadWrite("job", { parent: "base" });
      const byProgram = options.options !== undefined;
      assertEquals(await driver.supportsShifting(), byProgram);
      if (byProgram) return;
      const maps = [{ containerId: 0, hostId: 0, size: 1 }];
      const idMaps = { uidMaps: maps, gidMaps: maps };
      const error = await assertFails(driver.get("job", { idMaps }), "not_supported");
      assertStringIncludes(error.hint ?? "", "CAP_SYS_ADMIN");
    });
  });

  Deno.test(`${name}: devices and trusted attributes are refused, the latter unless told otherwise`, async () => {
    await withStore(options, async (driver) => {
      await driver.create("base");
      const device = tarOf([{ path: "null", type: "3", major: 1, minor: 3 }]);
      await assertFails(driver.applyDiff("base", streamOf(device)), "permission_denied");
      const trusted = tarOf([{ path: "f", pax: { "SCHILY.xattr.trusted.x": "1" } }]);
      await assertFails(driver.applyDiff("base", streamOf(trusted)), "permission_denied");
      const { droppedXattrs } = await driver.applyDiff("base", streamOf(trusted), {
        xattrs: { trusted: "best-effort" },
      });
      assertEquals(droppedXattrs.map(({ name }) => name), ["trusted.x"]);
    });
  });
}
