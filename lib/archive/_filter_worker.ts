// SPDX-License-Identifier: Apache-2.0

/**
 * The Worker that compresses or decompresses between two descriptors. Imported as an ordinary module (so that a compiled
 * program holds it) it does nothing.
 *
 * @module
 */

import * as zlib from "node:zlib";
import type { Transform } from "node:stream";
import { once } from "node:events";
import { isErrno } from "../../ffi/errno.ts";
import { close, read, writeAll } from "../../ffi/file.ts";
import { isStorageError, StorageError, type StorageErrorCode } from "../errors.ts";
import { FILTER_WORKER, type FilterRequest, FilterState } from "./_filter.ts";

const CHUNK_SIZE = 64 * 1024;

/** node:zlib knows zstd from Deno 2.6 or so on; its types may not. */
interface ZstdStreams {
  createZstdCompress?: () => Transform;
  createZstdDecompress?: () => Transform;
}

function createFilter({ action, compression }: FilterRequest): Transform {
  if (compression === "gzip") return action === "compress" ? zlib.createGzip() : zlib.createGunzip();
  const { createZstdCompress, createZstdDecompress } = zlib as ZstdStreams;
  const create = action === "compress" ? createZstdCompress : createZstdDecompress;
  if (create !== undefined) return create();
  throw new StorageError("not_supported", `Cannot ${action} zstd: this version of Deno does not know it`);
}

async function* chunksOf({ head, readFd }: FilterRequest): AsyncGenerator<Uint8Array> {
  if (head.length > 0) yield head;
  for (;;) {
    const chunk = new Uint8Array(CHUNK_SIZE);
    const length = read(readFd, chunk);
    if (length === 0) return;
    yield chunk.subarray(0, length);
  }
}

/** Runs everything through the filter; each piece that comes out is written at once, which is what holds the input back. */
async function turn(request: FilterRequest): Promise<void> {
  const filter = createFilter(request);
  const ended = once(filter, "end");
  filter.on("data", (piece: Uint8Array) => {
    try {
      writeAll(request.writeFd, piece);
    } catch (error) {
      filter.destroy(error as Error);
    }
  });
  const fed = (async (): Promise<void> => {
    for await (const chunk of chunksOf(request)) {
      if (!filter.write(chunk)) await once(filter, "drain");
    }
    filter.end();
  })();
  await Promise.all([ended, fed]);
}

function failureOf(error: unknown, request: FilterRequest): { code: StorageErrorCode; message: string } | undefined {
  // The reader of the pipe went away: it has its own reason, and says it.
  if (isErrno(error, "EPIPE") && request.action === "decompress") return undefined;
  if (isStorageError(error)) return { code: error.code, message: error.message };
  const message = error instanceof Error ? error.message : String(error);
  if (isErrno(error, "ENOSPC")) return { code: "no_space", message: `Cannot write the archive: ${message}` };
  if (isErrno(error)) return { code: "system_error", message: `Cannot ${request.action} the archive: ${message}` };
  return { code: "invalid_archive", message: `Cannot decompress the archive: ${message} (${request.compression})` };
}

async function run(request: FilterRequest): Promise<void> {
  const state = new FilterState(request.state);
  const pipeEnd = request.action === "decompress" ? request.writeFd : request.readFd;
  let failure: ReturnType<typeof failureOf>;
  try {
    await turn(request);
  } catch (error) {
    failure = failureOf(error, request);
  }
  // The state first: who then finds the pipe ended already knows why.
  state.end(failure);
  close(pipeEnd);
}

const scope = globalThis as unknown as { name?: string; onmessage?: (event: MessageEvent<FilterRequest>) => void };
if (typeof Deno !== "undefined" && scope.name === FILTER_WORKER) {
  scope.onmessage = (event): void => void run(event.data);
}
