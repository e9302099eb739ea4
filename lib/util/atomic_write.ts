// SPDX-License-Identifier: Apache-2.0

/**
 * Small files that are either the old ones or the new ones, whatever happens in between.
 *
 * @module
 */

import { DT_REG, readDirectory } from "../../ffi/directory.ts";
import { ERRNO, failure } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  Fd,
  fsync,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
  openat,
  renameat2,
  startWriteback,
  tryUnlinkat,
  tryWriteBackBeside,
  writeAll,
} from "../../ffi/file.ts";
import { fchmod } from "../../ffi/owner.ts";
import { fstat, Stat } from "../../ffi/stat.ts";
import { randomId } from "./random_id.ts";
import { textOf } from "./text.ts";

const encoder = new TextEncoder();
const MODE_BITS = 0o7777;
/** Filled and read within one call. */
const made = new Stat();

/** What of UTF-8 a character of a string takes at most. */
const MOST_BYTES = 3;
/** Filled and written within one call: a buffer of its own would cost each file as much as a system call. */
const small = new Uint8Array(16 * 1024);

function encode(content: string): Uint8Array {
  if (content.length * MOST_BYTES > small.length) return encoder.encode(content);
  return small.subarray(0, encoder.encodeInto(content, small).written);
}

/** Whether a file is on the disk when it is written; or on its way there, which write_order.ts says the use of. */
export type FileSync = "none" | "started" | "done";

/** Makes `path`, which is not there yet, with exactly this mode. */
export function writeNewFile(path: string, content: string, mode: number, sync: FileSync = "none"): void {
  using file = new Fd(openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, mode));
  // The umask may have taken some of it; to set what is there would cost more than to look.
  if ((fstat(file.fd, made).mode & MODE_BITS) !== mode) fchmod(file.fd, mode);
  writeAll(file.fd, encode(content));
  if (sync === "started") startWriteback(file.fd);
  else if (sync === "done") fsync(file.fd);
}

/**
 * Replaces `path` by write, fsync and rename. The name it has meanwhile begins with `.lamina-`.
 *
 * @param sync Whether its content is on the disk before it gets its name.
 */
export function replaceFile(path: string, content: string, mode: number, sync = true): void {
  using file = new StagedFile(path, content, mode, sync);
  file.putInPlace();
}

/** What is to replace a file: whole on the disk, but for its name. Disposed before it has that, it is gone. */
export class StagedFile implements Disposable {
  readonly #temporary: string;

  /** As {@linkcode replaceFile}. */
  constructor(readonly path: string, content: string, mode: number, sync = true) {
    const slash = path.lastIndexOf("/") + 1;
    this.#temporary = `${path.slice(0, slash)}.lamina-${randomId(10)}-${path.slice(slash)}`;
    try {
      writeNewFile(this.#temporary, content, mode, sync ? "done" : "none");
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Gives it the name. */
  putInPlace(): void {
    renameat2(AT_FDCWD, this.#temporary, AT_FDCWD, this.path);
  }

  [Symbol.dispose](): void {
    tryUnlinkat(AT_FDCWD, this.#temporary);
  }
}

/**
 * Has files, and names in directories, on the disk when it is through. The kernel waits for all of them at once, which
 * takes little longer than for one, and this thread goes on meanwhile. See fsync(2).
 *
 * @throws {SyscallError}
 */
export async function syncPaths(paths: readonly string[]): Promise<void> {
  await Promise.all(paths.map(syncPath));
}

async function syncPath(path: string): Promise<void> {
  try {
    using file = await Deno.open(path);
    await file.sync();
  } catch (error) {
    throw failure(errnoOf(error), "fsync", path);
  }
}

/** What a call of Deno's failed with: it tells a name, where it knows one. */
function errnoOf(error: unknown): number {
  const { code } = error as { code?: unknown };
  return ERRNO[code as keyof typeof ERRNO] ?? ERRNO.EIO;
}

/**
 * Has the content of files on the disk when it is through, and waits for no more: see write_order.ts for where that is
 * enough. This thread goes on meanwhile.
 *
 * @throws {SyscallError}
 */
export async function writeBack(paths: readonly string[]): Promise<void> {
  await Promise.all(paths.map(async (path) => {
    using file = new Fd(openat(AT_FDCWD, path, O_RDONLY));
    // What cannot be done so, or why it fails, fsync knows.
    if (!await tryWriteBackBeside(file.fd)) fsync(file.fd);
  }));
}

/** The paths of the files right in the directory `path`. */
export function filesIn(path: string): string[] {
  const paths: string[] = [];
  using directory = new Fd(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  readDirectory(directory.fd, (buffer, start, end, type) => {
    if (type === DT_REG) paths.push(`${path}/${textOf(buffer.subarray(start, end))}`);
  });
  return paths;
}
