// SPDX-License-Identifier: Apache-2.0

/**
 * A directory for one test, gone at its end whatever was mounted in it.
 *
 * @module
 */

import { mountPointsBelow } from "./mount_points.ts";

/**
 * Made below /var/tmp, since /tmp is often a tmpfs, which cannot carry every layer. `LAMINA_TEST_DIR` names another place.
 *
 * @example
 * ```ts ignore
 * await using directory = await TempDir.make();
 * await Deno.writeTextFile(directory.join("file"), "content");
 * ```
 */
export class TempDir implements AsyncDisposable, Disposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Makes the directory. */
  static async make(): Promise<TempDir> {
    return new TempDir(await Deno.makeTempDir({ dir: parentDirectory(), prefix: "lamina-test-" }));
  }

  /** As {@linkcode TempDir.make}, for tests that are not async. */
  static makeSync(): TempDir {
    return new TempDir(Deno.makeTempDirSync({ dir: parentDirectory(), prefix: "lamina-test-" }));
  }

  /** A path in the directory. */
  join(...names: string[]): string {
    return [this.path, ...names].join("/");
  }

  /** Makes directories, parents included, and returns the path of the last one. */
  async mkdir(...names: string[]): Promise<string> {
    let path = this.path;
    for (const name of names) {
      path = this.join(name);
      await Deno.mkdir(path, { recursive: true });
    }
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const mountPoint of mountPointsBelow(this.path)) {
      await new Deno.Command("umount", { args: ["-l", "--", mountPoint], stderr: "null" }).output();
    }
    await Deno.remove(this.path, { recursive: true });
  }

  [Symbol.dispose](): void {
    for (const mountPoint of mountPointsBelow(this.path)) {
      new Deno.Command("umount", { args: ["-l", "--", mountPoint], stderr: "null" }).outputSync();
    }
    Deno.removeSync(this.path, { recursive: true });
  }
}

function parentDirectory(): string {
  return Deno.env.get("LAMINA_TEST_DIR") ?? "/var/tmp";
}
