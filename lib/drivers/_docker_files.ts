// SPDX-License-Identifier: Apache-2.0

/**
 * Reads files below the data-root of a dockerd. Nothing in them is trusted: a name is looked up below the data-root
 * only, a file must be a regular one of a sane size, and its text must have the shape that was asked for.
 *
 * @module
 */

import { readDirectory } from "../../ffi/directory.ts";
import { isErrno } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  Fd,
  O_DIRECTORY,
  O_NONBLOCK,
  O_RDONLY,
  openat,
  openat2,
  read,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
} from "../../ffi/file.ts";
import { fstat } from "../../ffi/stat.ts";
import { StorageError } from "../errors.ts";
import { textOf } from "../util/text.ts";

/** 64 hexadecimal digits: an image, a container, or the digest of a stack of layers. */
export const HEX_ID_REGEXP = /^[0-9a-f]{64}$/;
const DIGEST_REGEXP = /^sha256:([0-9a-f]{64})$/;

/** An image's configuration has a few kilobytes, a container's a few more. */
const MOST_BYTES = 16 * 1024 * 1024;
const SHOWN = 80;

/** A value that `JSON.parse` gave, as an object; undefined if it is none. */
export function recordOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return value as Readonly<Record<string, unknown>>;
}

/** The hexadecimal digits of `sha256:…`; undefined if `value` is no such text. */
export function digestOf(value: unknown): string | undefined {
  return typeof value === "string" ? DIGEST_REGEXP.exec(value)?.[1] : undefined;
}

/** The value of JSON text; undefined if it is none. The engine's words would quote the text, which may hold secrets. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** One data-root. Paths are relative to it. */
export class DockerFiles implements Disposable {
  readonly #root: Fd;

  /** @throws {SyscallError} `root` is no directory, or not for us. */
  constructor(readonly root: string) {
    this.#root = new Fd(openat(AT_FDCWD, root, O_RDONLY | O_DIRECTORY));
  }

  [Symbol.dispose](): void {
    this.#root[Symbol.dispose]();
  }

  /** The names in the directory `path` that `pattern` knows, sorted. */
  names(path: string, pattern: RegExp): string[] {
    const names: string[] = [];
    using directory = this.#open(path, O_DIRECTORY);
    readDirectory(directory.fd, (buffer, start, end) => {
      const name = textOf(buffer.subarray(start, end));
      if (pattern.test(name)) names.push(name);
    });
    return names.sort();
  }

  /** The text of a file; undefined if there is none. */
  textIfExists(path: string): string | undefined {
    let file: Fd;
    try {
      file = this.#open(path, O_NONBLOCK);
    } catch (error) {
      if (error instanceof StorageError && isErrno(error.cause, "ENOENT")) return undefined;
      throw error;
    }
    using _file = file;
    const stat = fstat(file.fd);
    if (!stat.isFile) throw this.damaged(path, "is no regular file");
    if (stat.size > MOST_BYTES) throw this.damaged(path, `has ${stat.size} bytes`);
    const bytes = new Uint8Array(stat.size);
    let length = 0;
    while (length < bytes.length) {
      const count = read(file.fd, bytes.subarray(length));
      if (count === 0) break;
      length += count;
    }
    return textOf(bytes.subarray(0, length));
  }

  /** As {@linkcode textIfExists}, for a file that must be there. */
  text(path: string): string {
    const text = this.textIfExists(path);
    if (text === undefined) throw this.damaged(path, "is missing");
    return text;
  }

  /** The object that a JSON file holds. */
  json(path: string): Readonly<Record<string, unknown>> {
    const text = this.text(path);
    const record = recordOf(parseJson(text));
    if (record === undefined) throw this.damaged(path, "is no JSON object");
    return record;
  }

  /** The digits of the digest that a file holds. */
  digest(path: string): string {
    const text = this.text(path);
    const digest = digestOf(text);
    if (digest === undefined) {
      throw this.damaged(path, `holds ${JSON.stringify(text.slice(0, SHOWN))}, which is no digest`);
    }
    return digest;
  }

  /** The error for a file that is not what dockerd would have written. */
  damaged(path: string, reason: string, cause?: unknown): StorageError {
    return new StorageError("store_damaged", `Cannot use ${this.root}/${path}: it ${reason}`, { cause });
  }

  #open(path: string, flags: number): Fd {
    try {
      return new Fd(openat2(this.#root.fd, path, O_RDONLY | flags, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS));
    } catch (error) {
      if (isErrno(error, "ENOENT")) throw this.damaged(path, "is missing", error);
      if (isErrno(error, "ENOTDIR")) throw this.damaged(path, "is not where a directory would be", error);
      if (isErrno(error, "EXDEV")) throw this.damaged(path, "leads out of the data-root", error);
      if (isErrno(error, "ELOOP")) throw this.damaged(path, "is a circle of symbolic links", error);
      if (isErrno(error, "ENXIO")) throw this.damaged(path, "is no regular file", error);
      throw error;
    }
  }
}
