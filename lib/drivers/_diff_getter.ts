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
import { streamFromFd } from "../util/fd_stream.ts";
import type { DiffGetter } from "./driver.ts";

/** Files of the directory `diffDir`, opened so that no name leads out of it. */
export class DirectoryGetter implements DiffGetter {
  readonly #root: Fd;

  constructor(diffDir: string) {
    this.#root = new Fd(openat(AT_FDCWD, diffDir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  }

  open(unsafePath: string): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    return Promise.resolve().then(() => this.#open(unsafePath));
  }

  #open(unsafePath: string): ReadableStream<Uint8Array<ArrayBuffer>> {
    const path = cleanPath(bytesOfText(unsafePath));
    const name = new CName().fill(path === "" ? "." : path);
    const fd = tryOpenat2(this.#root.fd, name, O_RDONLY | O_NONBLOCK, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (fd < 0) throw asStorageError(failure(-fd, "openat2", this.#root.fd, unsafePath), `Cannot read "${unsafePath}"`);
    using undo = new DisposableStack();
    const file = undo.use(new Fd(fd));
    if (!fstat(file.fd).isFile) {
      throw new StorageError("invalid_argument", `Cannot read "${unsafePath}": it is no regular file`);
    }
    const opened = undo.move();
    // Not opened once more through /proc, for Deno's own asynchronous calls: that takes the permission for everything.
    return streamFromFd(file.fd, () => opened.dispose());
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#root[Symbol.dispose]();
    return Promise.resolve();
  }
}
