// SPDX-License-Identifier: Apache-2.0

/**
 * Views, checks, manifests and what dead processes left, by a client: it is told what the driver itself tells, and fails
 * as that does.
 *
 * @module
 */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { StorageError } from "../../lib/errors.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { isMountPoint, mountPointsBelow } from "../_helpers/mount_points.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { findingsOf } from "../drivers/_damaged_store.ts";
import { connect } from "../../mod.ts";
import { openServedDriver } from "./_served_driver.ts";

/** One store: as an agent's client sees it, and as its own driver does. */
interface BothSides {
  directory: TempDir;
  remote: GraphDriver;
  local: GraphDriver;
}

/** Adds a test on a store with `base`, which has a manifest, and `job` and `other` on it. */
function test(title: string, body: (sides: BothSides) => Promise<void>): void {
  testNeeding([needsRoot, needsOverlay], title, async () => {
    await using directory = await TempDir.make();
    const places = { root: directory.join("root"), runRoot: directory.join("run"), driver: "overlay2" } as const;
    await using remote = await openServedDriver(places);
    await using local = await openDriver({ ...places, work: "in-place" });
    await local.create("base");
    const archive = tarOf([{ path: "etc/motd", data: "hello\n" }, { path: "etc/other", data: "" }]);
    await local.applyDiff("base", ReadableStream.from([archive]), { manifest: true });
    for (const id of ["job", "other"]) await local.createReadWrite(id, { parent: "base" });
    await body({ directory, remote, local });
  });
}

/** What is told of a failure. */
async function failureOf(action: Promise<unknown>): Promise<Pick<StorageError, "code" | "message" | "hint">> {
  const { code, message, hint } = await assertRejects(() => action, StorageError);
  return { code, message, hint };
}

test("a view that a client makes is the driver's own, and either takes it down", async ({ directory, remote, local }) => {
  const place = await directory.mkdir("place");
  for (const [maker, taker] of [[remote, local], [local, remote]] as const) {
    const made = await maker.mountAt(place, ["job"], { readOnly: true, mountOptions: ["nosuid"] });
    const { path, ids, readOnly } = made;
    assertEquals({ path, ids, readOnly, isNew: made.isNew }, {
      path: place,
      ids: ["job"],
      readOnly: true,
      isNew: true,
    });
    assertEquals(await remote.views(), [{ path, ids, readOnly }]);
    assertEquals(await local.views(), await remote.views());
    // The same again is no second mount: all options have come through.
    const again = await taker.mountAt(place, ["job"], { readOnly: true, mountOptions: ["nosuid"] });
    assertEquals(again.isNew, false);
    assertEquals(mountPointsBelow(place), [place]);
    assertEquals([await taker.unmountAt(place), await maker.unmountAt(place)], [true, false]);
    assertEquals([await remote.views(), await local.views()], [[], []]);
  }
});

test("a client that goes takes its views down, those within others first, and no others", async (sides) => {
  const { directory, remote, local } = sides;
  const [outer, theirs] = [await directory.mkdir("outer"), await directory.mkdir("theirs")];
  await local.mountAt(theirs, ["base"], { readOnly: true });
  {
    await using client = await connect({ socket: directory.join("run/lamina.sock") });
    await client.mountAt(theirs, ["base"], { readOnly: true });
    await client.mountAt(outer, ["base", "other"]);
    await client.mountAt(`${outer}/etc`, ["job"]);
    assertEquals((await remote.views()).length, 3);
  }
  assertEquals(mountPointsBelow(outer), []);
  assert(isMountPoint(theirs));
});

test("a client that goes leaves a place that it gave back by another name to who took it since", async (sides) => {
  const { directory, local } = sides;
  const place = await directory.mkdir("place");
  await Deno.symlink("place", directory.join("link"));
  {
    await using client = await connect({ socket: directory.join("run/lamina.sock") });
    await client.mountAt(place, ["job"]);
    assert(await client.unmountAt(directory.join("link")));
    await local.mountAt(place, ["other"]);
  }
  assert(isMountPoint(place));
});

test("disposing a client twice is disposing it once", async ({ directory }) => {
  await using client = await connect({ socket: directory.join("run/lamina.sock") });
  await client[Symbol.asyncDispose]();
});

