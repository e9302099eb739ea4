// SPDX-License-Identifier: Apache-2.0

/**
 * A layer that is read, or built upon, for long. It is not locked meanwhile, for nobody should have to wait for that; so it may
 * be removed, and who reads a directory that is being emptied sees no error but fewer files. A removed layer is first
 * renamed: if it has its name at the end, then nothing was missing before. Where there is no space for that, it loses its
 * file with its short name first.
 *
 * @module
 */

import { failure } from "../../ffi/errno.ts";
import { AT_FDCWD, existsat, Fd, O_DIRECTORY, O_PATH, tryOpenat } from "../../ffi/file.ts";
import { fstat, Stat, tryStatx } from "../../ffi/stat.ts";
import { StorageError } from "../errors.ts";
import type { HomeLayout } from "./_driver_home.ts";
import { LINK } from "./_layer_layout.ts";

/** Holds a layer's directories, by which they can be told from others of the same name. */
export class LayerPin implements Disposable {
  readonly #held = new DisposableStack();
  readonly #directories: { path: string; fd: number }[];
  readonly #hasLink: boolean;

  /** @throws {StorageError} `layer_not_found`. */
  constructor(layout: HomeLayout, readonly id: string) {
    this.#directories = [layout.dir(id), layout.contentDir(id)].map((path) => ({ path, fd: this.#open(path) }));
    this.#hasLink = this.#findLink();
  }

  #findLink(): boolean {
    return existsat(this.#directories[0]!.fd, LINK);
  }

  #open(path: string): number {
    const fd = tryOpenat(AT_FDCWD, path, O_PATH | O_DIRECTORY);
    if (fd >= 0) return this.#held.use(new Fd(fd)).fd;
    this.#held.dispose();
    throw this.#gone(failure(-fd, "openat", AT_FDCWD, path));
  }

  /**
   * What `work` made of the layer.
   *
   * @throws {StorageError} `layer_not_found`: the layer was not there until the end. Whatever else failed came of that.
   */
  async whole<T>(work: Promise<T>): Promise<T> {
    let result: T;
    try {
      result = await work;
    } catch (error) {
      throw this.isStill ? error : this.#gone(error);
    }
    if (!this.isStill) throw this.#gone();
    return result;
  }

  /** Whether the layer has been there all the while, and its content is the one that it was. */
  get isStill(): boolean {
    const named = new Stat();
    return this.#findLink() === this.#hasLink &&
      this.#directories.every(({ path, fd }) =>
        tryStatx(AT_FDCWD, path, 0, named) === 0 && named.isSameFile(fstat(fd))
      );
  }

  #gone(cause?: unknown): StorageError {
    const message = `Cannot read layer "${this.id}" to its end: it was removed or replaced meanwhile`;
    return new StorageError("layer_not_found", message, { cause });
  }

  [Symbol.dispose](): void {
    this.#held.dispose();
  }
}
