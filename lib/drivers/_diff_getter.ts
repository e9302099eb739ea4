// SPDX-License-Identifier: Apache-2.0

/**
 * Reading single files of a layer by the names a tar gives them.
 *
 * @module
 */

import {
  AT_FDCWD,
  Fd,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  openat,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  tryOpenat2,
} from "../../ffi/file.ts";
import { failure } from "../../ffi/errno.ts";
import { fstat } from "../../ffi/stat.ts";
import { cleanPath } from "../archive/entry_path.ts";
import { asStorageError, StorageError } from "../errors.ts";
import { bytesOfText, CName } from "../util/byte_string.ts";
import type { DiffGetter } from "./driver.ts";

/** Files of the directory `diffDir`, opened so that no name leads out of it. */
export class DirectoryGetter implements DiffGetter {
  readonly #root: Fd;

  constructor(diffDir: string) {
    this.#root = new Fd(openat(AT_FDCWD, diffDir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  }

  async open(unsafePath: string): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const path = cleanPath(bytesOfText(unsafePath));
    const name = new CName().fill(path === "" ? "." : path);
    const fd = tryOpenat2(this.#root.fd, name, O_RDONLY | O_NONBLOCK, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (fd < 0) throw asStorageError(failure(-fd, "openat2", this.#root.fd, unsafePath), `Cannot read "${unsafePath}"`);
    using file = new Fd(fd);
    if (!fstat(file.fd).isFile) {
      throw new StorageError("invalid_argument", `Cannot read "${unsafePath}": it is no regular file`);
    }
    // Through /proc, so that the stream belongs to Deno's own asynchronous files.
    const opened = await Deno.open(`/proc/self/fd/${file.fd}`);
    return opened.readable;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#root[Symbol.dispose]();
    return Promise.resolve();
  }
}
