// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { AT_FDCWD, Fd, O_CREAT, O_RDONLY, O_RDWR, openat, pipe2, read, tryLseek, writeAll } from "../../ffi/file.ts";
import { StorageError } from "../../lib/errors.ts";
import { streamFromFd, writeStreamToFd } from "../../lib/util/fd_stream.ts";
import { NamedPipe, PipeWriter, removePipesIn, untilReadable } from "../../lib/util/named_pipe.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const CONTENT = crypto.getRandomValues(new Uint8Array(60_000));
const { signal: NEVER } = new AbortController();

/** More than a pipe holds. */
function manyPieces(): ReadableStream<Uint8Array> {
  return ReadableStream.from(Array.from({ length: 50 }, () => CONTENT));
}

Deno.test("a named pipe brings bytes from one side to the other, and is gone when both have opened it", async () => {
  await using directory = await TempDir.make();
  using pipe = NamedPipe.make(directory.join("pipe"));
  const writer = await PipeWriter.open(pipe.path);
  using end = pipe.open("read");
  assertEquals(await namesIn(directory.path), []);
  const written = manyPieces().pipeTo(writer.writable);
  const chunks = await Array.fromAsync(streamFromFd(end.fd));
  await written;
  const bytes = new Uint8Array(await new Blob(chunks).arrayBuffer());
  assertEquals(bytes.length, 50 * CONTENT.length);
  assert(bytes.every((byte, i) => byte === CONTENT[i % CONTENT.length]));
});

Deno.test("who writes a pipe that nobody reads any more is told, in the middle too", async () => {
  await using directory = await TempDir.make();
  using pipe = NamedPipe.make(directory.join("pipe"));
  const writer = await PipeWriter.open(pipe.path);
  const end = pipe.open("read");
  const written = assertRejects(() => manyPieces().pipeTo(writer.writable), Deno.errors.BrokenPipe);
  await untilReadable(end.fd, NEVER);
  end[Symbol.dispose]();
  await written;
});

Deno.test("untilReadable() waits for bytes, for the end, or for the signal", async () => {
  const { readFd, writeFd } = pipe2();
  using input = new Fd(readFd);
  {
    using output = new Fd(writeFd);
    await untilReadable(input.fd, AbortSignal.timeout(5));
    setTimeout(() => writeAll(output.fd, CONTENT.subarray(0, 1)), 5);
    await untilReadable(input.fd, NEVER);
    assertEquals(read(input.fd, new Uint8Array(10)), 1);
  }
  await untilReadable(input.fd, NEVER);
  assertEquals(read(input.fd, new Uint8Array(10)), 0);
});

Deno.test("removePipesIn() removes pipes and nothing else", async () => {
  await using directory = await TempDir.make();
  using _pipe = NamedPipe.make(directory.join("pipe"));
  await Deno.writeTextFile(directory.join("file"), "");
  await directory.mkdir("directory");
  removePipesIn(directory.path);
  assertEquals(await namesIn(directory.path), ["directory", "file"]);
});

Deno.test("streamFromFd() reads from where a file stands, and leaves it open", async () => {
  await using directory = await TempDir.make();
  await Deno.writeFile(directory.join("file"), CONTENT);
  using file = new Fd(openat(AT_FDCWD, directory.join("file"), O_RDONLY));
  tryLseek(file.fd, 100, 0);
  assertEquals(
    await new Response(streamFromFd(file.fd)).bytes(),
    CONTENT.slice(100),
  );
  assertEquals(tryLseek(file.fd, 0, 0), 0);
});

Deno.test("writeStreamToFd() writes all of a stream, or says that nobody reads and gives it up", async () => {
  await using directory = await TempDir.make();
  using file = new Fd(openat(AT_FDCWD, directory.join("file"), O_RDWR | O_CREAT, 0o600));
  await writeStreamToFd(ReadableStream.from([CONTENT.subarray(0, 10), CONTENT.subarray(10)]), file.fd);
  assertEquals(await Deno.readFile(directory.join("file")), CONTENT);

  const { readFd, writeFd } = pipe2();
  new Fd(readFd)[Symbol.dispose]();
  using output = new Fd(writeFd);
  let isCancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(CONTENT),
    cancel: () => void (isCancelled = true),
  });
  const error = await assertRejects(() => writeStreamToFd(endless, output.fd), StorageError);
  assertEquals(error.code, "output_closed");
  assert(isCancelled);
});
