// SPDX-License-Identifier: Apache-2.0

import { assertEquals, assertThrows } from "@std/assert";
import { cleanPath, leafOf, parentOf } from "../../lib/archive/entry_path.ts";
import { StorageError } from "../../lib/errors.ts";

const CLEAN: readonly [unsafe: string, clean: string][] = [
  ["a", "a"],
  ["a/b", "a/b"],
  ["a/", "a"],
  ["./a", "a"],
  ["././a/./b/.", "a/b"],
  ["/a", "a"],
  ["//a//b//", "a/b"],
  [".", ""],
  ["./", ""],
  ["/", ""],
  ["//", ""],
  ["./.", ""],
  ["...", "..."],
  ["..a/b..", "..a/b.."],
  [".a", ".a"],
  [" ", " "],
  ["a\\..\\b", "a\\..\\b"],
  ["\xff/\n", "\xff/\n"],
];

for (const [unsafe, clean] of CLEAN) {
  Deno.test(`cleanPath() of ${JSON.stringify(unsafe)} is ${JSON.stringify(clean)}`, () => {
    assertEquals(cleanPath(unsafe), clean);
  });
}

for (const unsafe of ["..", "../", "/..", "./..", "a/..", "a/../b", "../../..", "a//..//b", "a/./../b/"]) {
  Deno.test(`cleanPath() of ${JSON.stringify(unsafe)} is unsafe_path`, () => {
    assertEquals(assertThrows(() => cleanPath(unsafe), StorageError).code, "unsafe_path");
  });
}

Deno.test("cleanPath() of an empty name is invalid_archive", () => {
  assertEquals(assertThrows(() => cleanPath(""), StorageError).code, "invalid_archive");
});

Deno.test("parentOf() and leafOf() cut at the last slash", () => {
  assertEquals(["a", "a/b", "a/b/c"].map(parentOf), ["", "a", "a/b"]);
  assertEquals(["a", "a/b", "a/b/c"].map(leafOf), ["a", "b", "c"]);
});
