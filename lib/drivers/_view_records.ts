// SPDX-License-Identifier: Apache-2.0

/**
 * Which views there are: a file each in the run root, so that they end with the machine as the mounts do.
 *
 * ```
 * RUN/views/<name>        the record, in JSON
 * RUN/views/<name>.tree/  where several layers are joined, and shown from
 * ```
 *
 * A record is written before anything is mounted, and goes when all is taken down. Which of the two a killed process left
 * behind, the mount table tells: a view lives while its tree is mounted at its place, and what does not live holds no
 * layer. The directory is there only while there are views: who has none need not look into it.
 *
 * @module
 */

import { readDirectory } from "../../ffi/directory.ts";
import { ERRNO, failure, hex } from "../../ffi/errno.ts";
import { AT_FDCWD, AT_REMOVEDIR, Fd, O_DIRECTORY, O_RDONLY, tryOpenat, tryUnlinkat } from "../../ffi/file.ts";
import { StorageError } from "../errors.ts";
import { mountsOf, type TreeIdentity } from "../mount/mount_place.ts";
import { type MountInfo, readMountInfo } from "../mount/mountinfo.ts";
import { lockDirectory } from "../util/directory_lock.ts";
import { readTextFileIfExists } from "../util/read_file.ts";
import { makeRunDirectory, replaceFileQuickly } from "../util/run_file.ts";
import { textOf } from "../util/text.ts";

const FLAGS = O_RDONLY | O_DIRECTORY;
/** A view as it is written down. */
export interface ViewRecord {
  /** Of its file. */
  name: string;
  /** Where it is, as the kernel names the place. */
  path: string;
  /** Its layers, the uppermost first. */
  ids: readonly string[];
  /** Whether nothing can be written through it. */
  readOnly: boolean;
  /** What was asked for: the same again is the same view. */
  request: string;
  /** What is shown: the mount that `get` makes too, the layer's files as they lie, or a mount of several layers. */
  source: "mount" | "files" | "joined";
  /** What the mount table says of it; not there before it is about to be mounted. */
  tree?: TreeIdentity;
}

/** The records of one home. */
export class ViewRecords {
  /** @param directory Where they lie. */
  constructor(readonly directory: string) {}

  get #temporary(): string {
    return `${this.directory}/.new`;
  }

  /** Keeps others from making views and taking them down. Who holds it may lock layers, and not the other way round. */
  async lock(): Promise<Disposable> {
    for (;;) {
      makeRunDirectory(this.directory);
      const lock = await lockDirectory(this.directory, "exclusive");
      // Who had it before may have removed it with the last record.
      if (lock === undefined) continue;
      return {
        [Symbol.dispose]: () => {
          // What a killed process was writing.
          tryUnlinkat(AT_FDCWD, this.#temporary);
          tryUnlinkat(AT_FDCWD, this.directory, AT_REMOVEDIR);
          lock[Symbol.dispose]();
        },
      };
    }
  }

  /** All that is written down. */
  list(): ViewRecord[] {
    const names: string[] = [];
    const fd = tryOpenat(AT_FDCWD, this.directory, FLAGS);
    if (fd === -ERRNO.ENOENT) return [];
    if (fd < 0) throw failure(-fd, "openat", AT_FDCWD, this.directory, hex(FLAGS));
    using directory = new Fd(fd);
    readDirectory(directory.fd, (buffer, start, end) => names.push(textOf(buffer.subarray(start, end))));
    return names.filter((name) => !name.includes(".")).sort().flatMap((name) => this.#read(name) ?? []);
  }

  #read(name: string): ViewRecord | undefined {
    const file = `${this.directory}/${name}`;
    const text = readTextFileIfExists(file);
    if (text === undefined) return undefined;
    try {
      return { ...JSON.parse(text) as Omit<ViewRecord, "name">, name };
    } catch {
      // None is ever seen half written: a run root on a disk lost it with the machine's power, and the mounts are gone too.
      tryUnlinkat(AT_FDCWD, file);
      return undefined;
    }
  }

  /** Those whose tree is mounted where it should be. */
  live(): ViewRecord[] {
    const records = this.list();
    if (records.length === 0) return [];
    const mounts = readMountInfo();
    return records.filter((record) => mountsOfView(record, mounts).length > 0);
  }

  /** Writes a view down, or what is new about it. The caller holds the lock. */
  write({ name, ...record }: ViewRecord): void {
    replaceFileQuickly(`${this.directory}/${name}`, JSON.stringify(record), this.#temporary);
  }

  /** Forgets a view. */
  remove({ name }: ViewRecord): void {
    tryUnlinkat(AT_FDCWD, `${this.directory}/${name}`);
  }

  /** Where several layers are joined. */
  treeDir({ name }: ViewRecord): string {
    return `${this.directory}/${name}.tree`;
  }

  /** Whether a view needs the mount of the layer. */
  needMount(id: string): boolean {
    return this.live().some(({ ids, source }) => source === "mount" && ids[0] === id);
  }

  /**
   * Makes sure that nothing of the layer is seen anywhere.
   *
   * @param action What is to be done with it.
   * @throws {StorageError} `layer_in_use`, with the place.
   */
  requireNone(id: string, action: string): void {
    this.#refuse(action, this.live().find(({ ids }) => ids.includes(id)));
  }

  /**
   * Makes sure that the layer may be written. What the kernel shows of a layer below others must not change; and no two
   * mounts may write in one layer, where a view has kept one whose other place is gone.
   *
   * @param isMounted Whether the layer is mounted at its own place.
   * @throws {StorageError} `layer_in_use`, with the place.
   */
  requireWritable(id: string, isMounted: () => boolean): void {
    const view = this.live().find(({ ids, source }) => source !== "files" && ids.includes(id));
    if (view?.source === "mount" && isMounted()) return;
    this.#refuse(`mount layer "${id}" to be written in`, view);
  }

  /** Whether the layer must not change, for the sake of a view. */
  isJoined(id: string): boolean {
    return this.live().some(({ ids, source }) => source === "joined" && ids.includes(id));
  }

  /**
   * Makes sure that nobody writes in the layer through a view.
   *
   * @throws {StorageError} `layer_in_use`, with the place.
   */
  requireNotWritten(id: string): void {
    const written = this.live().find(({ ids, readOnly }) => !readOnly && ids.includes(id));
    this.#refuse(`join layer "${id}" with others`, written);
  }

  #refuse(action: string, view: ViewRecord | undefined): void {
    if (view === undefined) return;
    throw new StorageError("layer_in_use", `Cannot ${action}: it is shown at ${view.path}`, {
      hint: `take that down first: lamina unmount --at ${view.path}`,
    });
  }
}

/** The mounts of a view at its place, the last made last. */
export function mountsOfView({ tree, path }: ViewRecord, mounts: readonly MountInfo[]): MountInfo[] {
  return tree === undefined ? [] : mountsOf(tree, path, mounts);
}
