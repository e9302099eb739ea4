// SPDX-License-Identifier: Apache-2.0

/** What the options force_mask and ignore_chown_errors of containers-overlay do to a store. */

import "../_helpers/warm_libc.ts";
import { fileURLToPath } from "node:url";
import { assertEquals, assertMatch } from "@std/assert";
import { lgetxattr } from "../../ffi/xattr.ts";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";
import { streamOf } from "./driver_suite.ts";

const NEEDS = [needsRoot, needsOverlay];
const CLI = fileURLToPath(new URL("../../cli.ts", import.meta.url));

const BASE: readonly TarItem[] = [
  { path: "./", type: "5", mode: 0o750, uid: 3, gid: 4, mtime: 1000 },
  { path: "su", data: "su", mode: 0o4755, uid: 5, mtime: 1000 },
  { path: "tty", type: "3", mode: 0o620, gid: 5, major: 4, minor: 1, mtime: 1000 },
];
const CHANGE: readonly TarItem[] = [
  { path: "./", type: "5", mode: 0o755, uid: 3, gid: 4, mtime: 1000 },
  { path: "su", data: "su", mode: 0o755, uid: 6, mtime: 1000 },
  { path: ".wh.tty" },
];

async function open(directory: TempDir, name: string, options: string[]): Promise<GraphDriver> {
  return await openDriver({
    root: directory.join(name),
    runRoot: directory.join(`${name}-run`),
    driver: "containers-overlay",
    work: "in-place",
    options,
  });
}

async function bytesOf(driver: GraphDriver, id: string, parent?: string | null): Promise<Uint8Array> {
  const diff = await driver.diff(id, parent === undefined ? {} : { parent });
  return new Uint8Array(await new Response(diff).arrayBuffer());
}

function attributeOf(path: string): string {
  return new TextDecoder().decode(lgetxattr(path, "user.containers.override_stat"));
}

async function fill(driver: GraphDriver): Promise<void> {
  await driver.create("base");
  await driver.applyDiff("base", streamOf(tarOf(BASE)));
  await driver.create("child", { parent: "base" });
  await driver.applyDiff("child", streamOf(tarOf(CHANGE)));
}

for (const options of [[], ["mountopt=redirect_dir=on"]]) {
  const how = options.length === 0 ? "natively" : "by comparing mounts";
  testNeeding(NEEDS, `a store with force_mask says ${how} of its layers what one without says`, async () => {
    await using directory = await TempDir.make();
    await using masked = await open(directory, "masked", ["overlay.force_mask=shared", ...options]);
    await using plain = await open(directory, "plain", options);
    for (const driver of [masked, plain]) await fill(driver);
    for (const id of ["base", "child"]) {
      assertEquals(await bytesOf(masked, id), await bytesOf(plain, id), id);
      assertEquals(await bytesOf(masked, id, null), await bytesOf(plain, id, null), id);
      assertEquals(await masked.changes(id), await plain.changes(id));
      assertEquals(await masked.changes(id, { parent: null }), await plain.changes(id, { parent: null }));
      assertEquals(await masked.diffSize(id), await plain.diffSize(id));
    }
    assertEquals(await masked.changes("child"), [{ path: "/su", kind: "modify" }, { path: "/tty", kind: "delete" }]);
    await masked.create("copy", { parent: "base" });
    await masked.applyDiff("copy", await masked.diff("child"));
    await assertSameTree(`${masked.home}/copy/diff`, `${masked.home}/child/diff`, {
      // Whiteouts have the time when they were made.
      ignore: (path) => path === "tty",
    });
  });
}

testNeeding(NEEDS, "with force_mask the root of a layer has the mask, and children what it really is", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory, "store", [".force_mask=0711"]);
  await driver.create("base");
  const root = (id: string): Promise<Deno.FileInfo> => Deno.stat(`${driver.home}/${id}/diff`);
  assertEquals([(await root("base")).mode! & 0o7777, attributeOf(`${driver.home}/base/diff`)], [0o711, "0:0:0555:dir"]);
  await driver.applyDiff("base", streamOf(tarOf(BASE)));
  await driver.create("child", { parent: "base" });
  for (const id of ["base", "child"]) {
    const { mode, uid, gid } = await root(id);
    assertEquals([mode! & 0o7777, uid, gid], [0o711, 0, 0]);
    assertEquals(attributeOf(`${driver.home}/${id}/diff`), "3:4:0750:dir");
  }
});

testNeeding(NEEDS, "with force_mask there are no layers to write in, and mounts show the masks", async () => {
  await using directory = await TempDir.make();
  await using driver = await open(directory, "store", ["force_mask=private"]);
  await fill(driver);
  await assertFails(driver.createReadWrite("job", { parent: "base" }), "not_supported");
  await driver.createFromTemplate("like", "child");
  await using like = await driver.get("like");
  assertEquals(await namesIn(like.path), ["su"]);
  assertEquals((await Deno.stat(`${like.path}/su`)).mode! & 0o7777, 0o700);
  await assertFails(driver.createReadWrite("sized", { storageOptions: { sise: "1" } }), "invalid_argument");
});

testNeeding(
  [...NEEDS, needsProgram("unshare")],
  "with ignore_chown_errors owners that cannot be set are passed over, counted, and told of once",
  async () => {
    await using directory = await TempDir.make();
    await Deno.writeFile(
      directory.join("base.tar"),
      tarOf([{ path: "d/", type: "5", uid: 7, mode: 0o755 }, ...BASE.slice(0, 2), {
        path: "link",
        type: "2",
        link: "su",
        gid: 9,
      }]),
    );
    const apply = async (
      root: string,
      ...options: string[]
    ): Promise<{ code: number; stderr: string; stdout: string }> =>
      await run("unshare", [
        "-Urm",
        Deno.execPath(),
        ...["run", "--quiet", "--no-lock", "--allow-all", CLI, "--root", directory.join(root), "--run-root"],
        ...[directory.join(`${root}-run`), "--driver", "containers-overlay", "--json", ...options],
        ...["apply", "base", directory.join("base.tar")],
      ]);
    const refused = await apply("strict");
    assertEquals([refused.code === 0, await namesIn(`${directory.join("strict")}/overlay`)], [false, ["l"]]);
    const { code, stdout, stderr } = await apply("lax", "--storage-opt", "overlay.ignore_chown_errors=true");
    assertEquals(code, 0, stderr);
    assertEquals(JSON.parse(stdout).unsetOwners, 4);
    assertMatch(stderr, /layer "base": 4 files have not got the owner/);
    assertEquals(stderr.trim().split("\n").length, 1);
    const diff = directory.join("lax/overlay/base/diff");
    assertEquals((await Deno.stat(`${diff}/su`)).mode! & 0o7777, 0o4755);
    assertEquals((await Deno.stat(`${diff}/su`)).uid, 0);
  },
);
