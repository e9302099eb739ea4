// SPDX-License-Identifier: Apache-2.0

/**
 * The Worker that compresses or decompresses between two descriptors. Imported as an ordinary module (so that a compiled
 * program holds it) it does nothing.
 *
 * @module
 */

import { createHash, type Hash } from "node:crypto";
import * as zlib from "node:zlib";
import type { Transform } from "node:stream";
import { once } from "node:events";
import { isErrno } from "../../ffi/errno.ts";
import { close, read, writeAll } from "../../ffi/file.ts";
import { isStorageError, outputClosed, StorageError } from "../errors.ts";
import type { PlainFailure } from "../util/shared_failure.ts";
import { FILTER_WORKER, type FilterRequest, FilterState } from "./_filter.ts";

const CHUNK_SIZE = 64 * 1024;

/** Not in every version: Deno 2.4 has none of them, Deno 2.9 has. */
interface ZstdStreams {
  createZstdCompress?: () => Transform;
  createZstdDecompress?: () => Transform;
}

/** The stream that does it. */
function createFilter({ action, compression }: FilterRequest): Transform {
  if (compression === "gzip") return action === "compress" ? zlib.createGzip() : zlib.createGunzip();
  const { createZstdCompress, createZstdDecompress } = zlib as ZstdStreams;
  const create = action === "compress" ? createZstdCompress : createZstdDecompress;
  if (create !== undefined) return create();
  throw new StorageError(
    "not_supported",
    `Cannot ${action} zstd: there is no program zstd, and this version of Deno does not know it`,
  );
}

async function* chunksOf({ head, readFd }: FilterRequest, hash?: Hash): AsyncGenerator<Uint8Array> {
  if (head.length > 0) {
    hash?.update(head);
    yield head;
  }
  for (;;) {
    const chunk = new Uint8Array(CHUNK_SIZE);
    const length = read(readFd, chunk);
    if (length === 0) return;
    const bytes = chunk.subarray(0, length);
    hash?.update(bytes);
    yield bytes;
  }
}

/** Where the digest of the compressed side is taken: of what comes in, or of what goes out. */
interface Hashes {
  input?: Hash | undefined;
  output?: Hash | undefined;
}

/** Runs everything through the filter; each piece that comes out is written at once, which is what holds the input back. */
async function turn(request: FilterRequest, hashes: Hashes): Promise<void> {
  const program = request.compression === "zstd" ? startProgram(request) : undefined;
  if (program !== undefined) return await turnByProgram(program, request, hashes);
  const filter = createFilter(request);
  const ended = once(filter, "end");
  filter.on("data", (piece: Uint8Array) => {
    try {
      hashes.output?.update(piece);
      writeAll(request.writeFd, piece);
    } catch (error) {
      filter.destroy(error as Error);
    }
  });
  const fed = (async (): Promise<void> => {
    for await (const chunk of chunksOf(request, hashes.input)) {
      if (!filter.write(chunk)) await once(filter, "drain");
    }
    filter.end();
  })();
  await Promise.all([ended, fed]);
}

/**
 * The same by the program zstd(1). Where it is there it comes first: the streams of Deno 2.9.6 read one frame only, and
 * take one that was cut short for a whole one.
 */
async function turnByProgram(child: Deno.ChildProcess, request: FilterRequest, hashes: Hashes): Promise<void> {
  const fed = (async (): Promise<void> => {
    const input = child.stdin.getWriter();
    for await (const chunk of chunksOf(request, hashes.input)) await input.write(chunk);
    await input.close();
  })();
  const emptied = (async (): Promise<void> => {
    for await (const piece of child.stdout) {
      hashes.output?.update(piece);
      writeAll(request.writeFd, piece);
    }
  })();
  const said = new Response(child.stderr).text();
  const [fedResult, emptiedResult] = await Promise.allSettled([fed, emptied]);
  // Our own side's failure first: the program's end is then only its consequence.
  if (emptiedResult.status === "rejected") throw emptiedResult.reason;
  const { success } = await child.status;
  if (!success) throw new Error((await said).trim() || "zstd failed");
  if (fedResult.status === "rejected") throw fedResult.reason;
}

/** zstd(1) at work; undefined if there is no such program. */
function startProgram({ action }: FilterRequest): Deno.ChildProcess | undefined {
  try {
    const args = action === "compress" ? ["-cq"] : ["-dcq"];
    return new Deno.Command("zstd", { args, stdin: "piped", stdout: "piped", stderr: "piped" }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Errors that a stream of Deno's throws outside of every promise, as its zstd does on damaged data. */
function uncaught(): Promise<never> {
  return new Promise((_, reject) => {
    globalThis.addEventListener("error", (event) => {
      event.preventDefault();
      reject(event.error);
    });
  });
}

function failureOf(error: unknown, request: FilterRequest): PlainFailure | undefined {
  if (isErrno(error, "EPIPE")) {
    // The unpacker went away: it has its own reason, and says it. Who reads a compressed archive is a stranger.
    return request.action === "decompress"
      ? undefined
      : { code: "output_closed", message: outputClosed(error).message };
  }
  if (isStorageError(error)) return { code: error.code, message: error.message };
  const message = error instanceof Error ? error.message : String(error);
  if (isErrno(error, "ENOSPC")) return { code: "no_space", message: `Cannot write the archive: ${message}` };
  if (isErrno(error)) return { code: "system_error", message: `Cannot ${request.action} the archive: ${message}` };
  return { code: "invalid_archive", message: `Cannot decompress the archive: ${message} (${request.compression})` };
}

async function run(request: FilterRequest): Promise<void> {
  const state = new FilterState(request.state);
  const pipeEnd = request.action === "decompress" ? request.writeFd : request.readFd;
  const hash = request.digest ? createHash("sha256") : undefined;
  let failure: PlainFailure | undefined;
  try {
    const hashes = request.action === "decompress" ? { input: hash } : { output: hash };
    await Promise.race([turn(request, hashes), uncaught()]);
    if (hash !== undefined) state.setDigest(hash.digest());
  } catch (error) {
    failure = failureOf(error, request);
  }
  state.end(failure);
  close(pipeEnd);
  state.close();
}

interface WorkerScope {
  name?: string;
  onmessage?: (event: MessageEvent<FilterRequest>) => void;
  postMessage(message: "running"): void;
}

const scope = globalThis as unknown as WorkerScope;
if (scope.name === FILTER_WORKER) {
  scope.onmessage = (event): void => {
    scope.postMessage("running");
    void run(event.data);
  };
}
