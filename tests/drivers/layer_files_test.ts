// SPDX-License-Identifier: Apache-2.0

/**
 * Files that are copied out of layers and into them: nothing gets lost, and no path leads out.
 *
 * @module
 */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { AT_FDCWD, Fd, O_RDONLY, openat } from "../../ffi/file.ts";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { copyFromLayer, copyToLayer } from "../../lib/drivers/layer_files.ts";
import { DRIVER_NAMES, openDriver } from "../../lib/drivers/registry.ts";
import { importLayer } from "../../lib/drivers/whole_layers.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";
import { makeChangedLayers, NEEDS_CHANGED_LAYERS } from "./_changed_layers.ts";

const NEEDS = [needsRoot, needsOverlay];

const BASE: readonly TarItem[] = [
  { path: "etc/motd", data: "hello\n" },
  { path: "etc/secret", data: "of the layer\n" },
  { path: "root", type: "2", link: "/" },
];

/** A store with `base`, and `job` on it, in which `items` are. */
async function withJob(
  items: readonly TarItem[],
  body: (driver: GraphDriver, directory: TempDir) => Promise<void>,
): Promise<void> {
  await using directory = await TempDir.make();
  await using driver = await openDriver({ root: directory.join("root"), runRoot: directory.join("run") });
  await importLayer(driver, "base", new Blob([tarOf(BASE)]).stream());
  await importLayer(driver, "job", new Blob([tarOf(items)]).stream(), { parent: "base" });
  await body(driver, directory);
  assertEquals(mountPointsBelow(directory.path), []);
}

for (const name of DRIVER_NAMES) {
  testNeeding(
    [...NEEDS, ...NEEDS_CHANGED_LAYERS],
    `${name}: what is copied out and in again is as it was`,
    async () => {
      await using directory = await TempDir.make();
      const places = { root: directory.join("root"), runRoot: directory.join("run") };
      await using driver = await openDriver({ ...places, driver: name });
      await makeChangedLayers(driver);
      await driver.createReadWrite("copy");
      await copyFromLayer(driver, "top", "/", directory.join("out"));
      await copyToLayer(driver, `${directory.path}/out/.`, "copy", "/");
      await using expected = await driver.get("top");
      // The root's own owner and mode are those of the directory that was made for it.
      await assertSameTree(directory.join("out"), expected.path, { withoutRoot: true });
      await using copy = await driver.get("copy");
      await assertSameTree(copy.path, expected.path, { withoutRoot: true });
    },
  );
}

testNeeding(
  NEEDS,
  "what is copied goes into a directory that is there, and else by the name that it is given",
  async () => {
    const items = [{ path: "link", type: "2", link: "etc/motd" }, { path: "links", type: "2", link: "/etc" }];
    await withJob(items, async (driver, directory) => {
      const outwards: readonly [from: string, to: string, names: readonly string[]][] = [
        ["etc", "a/", ["etc"]],
        ["etc/", "b", ["etc"]],
        ["etc/.", "c", ["motd", "secret"]],
        ["links/", "d", ["links"]],
        ["/", "e", ["etc", "link", "links", "root"]],
        ["etc/motd", "f/.", ["motd"]],
      ];
      for (const [from, to, names] of outwards) {
        const into = await directory.mkdir(to[0]!);
        await copyFromLayer(driver, "job", from, directory.join(to));
        assertEquals({ from, names: await namesIn(into) }, { from, names: [...names] });
      }
      assertEquals(await namesIn(directory.join("d/links")), ["motd", "secret"]);
      await copyFromLayer(driver, "job", "link", directory.join("renamed"));
      assertEquals(await Deno.readLink(directory.join("renamed")), "etc/motd");

      const tree = directory.join("c");
      await Deno.link(`${tree}/motd`, `${tree}/same`);
      await Deno.writeTextFile(`${tree}/motd`, "new\n");
      await copyToLayer(driver, `${tree}/motd`, "job", "/etc/renamed");
      await copyToLayer(driver, `${tree}/.`, "job", "links");
      await copyToLayer(driver, tree, "job", "/");
      await copyToLayer(driver, tree, "job", "made");
      await copyToLayer(driver, `${tree}/motd`, "job", "/link");
      await using job = await driver.get("job");
      assertEquals(await namesIn(job.path), ["c", "etc", "link", "links", "made", "root"]);
      assertEquals(await namesIn(`${job.path}/etc`), ["motd", "renamed", "same", "secret"]);
      assertEquals((await Deno.stat(`${job.path}/etc/motd`)).nlink, 2);
      for (const path of ["link", "etc/motd"]) assertEquals(await Deno.readTextFile(`${job.path}/${path}`), "new\n");
    });
  },
);

