// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { StorageError } from "../../lib/errors.ts";
import { readArchive } from "./_read_archive.ts";
import { tarBody } from "./_tar_of.ts";

const WHOLE = tarBody([{ path: "a", data: "x" }, { path: "d/", type: "5" }, {
  path: "b",
  pax: { uid: "1" },
  data: "y",
}]);

Deno.test("TarReader.next() with allowMissingEnd takes an archive that ends behind an entry", () => {
  const options = { allowMissingEnd: true };
  const paths = ["a", "d/", "b"];
  assertEquals(readArchive(WHOLE, options).map(({ path }) => path), paths);
  assertEquals(readArchive(new Uint8Array([...WHOLE, ...new Uint8Array(512)]), options).map(({ path }) => path), paths);
  assertEquals(
    readArchive(new Uint8Array([...WHOLE, ...new Uint8Array(1024)]), options).map(({ path }) => path),
    paths,
  );
});

Deno.test("TarReader.next() with allowMissingEnd refuses every cut that is not behind an entry", () => {
  const boundaries = [1024, 1536, WHOLE.length];
  const cuts = Array.from({ length: WHOLE.length + 512 }, (_, i) => i)
    .filter((cut) => !boundaries.includes(cut) && (cut % 64 < 2 || cut % 512 === 511));
  const bytes = new Uint8Array([...WHOLE, ...new Uint8Array(1024)]);
  for (const cut of cuts) {
    const error = assertThrows(() => readArchive(bytes.subarray(0, cut), { allowMissingEnd: true }), StorageError);
    assertEquals(error.code, "invalid_archive", `cut at ${cut}`);
  }
});

Deno.test("TarReader.next() with allowMissingEnd refuses what follows a single zero block, and no archive at all", () => {
  const bytes = new Uint8Array([...WHOLE, ...new Uint8Array(512), ...WHOLE]);
  for (const wrong of [bytes, new Uint8Array(0), new Uint8Array(512)]) {
    const error = assertThrows(() => readArchive(wrong, { allowMissingEnd: true }), StorageError);
    assertEquals(error.code, "invalid_archive");
  }
});
