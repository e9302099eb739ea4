// SPDX-License-Identifier: Apache-2.0

/**
 * A just-made ext4 in a sparse file.
 *
 * @module
 */

import { runCommand } from "./_command.ts";

/** A mounted image; disposing it unmounts it and removes the file. */
export class LoopImage implements AsyncDisposable {
  /** Where it is mounted. */
  readonly path: string;
  readonly #file: string;

  private constructor(file: string, path: string) {
    this.#file = file;
    this.path = path;
  }

  /** Makes `directory/NAME.img`, and mounts it on `directory/NAME`. */
  static async make(directory: string, name: string, sizeBytes: number, signal?: AbortSignal): Promise<LoopImage> {
    const image = new LoopImage(`${directory}/${name}.img`, `${directory}/${name}`);
    try {
      await image.#mount(sizeBytes, signal);
      return image;
    } catch (error) {
      await image.#removeFiles();
      throw error;
    }
  }

  async #mount(sizeBytes: number, signal: AbortSignal | undefined): Promise<void> {
    await Deno.writeFile(this.#file, new Uint8Array());
    await Deno.truncate(this.#file, sizeBytes);
    // Without "lazy", mkfs or a kernel thread would write the inode tables out while the clock runs.
    const options = ["-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1"];
    await runCommand("mkfs.ext4", [...options, this.#file], { signal });
    await Deno.mkdir(this.path);
    // No signal: a mount that was made must be known to have been made.
    await runCommand("mount", ["-o", "loop,noinit_itable", this.#file, this.path]);
  }

  async #removeFiles(): Promise<void> {
    for (const path of [this.path, this.#file]) {
      await Deno.remove(path).catch((error: unknown) => {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Recursive: a storage program that was measured may have left mounts of its own inside.
    await runCommand("umount", ["--recursive", this.path])
      // Somebody who was interrupted may still be at it: at least nothing stays in the way.
      .catch(() => runCommand("umount", ["--recursive", "--lazy", this.path]));
    await this.#removeFiles();
  }
}