testNeeding(NEEDS, "no link and no .. of a path leads out of a layer", async () => {
  await using outside = await TempDir.make();
  await Deno.writeTextFile(outside.join("secret"), "of the host\n");
  const links: readonly TarItem[] = [
    { path: "out", type: "2", link: outside.path },
    { path: "up", type: "2", link: `../../../../../..${outside.path}` },
    { path: "self", type: "2", link: "/proc/self/root" },
    { path: "file", type: "2", link: outside.join("secret") },
    { path: "loop", type: "2", link: "loop" },
  ];
  await withJob(links, async (driver, directory) => {
    const into = await directory.mkdir("into");
    const source = directory.join("source");
    await Deno.writeTextFile(source, "new\n");
    const ups = ["../../..", "/../..", "root/.."].map((up) => `${up}${outside.path}`);
    for (const way of ["out", "up", "self", "loop", ...ups]) {
      await assertFails(copyFromLayer(driver, "job", `${way}/secret`, into), "invalid_argument");
      await assertFails(copyFromLayer(driver, "job", `${way}/`, into), "invalid_argument");
      await assertFails(copyToLayer(driver, source, "job", `${way}/new`), "invalid_argument");
    }
    // As in a chroot, the way up ends at the root.
    await copyFromLayer(driver, "job", "../../root/../etc/secret", into);
    assertEquals(await Deno.readTextFile(`${into}/secret`), "of the layer\n");
    // A link in the place of a file is replaced, and what it leads to is not written.
    await copyToLayer(driver, source, "job", "file");
    for (const [path, code] of [["up/new", "invalid_archive"], ["../new", "unsafe_path"]] as const) {
      await Deno.writeFile(source, tarOf([{ path, data: "x" }]));
      using attack = new Fd(openat(AT_FDCWD, source, O_RDONLY));
      await assertFails(copyToLayer(driver, { fd: attack.fd }, "job", "/"), code);
    }
    assertEquals(await namesIn(outside.path), ["secret"]);
    assertEquals(await Deno.readTextFile(outside.join("secret")), "of the host\n");
  });
});

testNeeding(NEEDS, "links that came out before are not followed when more comes out", async () => {
  await using outside = await TempDir.make();
  const items = [{ path: "etc/deep/x", data: "x" }, { path: "a/deep", type: "2", link: outside.path }];
  await withJob(items, async (driver, directory) => {
    const into = await directory.mkdir("into");
    await copyFromLayer(driver, "job", "a", `${into}/etc`);
    await copyFromLayer(driver, "job", "etc", into);
    assertEquals(await namesIn(outside.path), []);
    assertEquals(await namesIn(`${into}/etc/deep`), ["x"]);
  });
});

testNeeding(NEEDS, "what has no place is refused, and directories stay", async () => {
  await withJob([{ path: "dir/file", data: "x" }], async (driver, directory) => {
    const into = await directory.mkdir("into");
    await Deno.mkdir(`${into}/motd`);
    await Deno.writeTextFile(`${into}/file`, "");
    const tree = await directory.mkdir("tree");
    await Deno.writeTextFile(`${tree}/dir`, "");
    const outwards = [
      ["/etc/none", into],
      ["/etc/motd/x", into],
      ["/etc/motd/.", into],
      ["/etc/motd", into],
      ["/etc", `${into}/file`],
      ["/etc/motd", `${directory.path}/none/`],
      ["/etc/motd", `${directory.path}/none/below`],
    ] as const;
    for (const [from, to] of outwards) await assertFails(copyFromLayer(driver, "job", from, to), "invalid_argument");
    const inwards = [[`${tree}/.`, "/"], [tree, "/dir/file"], [`${tree}/none`, "/"], [tree, "/none/below"]] as const;
    for (const [from, to] of inwards) await assertFails(copyToLayer(driver, from, "job", to), "invalid_argument");
    await assertFails(copyFromLayer(driver, "none", "/", into), "layer_not_found");
    for (const id of ["../base", "a:b", ""]) {
      await assertFails(copyFromLayer(driver, id, "/", into), "invalid_argument");
      await assertFails(copyToLayer(driver, tree, id, "/"), "invalid_argument");
    }
    assertEquals(await driver.changes("job"), [{ path: "/dir", kind: "add" }, { path: "/dir/file", kind: "add" }]);
  });
});

testNeeding(NEEDS, "a mounted layer is copied from and into; one that is committed only from", async () => {
  await withJob([], async (driver, directory) => {
    const source = directory.join("source");
    await Deno.writeTextFile(source, "new\n");
    {
      await using job = await driver.get("job");
      await Deno.writeTextFile(`${job.path}/seen`, "");
      await copyFromLayer(driver, "job", "seen", directory.join("seen"));
      await copyToLayer(driver, source, "job", "/");
      assertEquals(await Deno.readTextFile(`${job.path}/source`), "new\n");
    }
    await assertFails(copyToLayer(driver, source, "base", "/"), "layer_in_use");
    await driver.create("child", { parent: "job" });
    await assertFails(copyToLayer(driver, source, "job", "/"), "layer_in_use");
    await driver.remove("child");
    await assertFails(copyToLayer(driver, source, "job", "/"), "layer_in_use");
    await copyFromLayer(driver, "job", "source", directory.join("back"));
    assertEquals(await Deno.readTextFile(directory.join("back")), "new\n");
  });
});
