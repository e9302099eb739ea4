// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina squash`. That nothing gets lost is tested on all drivers in tests/drivers/whole_layers_test.ts.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { TestStore } from "./_run_lamina.ts";

testNeeding([needsRoot, needsOverlay], "squash makes one layer of several, above one of them or none", async () => {
  await using store = await TestStore.make();
  await store.ok(["import", "base", "-"], { input: tarOf([{ path: "a", data: "1" }, { path: "b", data: "1" }]) });
  await store.ok(["import", "middle", "-", "--parent", "base"], { input: tarOf([{ path: ".wh.a" }]) });
  await store.ok(["import", "top", "-", "--parent", "middle"], { input: tarOf([{ path: "c", data: "1" }]) });

  const told = await store.json(["squash", "top", "all"]) as Record<string, unknown>;
  assertEquals([told.id, told.entries], ["all", 3]);
  assertEquals(await store.ok(["changes", "all"]), "A /b\nA /c\n");
  const { stdout, stderr } = await store.lamina(["squash", "top", "two", "--parent", "base"]);
  assertEquals(stdout, "");
  assertMatch(stderr, /^made two: 3 entries, /);
  assertEquals(await store.ok(["changes", "two"]), "D /a\nA /c\n");
  assertEquals(await store.drawing(), "all\nbase\n├── middle\n│   └── top\n└── two\n");

  const refused = await store.lamina(["squash", "base", "new", "--parent", "top"]);
  assertEquals([refused.code, (await store.lamina(["exists", "new"])).code], [6, 1]);
  assertMatch(refused.stderr, /^lamina: error: Cannot squash layer "base" above "top": it does not lie on that\n/);
});
