// SPDX-License-Identifier: Apache-2.0

/**
 * Compressed archives. The engine reads and writes plain tar, synchronously; a Worker beside it turns the bytes between
 * a pipe and the archive, on a core of its own, with `node:zlib`.
 *
 * @module
 */

import { close, pipe2, read, trySetPipeSize } from "../../ffi/file.ts";
import { waitUntilReadable } from "../../ffi/poll.ts";
import type { Digest } from "../digest.ts";
import { StorageError } from "../errors.ts";
import { type FilterSettings, FilterState } from "./_filter.ts";
import { type RunningHelper, type StartHelper, startHelper } from "./helper_thread.ts";

/** A compression that is written and read. */
export type Compression = "gzip" | "zstd";

const MAGIC: readonly (readonly [name: string, bytes: readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];
/** A zstd file may begin with a frame to skip: 0x184D2A50 to 0x184D2A5F. */
const ZSTD_SKIPPABLE = [0x2a, 0x4d, 0x18] as const;
const MAGIC_LENGTH = 6;
const PIPE_SIZE = 1024 * 1024;
const QUIET_END_MS = 1000;
/** How often a wait is interrupted to see whether it is still wanted. */
const LOOK_MS = 50;
const READY = Promise.resolve();

/** What the first bytes of an archive say it is compressed with; "none" for everything unknown. */
export function recogniseCompression(head: Uint8Array): string {
  for (const [name, bytes] of MAGIC) if (bytes.every((byte, i) => head[i] === byte)) return name;
  const isSkippable = (head[0]! & 0xf0) === 0x50 && ZSTD_SKIPPABLE.every((byte, i) => head[i + 1] === byte);
  return isSkippable ? "zstd" : "none";
}

/** A plain archive at a descriptor, whatever it came as. */
export interface PlainArchive extends Disposable {
  fd: number;
  /** To be awaited before the thread blocks: starting the filter may need this thread's event loop. */
  ready: Promise<void>;
  /** What was read from the archive to recognise it, and comes before what `fd` gives. */
  head: Uint8Array;
  /** Whether another thread or program is at work on it. */
  isFiltered: boolean;
  /** To be called at the archive's end: throws what went wrong in decompressing. `onWait` as with the other kind. */
  finish(onWait: () => void): void;
  /** SHA-256 of the compressed archive, where it was asked for; undefined if it is not compressed. */
  digest(): Digest | undefined;
  /** Why it may have ended early: what went wrong in decompressing so far. */
  failure(): StorageError | undefined;
}

/** How a compressor is run. */
export interface FilterOptions {
  /** Whether the digest of the compressed side is computed on the way. */
  digest?: boolean | undefined;
  start?: StartHelper | undefined;
  /** Called some twenty times a second while others are waited for; what it throws ends the wait. */
  onWait?: (() => void) | undefined;
}

/**
 * Recognises the archive at `fd` by its first bytes, and starts to decompress it if it needs that.
 *
 * @throws {StorageError} `not_supported`: bzip2, xz.
 */
export function openPlainArchive(
  fd: number,
  { digest = false, start = startHelper, onWait }: FilterOptions = {},
): PlainArchive {
  const head = readHead(fd, onWait);
  const compression = recogniseCompression(head);
  if (compression === "none") {
    const nothing = (): undefined => undefined;
    return {
      fd,
      head,
      ready: READY,
      isFiltered: false,
      finish: nothing,
      digest: nothing,
      failure: nothing,
      [Symbol.dispose]: nothing,
    };
  }
  if (compression !== "gzip" && compression !== "zstd") {
    throw new StorageError("not_supported", `Cannot read the archive: it is compressed with ${compression}`, {
      hint: `decompress it first: ${compression} -dc FILE | lamina apply ID -`,
    });
  }
  const { readFd, writeFd } = openPipe();
  const settings: FilterSettings = { action: "decompress", compression, head, readFd: fd, writeFd, digest };
  const filter = new Filter(settings, start);
  return {
    fd: readFd,
    head: new Uint8Array(),
    ready: filter.ready,
    isFiltered: true,
    finish: (onWait): void => filter.finish(onWait),
    digest: () => digest ? filter.digest : undefined,
    failure: () => filter.failure(),
    [Symbol.dispose](): void {
      // A Worker that still writes gets EPIPE and ends.
      close(readFd);
      filter.finishQuietly();
    },
  };
}

/** A descriptor that takes a plain archive and passes it on compressed. */
export interface CompressedOutput extends Disposable {
  fd: number;
  /** As {@linkcode PlainArchive.ready}. */
  ready: Promise<void>;
  /** To be called when everything is written: waits until it is out. `onWait` is called meanwhile, and may throw. */
  finish(onWait: () => void): void;
  /** SHA-256 of the compressed archive, where it was asked for. */
  digest(): Digest | undefined;
  /** Why it may have stopped taking anything: what went wrong in compressing so far. */
  failure(): StorageError | undefined;
}

/** Starts to compress what is written to the returned descriptor, to `fd`. */
export function openCompressedOutput(
  fd: number,
  compression: Compression,
  { digest = false, start = startHelper }: Omit<FilterOptions, "onWait"> = {},
): CompressedOutput {
  const { readFd, writeFd } = openPipe();
  const head = new Uint8Array();
  const settings: FilterSettings = { action: "compress", compression, head, readFd, writeFd: fd, digest };
  const filter = new Filter(settings, start);
  let isOpen = true;
  const closeInput = (): void => {
    if (isOpen) close(writeFd);
    isOpen = false;
  };
  return {
    fd: writeFd,
    ready: filter.ready,
    finish(onWait): void {
      closeInput();
      filter.finish(onWait);
    },
    digest: () => digest ? filter.digest : undefined,
    failure: () => filter.failure(),
    [Symbol.dispose](): void {
      closeInput();
      filter.finishQuietly();
    },
  };
}

/** A running filter, and the memory in which it tells how it ended. */
class Filter {
  readonly #state = new FilterState();
  readonly #worker: RunningHelper;

  constructor(settings: FilterSettings, start: StartHelper) {
    this.#worker = start({ kind: "filter", ...settings, state: this.#state.memory });
  }

  get ready(): Promise<void> {
    return this.#worker.ready;
  }

  finish(onWait: () => void): void {
    while (!this.#state.wait(LOOK_MS)) onWait();
    this.#worker.terminate();
    const failure = this.failure();
    if (failure !== undefined) throw failure;
  }

  get digest(): Digest {
    return this.#state.digest;
  }

  failure(): StorageError | undefined {
    return this.#state.failure();
  }

  /** For work that failed: the Worker ends at once, unless it waits for a file system or device that is stuck. */
  finishQuietly(): void {
    this.#state.stop();
    this.#state.wait(QUIET_END_MS);
    this.#worker.terminate();
  }
}

function openPipe(): { readFd: number; writeFd: number } {
  const pipe = pipe2();
  trySetPipeSize(pipe.writeFd, PIPE_SIZE);
  return pipe;
}

function readHead(fd: number, onWait?: () => void): Uint8Array {
  const head = new Uint8Array(MAGIC_LENGTH);
  let length = 0;
  while (length < MAGIC_LENGTH) {
    while (onWait !== undefined && !waitUntilReadable(fd, LOOK_MS)) onWait();
    const got = read(fd, head.subarray(length));
    if (got === 0) break;
    length += got;
  }
  return head.subarray(0, length);
}
