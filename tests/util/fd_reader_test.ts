// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import {
  AT_FDCWD,
  Fd,
  O_APPEND,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  openat,
  pipe2,
  writeAll,
} from "../../ffi/file.ts";
import { FdReader } from "../../lib/util/fd_reader.ts";
import { FdWriter } from "../../lib/util/fd_writer.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const SIZE = 1_000_003;
/** Bytes in which a piece that is lost, doubled or moved shows. */
const CONTENT = Uint8Array.from({ length: SIZE }, (_, i) => (i * 7 + (i >> 8) * 13) & 0xff);
const CAPACITY = 256 * 1024;

function open(path: string): Fd {
  return new Fd(openat(AT_FDCWD, path, O_RDWR | O_CREAT, 0o600));
}

function withContent(directory: TempDir): Fd {
  Deno.writeFileSync(directory.join("content"), CONTENT);
  return new Fd(openat(AT_FDCWD, directory.join("content"), O_RDONLY));
}

/** A pipe with these bytes in it, at its end. */
function pipeOf(bytes: Uint8Array<ArrayBuffer>): Fd {
  const { readFd, writeFd } = pipe2();
  using output = new Fd(writeFd);
  writeAll(output.fd, bytes);
  return new Fd(readFd);
}

Deno.test("FdReader.ensure() brings bytes together across reads, and tells the end", () => {
  using input = pipeOf(CONTENT.slice(0, 1000));
  const reader = new FdReader(input.fd, new Uint8Array([1, 2]));
  assert(reader.ensure(2));
  assertEquals(reader.end, 2);
  reader.advance(1);
  assert(reader.ensure(1001));
  assertEquals([...reader.buffer.subarray(reader.start, reader.start + 3)], [2, CONTENT[0]!, CONTENT[1]!]);
  assert(!reader.ensure(1002));
  assertEquals(reader.position, 1);
  assert(reader.ensure(1001), "what is there stays there after the end was seen");
});

Deno.test("FdReader.take() and skip() go through more than a buffer, and count", () => {
  using directory = TempDir.makeSync();
  using input = withContent(directory);
  const reader = new FdReader(input.fd);
  assertEquals(reader.take(10), CONTENT.slice(0, 10));
  assertEquals(reader.skip(CAPACITY + 5), CAPACITY + 5);
  const at = CAPACITY + 15;
  assertEquals(reader.take(2 * CAPACITY), CONTENT.slice(at, at + 2 * CAPACITY));
  assertEquals(reader.position, at + 2 * CAPACITY);
  assertEquals(reader.take(0), new Uint8Array());
  const rest = SIZE - reader.position;
  assertEquals(reader.skip(rest + 1), rest);
  assertEquals(reader.take(1), undefined);
});

for (const [name, count] of [["little", 1000], ["a buffer", CAPACITY], ["much", SIZE - 5]] as const) {
  Deno.test(`FdReader.copyTo() copies ${name} of a file, from where it stands`, () => {
    using directory = TempDir.makeSync();
    using input = withContent(directory);
    using output = open(directory.join("out"));
    const reader = new FdReader(input.fd);
    reader.take(3);
    assertEquals(reader.copyTo(output.fd, count, () => {}), count);
    assertEquals(Deno.readFileSync(directory.join("out")), CONTENT.slice(3, 3 + count));
    assertEquals(reader.position, 3 + count);
    assertEquals(reader.take(2), CONTENT.slice(3 + count, 5 + count));
  });
}

Deno.test("FdReader.copyTo() tells how much there was, of a pipe as of a file", () => {
  using directory = TempDir.makeSync();
  using file = withContent(directory);
  using pipe = pipeOf(CONTENT.slice(0, 60_000));
  for (const [input, length] of [[file, SIZE], [pipe, 60_000]] as const) {
    using output = open(directory.join(`out-${length}`));
    const reader = new FdReader(input.fd);
    assertEquals(reader.copyTo(output.fd, 2 * SIZE, () => {}), length);
    assertEquals(reader.position, length);
    assertEquals(Deno.readFileSync(directory.join(`out-${length}`)), CONTENT.slice(0, length));
  }
});

Deno.test("FdReader.drain() forgets the rest", () => {
  using pipe = pipeOf(CONTENT.slice(0, 50_000));
  const reader = new FdReader(pipe.fd);
  reader.take(1);
  reader.drain(() => {});
  assert(!reader.ensure(1));
});

Deno.test("FdWriter puts small and large pieces in their order", () => {
  using directory = TempDir.makeSync();
  {
    using output = open(directory.join("out"));
    const writer = new FdWriter(output.fd);
    writer.put(CONTENT.subarray(0, 5));
    writer.put(CONTENT.subarray(5, 5 + CAPACITY + 1));
    writer.putZeros(3);
    writer.put(CONTENT.subarray(0, CAPACITY - 1));
    writer.put(CONTENT.subarray(0, 7));
    const offset = writer.reserve(2);
    writer.bytes.set([1, 2], offset);
    assertEquals(writer.position, 2 * CAPACITY + 17);
    writer.flush();
    writer.flush();
  }
  assertEquals(
    Deno.readFileSync(directory.join("out")),
    Uint8Array.from([
      ...CONTENT.subarray(0, 6 + CAPACITY),
      0,
      0,
      0,
      ...CONTENT.subarray(0, CAPACITY - 1),
      ...CONTENT.subarray(0, 7),
      1,
      2,
    ]),
  );
});

for (const [name, flags] of [["plain", O_WRONLY], ["for appending", O_WRONLY | O_APPEND]] as const) {
  Deno.test(`FdWriter.copyFrom() copies files of any size behind what was put, to a file opened ${name}`, () => {
    using directory = TempDir.makeSync();
    const counts = [10, SIZE, 200_000];
    {
      using output = new Fd(openat(AT_FDCWD, directory.join("out"), flags | O_CREAT, 0o600));
      const writer = new FdWriter(output.fd);
      for (const count of counts) {
        using input = withContent(directory);
        writer.put(CONTENT.subarray(0, 3));
        assertEquals(writer.copyFrom(input.fd, count, () => {}), count);
      }
      using short = withContent(directory);
      assertEquals(writer.copyFrom(short.fd, SIZE + 100, () => {}), SIZE);
      writer.flush();
      assertEquals(writer.position, 9 + 10 + SIZE + 200_000 + SIZE);
    }
    const pieces = counts.flatMap((count) => [CONTENT.subarray(0, 3), CONTENT.subarray(0, count)]);
    assertEquals(Deno.readFileSync(directory.join("out")), new Uint8Array(Buffer.concat([...pieces, CONTENT])));
  });
}
