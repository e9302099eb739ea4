// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { close, read, writeAll } from "../../ffi/file.ts";
import { isSourceFailure, pipeFromStream, pipeToStream, pump, streamOf } from "../../lib/util/pipe_stream.ts";
import { assertErrno } from "../_helpers/assert_errno.ts";

const CONTENT = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);

function readAll(fd: number): Uint8Array {
  const pieces: number[] = [];
  const piece = new Uint8Array(10_000);
  for (let length = read(fd, piece); length > 0; length = read(fd, piece)) pieces.push(...piece.subarray(0, length));
  return Uint8Array.from(pieces);
}

function sourceOf(pieces: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(pieces);
}

Deno.test("pump() brings a stream to the end of a pipe, and the end with it", async () => {
  const { readFd, writer } = await pipeFromStream();
  // It all fits the pipe, so nobody has to read meanwhile.
  const pieces = [CONTENT.subarray(0, 1), CONTENT.subarray(1, 70_000), CONTENT.subarray(70_000)];
  await pump(sourceOf(pieces), writer, new AbortController().signal);
  assertEquals(readAll(readFd), CONTENT);
  close(readFd);
});

Deno.test("pump() ends by a signal, and the reader sees the end", async () => {
  const { readFd, writer } = await pipeFromStream();
  const abort = new AbortController();
  let isCancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(CONTENT.subarray(0, 10)),
    pull: () => new Promise<void>(() => {}),
    cancel: () => void (isCancelled = true),
  });
  const pumping = pump(endless, writer, abort.signal);
  abort.abort();
  const error = await assertRejects(() => pumping);
  assert(!isSourceFailure(error));
  assert(isCancelled);
  readAll(readFd);
  close(readFd);
});

Deno.test("pump() that nobody reads fails, and cancels its source", async () => {
  const { readFd, writer } = await pipeFromStream();
  close(readFd);
  let isCancelled = false;
  const source = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(CONTENT),
    cancel: () => void (isCancelled = true),
  });
  const error = await assertRejects(() => pump(source, writer, new AbortController().signal));
  assert(!isSourceFailure(error), String(error));
  assert(isCancelled);
});

Deno.test("isSourceFailure() is true for what the source itself failed with", async () => {
  const { readFd, writer } = await pipeFromStream();
  const source = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.error(new TypeError("the network is gone")),
  });
  const error = await assertRejects(() => pump(source, writer, new AbortController().signal), TypeError);
  assert(isSourceFailure(error));
  assertEquals(readAll(readFd), new Uint8Array());
  close(readFd);
  assert(!isSourceFailure(undefined));
});

Deno.test("streamOf() gives what is written, and ends when the work does", async () => {
  const { writeFd, reader } = await pipeToStream();
  writeAll(writeFd, CONTENT);
  close(writeFd);
  const stream = streamOf(reader, Promise.resolve(), () => {});
  assertEquals(await new Response(stream).bytes(), CONTENT);
});

Deno.test("streamOf() fails with the work, and never ends as if it were whole", async () => {
  const { writeFd, reader } = await pipeToStream();
  const work = Promise.withResolvers<void>();
  const stream = streamOf(reader, work.promise, () => {});
  writeAll(writeFd, CONTENT.slice(0, 10));
  close(writeFd);
  work.reject(new Error("the disk is gone"));
  const streamReader = stream.getReader();
  assertEquals((await streamReader.read()).value, CONTENT.slice(0, 10));
  await assertRejects(() => streamReader.read(), Error, "the disk is gone");
});

Deno.test("streamOf() of work that failed and that nobody reads is no unhandled failure", async () => {
  const { writeFd, reader } = await pipeToStream();
  close(writeFd);
  const stream = streamOf(reader, Promise.reject(new Error("nobody looks")), () => {});
  await new Promise((resolve) => setTimeout(resolve, 5));
  await stream.cancel();
});

Deno.test("streamOf() tells the work that nobody wants the rest, closes the pipe, and waits for the work's end", async () => {
  const { writeFd, reader } = await pipeToStream();
  const work = Promise.withResolvers<void>();
  const events: string[] = [];
  const stream = streamOf(reader, work.promise, () => {
    events.push("cancel");
    setTimeout(() => {
      assertErrno(() => writeAll(writeFd, CONTENT), "EPIPE");
      close(writeFd);
      events.push("work ends");
      work.reject(new Error("aborted"));
    }, 5);
  });
  await stream.cancel();
  events.push("cancelled");
  assertEquals(events, ["cancel", "work ends", "cancelled"]);
});

Deno.test("streamOf() can be given up behind its last byte, while the work still ends", async () => {
  const { writeFd, reader } = await pipeToStream();
  close(writeFd);
  const work = Promise.withResolvers<void>();
  const stream = streamOf(reader, work.promise, () => work.resolve());
  const streamReader = stream.getReader();
  const read = streamReader.read();
  // The end of the pipe was seen: its reader is closed.
  while (isOpen(reader)) await new Promise((resolve) => setTimeout(resolve, 1));
  await streamReader.cancel();
  assertEquals((await read).done, true);
});

function isOpen(file: Deno.FsFile): boolean {
  try {
    file.statSync();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.BadResource) return false;
    throw error;
  }
}
