// SPDX-License-Identifier: Apache-2.0

/**
 * The Worker that compresses or decompresses between two descriptors. Imported as an ordinary module (so that a compiled
 * program holds it) it does nothing.
 *
 * @module
 */

import type { Hash } from "node:crypto";
import type { Transform } from "node:stream";
import { once } from "node:events";
import { isErrno } from "../../ffi/errno.ts";
import { close, read, tryLseek } from "../../ffi/file.ts";
import { waitUntilReadable } from "../../ffi/poll.ts";
import { fstat, Stat } from "../../ffi/stat.ts";
import { isStorageError, outputClosed, StorageError } from "../errors.ts";
import { OutputFd } from "../util/output_fd.ts";
import type { PlainFailure } from "../util/shared_failure.ts";
import { FILTER_WORKER, type FilterRequest, FilterState } from "./_filter.ts";

const CHUNK_SIZE = 64 * 1024;
/** lseek(2): from where the descriptor stands. */
const SEEK_CUR = 1;
/** How often a wait for input is interrupted to see whether it is still wanted. */
const LOOK_MS = 50;

/** Not in every version: Deno 2.4 has none of them, Deno 2.9 has. */
interface ZstdStreams {
  createZstdCompress?: () => Transform;
  createZstdDecompress?: () => Transform;
}

/** The stream that does it. */
async function createFilter({ action, compression }: FilterRequest): Promise<Transform> {
  // Not above, as node:crypto below: everybody who imports this module would wait for it to be loaded.
  const zlib = await import("node:zlib");
  if (compression === "gzip") return action === "compress" ? zlib.createGzip() : zlib.createGunzip();
  const { createZstdCompress, createZstdDecompress } = zlib as ZstdStreams;
  const create = action === "compress" ? createZstdCompress : createZstdDecompress;
  if (create !== undefined) return create();
  throw new StorageError(
    "not_supported",
    `Cannot ${action} zstd: there is no program zstd, and this version of Deno does not know it`,
  );
}

/** One stream on its way. */
interface Turn {
  request: FilterRequest;
  output: OutputFd;
  /** Throws when nobody wants the rest. */
  look: () => void;
  /** Where the digest of the compressed side is taken: of what comes in, or of what goes out. */
  inputHash: Hash | undefined;
  outputHash: Hash | undefined;
}

async function* chunksOf({ request: { head, readFd }, look, inputHash: hash }: Turn): AsyncGenerator<Uint8Array> {
  if (head.length > 0) {
    hash?.update(head);
    yield head;
  }
  for (;;) {
    const chunk = new Uint8Array(CHUNK_SIZE);
    while (!waitUntilReadable(readFd, LOOK_MS)) look();
    const length = read(readFd, chunk);
    if (length === 0) return;
    const bytes = chunk.subarray(0, length);
    hash?.update(bytes);
    yield bytes;
  }
}

function writeOut({ output, outputHash }: Turn, piece: Uint8Array): void {
  outputHash?.update(piece);
  output.write(piece);
}

/** Runs everything through the filter; each piece that comes out is written at once, which is what holds the input back. */
async function pass(turn: Turn): Promise<void> {
  const { request } = turn;
  const program = request.compression === "zstd" ? startProgram(turn) : undefined;
  if (program !== undefined) return await passByProgram(program, turn);
  const filter = await createFilter(request);
  const ended = once(filter, "end");
  filter.on("data", (piece: Uint8Array) => {
    try {
      writeOut(turn, piece);
    } catch (error) {
      filter.destroy(error as Error);
    }
  });
  const fed = (async (): Promise<void> => {
    for await (const chunk of chunksOf(turn)) {
      if (!filter.write(chunk)) await once(filter, "drain");
    }
    filter.end();
  })();
  await Promise.all([ended, fed]);
}

/** A program that turns a stream. What is undefined goes through this thread; the rest it reads and writes itself. */
interface RunningProgram {
  child: Deno.ChildProcess;
  stdin: WritableStream<Uint8Array> | undefined;
  stdout: ReadableStream<Uint8Array> | undefined;
}

/**
 * The same by the program zstd(1). Where it is there it comes first: the streams of Deno 2.9.6 read one frame only, and
 * take one that was cut short for a whole one.
 */
async function passByProgram({ child, stdin, stdout }: RunningProgram, turn: Turn): Promise<void> {
  const fed = (async (): Promise<void> => {
    const input = stdin?.getWriter();
    if (input === undefined) return;
    for await (const chunk of chunksOf(turn)) await input.write(chunk);
    await input.close();
  })();
  const emptied = (async (): Promise<void> => {
    for await (const piece of stdout ?? []) writeOut(turn, piece);
  })();
  const said = new Response(child.stderr).text();
  // Without the rest of its input it would wait for ever.
  fed.catch(() => child.kill());
  const [fedResult, emptiedResult] = await Promise.allSettled([fed, emptied]);
  // Our own side's failure first: the program's end is then only its consequence.
  if (emptiedResult.status === "rejected") throw emptiedResult.reason;
  const failure = fedResult.status === "rejected" ? fedResult.reason : undefined;
  const { success } = await child.status;
  if (isStorageError(failure, "aborted")) throw failure;
  if (!success) throw new Error((await said).trim() || "zstd failed");
  if (failure !== undefined) throw failure;
}

/**
 * zstd(1) at work; undefined if there is no such program. It writes what it decompresses into the pipe itself, and reads
 * a file itself whose bytes nobody else wants to see: by the names that this process' descriptors have in /proc, since a
 * descriptor cannot be handed to a child alone.
 */
function startProgram({ request: { action, readFd, writeFd, head }, inputHash }: Turn): RunningProgram | undefined {
  const isDecompressing = action === "decompress";
  const readsItself = isDecompressing && inputHash === undefined && fstat(readFd, new Stat()).isFile &&
    tryLseek(readFd, 0, SEEK_CUR) === head.length;
  const [from, to] = [`/proc/${Deno.pid}/fd/${readFd}`, `/proc/${Deno.pid}/fd/${writeFd}`];
  const script = `exec zstd -cq${isDecompressing ? 'd >"$1"' : ""}${readsItself ? ' <"$0"' : ""}`;
  if (!hasProgram("zstd")) return undefined;
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", script, from, to],
    stdin: readsItself ? "null" : "piped",
    stdout: isDecompressing ? "null" : "piped",
    stderr: "piped",
  }).spawn();
  return {
    child,
    stdin: readsItself ? undefined : child.stdin,
    stdout: isDecompressing ? undefined : child.stdout,
  };
}

function hasProgram(name: string): boolean {
  const directories = Deno.env.get("PATH")?.split(":") ?? [];
  return directories.some((directory) => {
    try {
      return Deno.statSync(`${directory}/${name}`).isFile;
    } catch {
      return false;
    }
  });
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
  const hash = request.digest ? (await import("node:crypto")).createHash("sha256") : undefined;
  let failure: PlainFailure | undefined;
  try {
    const look = (): void => {
      if (state.isStopped) throw new StorageError("aborted", "Nobody wants the rest of the archive");
    };
    using output = new OutputFd(request.writeFd, look);
    const [inputHash, outputHash] = request.action === "decompress" ? [hash, undefined] : [undefined, hash];
    await Promise.race([pass({ request, output, look, inputHash, outputHash }), uncaught()]);
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
