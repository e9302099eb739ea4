// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina import`: a layer from a root file system, or none at all.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { TestStore } from "./_run_lamina.ts";

const NEEDS = [needsRoot, needsOverlay];
const ARCHIVE = tarOf([{ path: "etc/motd", data: "hello\n" }, { path: "bin", type: "2", link: "usr/bin" }]);

testNeeding(NEEDS, "import makes a layer of a file or of standard input, with digests and a manifest", async () => {
  await using store = await TestStore.make();
  const file = store.directory.join("rootfs.tar");
  await Deno.writeFile(file, ARCHIVE);
  const told = await store.json(["import", "base", file, "--digest", "--manifest"]) as Record<string, unknown>;
  assertEquals([told.id, told.entries], ["base", 2]);
  assertMatch(String(told.diffId), /^sha256:\w{64}$/);
  assertEquals(await store.json(["verify"]), [{ id: "base", differences: [] }]);
  const { stdout, stderr } = await store.lamina(["import", "child", "-", "--parent", "base"], { input: ARCHIVE });
  assertEquals(stdout, "");
  assertMatch(stderr, /^imported child: 2 entries, /);
  assertEquals(await store.drawing(), "base\n└── child\n");
});

testNeeding(NEEDS, "what cannot be imported leaves no layer, and one that is there as it is", async () => {
  await using store = await TestStore.make();
  await store.ok(["import", "base", "-"], { input: ARCHIVE });
  const refusals: readonly [args: readonly string[], input: Uint8Array, code: number][] = [
    [["base", "-"], ARCHIVE, 4],
    [["new", "-"], ARCHIVE.subarray(0, 700), 6],
    [["new", "-", "--limit", "entries=1"], ARCHIVE, 6],
    [["new", "-"], tarOf([{ path: "../x" }]), 6],
    [["new", "-", "--parent", "none"], ARCHIVE, 3],
    [["new", "/nowhere/to/be/found"], ARCHIVE, 6],
    [["new"], ARCHIVE, 2],
    [["new", "-", "--limit", "entries"], ARCHIVE, 2],
  ];
  for (const [args, input, code] of refusals) {
    const result = await store.lamina(["import", ...args], { input });
    assertEquals({ args, code: result.code }, { args, code }, result.stderr);
  }
  assertEquals(await store.ok(["ls"]), "base\n");
  assertEquals(await store.ok(["changes", "base"]), "A /bin\nA /etc\nA /etc/motd\n");
});
