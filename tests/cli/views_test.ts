// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina mount --at` and `lamina unmount --at`: as a user, a script, and a unit of systemd call them.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { isMountPoint, mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TestStore } from "./_run_lamina.ts";

const NEEDS = [needsRoot, needsOverlay];

/** A store with the layer `base`, and `job` and `other` on it. */
async function makeStore(): Promise<TestStore> {
  const store = await TestStore.make();
  await store.ok(["create", "base"]);
  for (const id of ["job", "other"]) await store.ok(["create", id, "--parent", "base", "--read-write"]);
  return store;
}

testNeeding(
  NEEDS,
  "mount --at shows a layer at a directory until unmount --at, each in a process of its own",
  async () => {
    await using store = await makeStore();
    const place = await store.directory.mkdir("place");
    assertEquals(await store.ok(["mount", "job", "--at", place]), `${place}\n`);
    await Deno.writeTextFile(`${place}/new`, "x");
    const { mergedDir } = await store.json(["inspect", "job"]) as { mergedDir: string };
    assertEquals(await store.ok(["mounts"]), `job  ${mergedDir}\njob  ${place}\n`);
    assertEquals(await store.json(["mounts"]), [
      { id: "job", path: mergedDir },
      { id: "job", path: place, ids: ["job"], readOnly: false },
    ]);
    // A service that is started twice.
    assertEquals(await store.json(["mount", "job", "--at", place]), { ids: ["job"], path: place, readOnly: false });
    assertEquals(mountPointsBelow(place), [place]);
    assertEquals(await store.ok(["unmount", "--at", place]), "");
    assertEquals(mountPointsBelow(store.directory.path), []);
    assertEquals(await store.ok(["changes", "job"]), "A /new\n");
  },
);

testNeeding(NEEDS, "unmount --at of nothing says so and ends with 1; of somebody else's mount it refuses", async () => {
  await using store = await makeStore();
  const place = await store.directory.mkdir("place");
  const nothing = await store.lamina(["unmount", "--at", place]);
  assertEquals(nothing, { code: 1, stdout: "", stderr: `nothing is mounted at ${place}\n` });
  const { code, stdout } = await store.lamina(["unmount", "--at", place, "--json"]);
  assertEquals([code, JSON.parse(stdout)], [1, { at: place, unmounted: false }]);
  const foreign = await store.lamina(["unmount", "--at", "/proc"]);
  assertEquals(foreign.code, 6);
  assertMatch(foreign.stderr, /^lamina: error: Cannot unmount \/proc: it is no view of the store/);
  assert(isMountPoint("/proc"));
});

testNeeding(
  NEEDS,
  "several layers are joined at one place, and a directory with files is covered with a warning",
  async () => {
    await using store = await makeStore();
    const place = await store.directory.mkdir("place");
    await Deno.writeTextFile(`${place}/covered`, "");
    const { code, stdout, stderr } = await store.lamina(["mount", "job", "other", "--at", place]);
    assertEquals([code, stdout], [0, `${place}\n`]);
    assertStringIncludes(stderr, "is not empty");
    assertEquals(await store.ok(["mounts"]), `job,other  ${place}\n`);
    assertEquals(await store.json(["cleanup"]), { unmounted: [], views: [place], removed: [] });
    assertEquals(await namesIn(place), ["covered"]);
  },
);

testNeeding(NEEDS, "a layer in a view is not taken away from under it", async () => {
  await using store = await makeStore();
  const place = await store.directory.mkdir("place");
  await store.ok(["mount", "job", "--at", place, "--read-only"]);
  for (const args of [["unmount", "job", "--force"], ["rm", "job"], ["rm", "--force", "job"]]) {
    const { code, stderr } = await store.lamina(args);
    assertEquals(code, 4);
    assertStringIncludes(stderr, `it is shown at ${place}`);
    assertStringIncludes(stderr, `lamina: hint: take that down first: lamina unmount --at ${place}\n`);
  }
  const { code, stderr } = await store.lamina(["unmount", "job"]);
  assertEquals([code, stderr], [0, `job stays mounted: it is shown at ${place}\n`]);
  assert(isMountPoint(place));
  await store.ok(["unmount", "--at", place]);
  await store.ok(["rm", "job"]);
});

testNeeding(NEEDS, "a place is taken from where lamina is called, and its name cannot steer a terminal", async () => {
  await using store = await makeStore();
  const place = await store.directory.mkdir("work/a\nb\x1b");
  const cwd = store.directory.join("work");
  const printed = `${cwd}/a\\nb\\x1b\n`;
  assertEquals(await store.ok(["mount", "job", "--at", "a\nb\x1b"], { cwd }), printed);
  assert(isMountPoint(place));
  assertStringIncludes(await store.ok(["mounts"]), `job  ${printed}`);
  await store.ok(["unmount", "--at", "../work/a\nb\x1b"], { cwd });
  assertEquals(mountPointsBelow(store.directory.path), []);
});

testNeeding(NEEDS, "a layer's own mount is what it is asked for, or refused", async () => {
  await using store = await makeStore();
  await store.ok(["mount", "job"]);
  const { code, stderr } = await store.lamina(["mount", "job", "--read-only"]);
  assertEquals(code, 4);
  assertStringIncludes(stderr, "lamina mount job --read-only --at DIR");
});
