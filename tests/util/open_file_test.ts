// SPDX-License-Identifier: Apache-2.0

import { assertEquals, assertThrows } from "@std/assert";
import "../_helpers/warm_libc.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { read, writeAll } from "../../ffi/file.ts";
import { StorageError } from "../../lib/errors.ts";
import { openForReading, OutputFile } from "../../lib/util/open_file.ts";

const HELLO = new TextEncoder().encode("hello\n");

function names(directory: TempDir): string[] {
  return [...Deno.readDirSync(directory.path)].map(({ name }) => name).sort();
}

Deno.test("openForReading() opens a file", () => {
  using directory = TempDir.makeSync();
  Deno.writeFileSync(directory.join("file"), HELLO);
  using file = openForReading(directory.join("file"));
  const buffer = new Uint8Array(10);
  assertEquals(read(file.fd, buffer), HELLO.length);
});

Deno.test("openForReading() says what is wrong with a path", () => {
  using directory = TempDir.makeSync();
  Deno.writeFileSync(directory.join("file"), HELLO);
  const missing = assertThrows(() => openForReading(directory.join("x")), StorageError, "no such file or directory");
  assertEquals(missing.code, "invalid_argument");
  assertThrows(() => openForReading(directory.path), StorageError, "it is a directory");
  assertThrows(() => openForReading(directory.join("file", "x")), StorageError, "a part of the path is no directory");
});

Deno.test("OutputFile appears when it is committed", () => {
  using directory = TempDir.makeSync();
  {
    using file = OutputFile.open(directory.join("file"));
    writeAll(file.fd, HELLO);
    assertEquals(names(directory).includes("file"), false);
    file.commit();
  }
  assertEquals(names(directory), ["file"]);
  assertEquals(Deno.readTextFileSync(directory.join("file")), "hello\n");
});

Deno.test("OutputFile leaves what was there if it is not committed", () => {
  using directory = TempDir.makeSync();
  Deno.writeTextFileSync(directory.join("file"), "old", { mode: 0o600 });
  {
    using file = OutputFile.open(directory.join("file"));
    writeAll(file.fd, HELLO);
  }
  assertEquals(names(directory), ["file"]);
  assertEquals(Deno.readTextFileSync(directory.join("file")), "old");
});

Deno.test("OutputFile keeps mode and symbolic link of what it replaces", () => {
  using directory = TempDir.makeSync();
  Deno.writeTextFileSync(directory.join("file"), "old", { mode: 0o600 });
  Deno.symlinkSync("file", directory.join("link"));
  {
    using file = OutputFile.open(directory.join("link"));
    writeAll(file.fd, HELLO);
    file.commit();
  }
  assertEquals(Deno.lstatSync(directory.join("link")).isSymlink, true);
  assertEquals(Deno.readTextFileSync(directory.join("file")), "hello\n");
  assertEquals(Deno.statSync(directory.join("file")).mode! & 0o777, 0o600);
});

Deno.test("OutputFile never replaces a device", () => {
  using file = OutputFile.open("/dev/null");
  writeAll(file.fd, HELLO);
  file.commit();
  assertEquals(Deno.statSync("/dev/null").isCharDevice, true);
});

Deno.test("OutputFile.open() says what is wrong with a path", () => {
  using directory = TempDir.makeSync();
  assertThrows(() => OutputFile.open(directory.path), StorageError, "it is a directory");
  assertThrows(() => OutputFile.open(directory.join("x", "y")), StorageError, "no such file or directory");
});
