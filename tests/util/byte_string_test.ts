// SPDX-License-Identifier: Apache-2.0

import { assertEquals, assertStrictEquals } from "@std/assert";
import { bytesOfText, byteString, CName, putBytes, textOfBytes } from "../../lib/util/byte_string.ts";

const ALL = Uint8Array.from({ length: 256 }, (_, i) => i);

Deno.test("byteString() and putBytes() keep each of the 256 bytes", () => {
  const name = byteString(ALL);
  assertEquals([...name].map((character) => character.charCodeAt(0)), [...ALL]);
  const buffer = new Uint8Array(260);
  assertEquals(putBytes(name, buffer, 2), 258);
  assertEquals(buffer.subarray(2, 258), ALL);
  assertEquals([...buffer.subarray(0, 2), ...buffer.subarray(258)], [0, 0, 0, 0]);
});

Deno.test("byteString() takes a part of a buffer, also of one that is a part itself", () => {
  const part = ALL.subarray(100, 200);
  assertEquals(byteString(part, 1, 3), "\x65\x66");
  assertEquals(byteString(part, 98), "\xc6\xc7");
  assertEquals(byteString(part, 5, 5), "");
});

Deno.test("bytesOfText() and textOfBytes() are UTF-8", () => {
  assertEquals(bytesOfText("ü"), "\xc3\xbc");
  for (const text of ["", "plain", "ü€😀", "a\nb"]) assertEquals(textOfBytes(bytesOfText(text)), text);
  assertEquals(textOfBytes("a\xffb"), "a\ufffdb");
});

Deno.test("CName.fill() ends names with NUL, shorter ones after longer ones, and grows", () => {
  const name = new CName();
  assertEquals([...name.fill("abc").subarray(0, 4)], [97, 98, 99, 0]);
  assertEquals([...name.fill("x").subarray(0, 2)], [120, 0]);
  assertEquals([...name.fill("").subarray(0, 1)], [0]);
  assertStrictEquals(name.fill("a").buffer, name.fill("b").buffer);
  for (const length of [4095, 4096, 4097, 100_000]) {
    const bytes = name.fill("\xe9".repeat(length));
    assertEquals([bytes[0], bytes[length - 1], bytes[length]], [0xe9, 0xe9, 0]);
  }
});
