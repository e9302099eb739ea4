// SPDX-License-Identifier: Apache-2.0

import { cpath, cpathOrNull, cstring, textOf } from "../../ffi/_cstring.ts";
import { assertEquals, assertStrictEquals, assertThrows } from "../_helpers/std_assert.ts";

for (const text of ["", "plain", "é", "日本語", "\u{1f600}", "\u{1f600}".repeat(300), "a b\n\\"]) {
  Deno.test(`cstring() keeps ${JSON.stringify(text.slice(0, 12))} whole and ends it with NUL`, () => {
    const bytes = cstring(text);
    const expected = new TextEncoder().encode(text);
    assertEquals([...bytes.subarray(0, expected.length)], [...expected]);
    assertEquals(bytes[expected.length], 0);
    assertEquals(textOf(bytes), text);
  });
}

for (const text of ["\0", "/etc/passwd\0.png", "\0/etc"]) {
  Deno.test(`cstring() refuses NUL in ${JSON.stringify(text)}`, () => {
    assertThrows(() => cstring(text), TypeError, "contains NUL");
  });
}

Deno.test("cpath() passes bytes as they are and null stays null", () => {
  const bytes = new Uint8Array([0xff, 0xfe, 0]);
  assertStrictEquals(cpath(bytes), bytes);
  assertEquals(cpathOrNull(null), null);
});

Deno.test("cpath() keeps all strings of one call apart, whatever was in their buffers", () => {
  const longest = "é".repeat(680);
  for (let round = 0; round < 5; round++) {
    const texts = [longest, "", "plain", "a much longer path than the one before", "日本", "x".repeat(5000), "last"];
    const all = texts.map((text) => cpath(text));
    assertEquals(all.map(textOf), texts);
  }
});

Deno.test("cpath() refuses NUL", () => {
  assertThrows(() => cpath("/etc/passwd\0.png"), TypeError, "contains NUL");
});

Deno.test("textOf() stops at the first NUL, or takes all", () => {
  assertEquals(textOf(new Uint8Array([0x61, 0, 0x62])), "a");
  assertEquals(textOf(new Uint8Array([0x61, 0x62])), "ab");
});