test("a path goes through symbolic links as the kernel has it, also by a client", async ({ directory, remote, local }) => {
  const place = await directory.mkdir("far/place");
  await directory.mkdir("far/deep");
  await Deno.symlink("far/deep", directory.join("link"));
  for (const driver of [local, remote]) {
    await using view = await driver.mountAt(`${directory.path}/link/../place`, ["job"]);
    assertEquals(view.path, place);
  }
});

test("what fails by a client fails as it does without: code, message and hint", async ({ directory, remote, local }) => {
  const [place, taken] = [await directory.mkdir("place"), await directory.mkdir("taken")];
  await Deno.writeTextFile(directory.join("file"), "");
  await local.mountAt(taken, ["base", "other"]);
  await local.mountAt(`${taken}/etc`, ["base"], { readOnly: true });
  const archive = ReadableStream.from([tarOf([{ path: "file", data: "" }])]);
  await local.create("cut");
  await local.applyDiff("cut", archive, { manifest: true });
  await Deno.truncate(`${local.home}/cut/.lamina-manifest`, 25);
  const actions: readonly ((driver: GraphDriver) => Promise<unknown>)[] = [
    (driver) => driver.mountAt("", ["job"]),
    (driver) => driver.unmountAt("/a\0b"),
    (driver) => driver.mountAt(place, []),
    (driver) => driver.mountAt(place, ["none"]),
    (driver) => driver.mountAt(place, ["../etc"]),
    (driver) => driver.mountAt(place, ["job", "job"]),
    (driver) => driver.mountAt(place, ["job"], { mountOptions: ["upperdir=/etc"] }),
    (driver) => driver.mountAt(directory.join("missing"), ["job"]),
    (driver) => driver.mountAt(directory.join("file"), ["job"]),
    (driver) => driver.mountAt(local.home, ["job"]),
    (driver) => driver.mountAt(taken, ["job"]),
    (driver) => driver.unmountAt(taken),
    (driver) => driver.unmountAt("/proc"),
    (driver) => driver.remove("other", { force: true }),
    (driver) => driver.get("other"),
    (driver) => driver.verify("none"),
    (driver) => driver.verify("../etc"),
    (driver) => driver.verify("cut"),
    (driver) => driver.recordManifest("none"),
    (driver) => findingsOf(driver, { dockerRoot: directory.join("missing") }),
  ];
  for (const action of actions) {
    assertEquals(await failureOf(action(remote)), await failureOf(action(local)), String(action));
  }
  for (const driver of [remote, local]) {
    const signal = AbortSignal.abort();
    await assertFails(findingsOf(driver, { signal }), "aborted");
    await assertFails(driver.verify("base", { signal }), "aborted");
  }
});

test("check() finds and repairs the same by a client as without", async ({ remote, local }) => {
  const damage = (): Promise<unknown> =>
    runOk("bash", ["-ec", ": >base/link; mknod base/diff/gone c 0 0"], { cwd: local.home });
  assertEquals(await findingsOf(remote, { deep: true }), []);
  await damage();
  for (const options of [{}, { deep: true }]) {
    const found = await findingsOf(local, options);
    assertEquals(found.length > 0, true);
    assertEquals(await findingsOf(remote, options), found);
  }
  const repaired = await findingsOf(local, { repair: true });
  await runOk("rm", ["base/diff/gone"], { cwd: local.home });
  await damage();
  assertEquals(await findingsOf(remote, { repair: true }), repaired);
  assertEquals(repaired.map(({ code, repaired }) => [code, repaired]), [["link_empty", true]]);
  assertEquals(await findingsOf(remote), []);
});

test("a manifest says the same by a client as without, whoever wrote it", async ({ remote, local }) => {
  assertEquals([await remote.verify("base"), await remote.verify("job")], [[], undefined]);
  await runOk("bash", ["-ec", "echo more >>etc/motd; rm etc/other; echo >new"], { cwd: `${local.home}/base/diff` });
  const differences = await local.verify("base");
  assertEquals(differences?.map(({ change }) => change), ["changed", "missing", "added"]);
  assertEquals(await remote.verify("base"), differences);
  for (const id of ["base", "job"]) {
    await remote.recordManifest(id);
    assertEquals([await local.verify(id), await remote.verify(id)], [[], []]);
  }
});

test("sweep() by a client removes what it removes without", async ({ remote, local }) => {
  for (const driver of [local, remote]) {
    await Deno.mkdir(`${local.home}/.lamina-remove-OLD/diff`, { recursive: true });
    assertEquals(await driver.sweep(), [".lamina-remove-OLD"]);
    assertEquals(await driver.sweep(), []);
  }
});
