// SPDX-License-Identifier: Apache-2.0

/**
 * Where one archive after the other is unpacked, and what has to hold afterwards, whatever the archive says:
 *
 * - it ends, well or with a StorageError of a code that can be an archive's fault;
 * - nothing beside or above the root is created, changed or removed;
 * - no descriptor stays open, and the root can be removed;
 * - what was unpacked can be packed, and that archive gives the same tree and the same archive again.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import { openPlainArchive } from "../../lib/archive/compression.ts";
import { unpack } from "../../lib/archive/unpack.ts";
import { isStorageError, type StorageErrorCode } from "../../lib/errors.ts";
import { removeTree } from "../../lib/util/remove_tree.ts";
import { packFile, unpackFile } from "../archive/_engine.ts";
import { differences, snapshot } from "../_helpers/snapshot.ts";

/** What an archive can be refused with. `system_error` is not among them: an archive is no surprise of the system's. */
const ARCHIVES_FAULT: readonly StorageErrorCode[] = [
  "invalid_archive",
  "limit_exceeded",
  "unsafe_path",
  "not_supported",
  "permission_denied",
  "no_space",
];
/** Seconds that one archive may take. */
export const TIME_LIMIT_MS = 5000;

/** Something that must hold did not. */
export class BrokenPromise extends Error {
  override name = "BrokenPromise";
}

/** A directory with a root to unpack into, and a host's files around it. */
export class World {
  readonly outside: string;
  readonly #root: string;
  readonly #copy: string;
  readonly #archive: string;
  readonly #again: string;

  /** @param path An empty directory. */
  constructor(readonly path: string) {
    this.outside = `${path}/outside`;
    this.#root = `${path}/cell/root`;
    this.#copy = `${path}/cell/copy`;
    this.#archive = `${path}/archive`;
    this.#again = `${path}/again`;
    Deno.mkdirSync(`${path}/cell/outside/inner`, { recursive: true });
    Deno.mkdirSync(`${this.outside}/inner`, { recursive: true });
    for (
      const directory of [path, `${path}/cell`, `${path}/outside`, `${path}/outside/inner`, `${path}/cell/outside`]
    ) {
      Deno.writeTextFileSync(`${directory}/secret`, "the host's");
      Deno.chmodSync(`${directory}/secret`, 0o640);
      Deno.utimeSync(`${directory}/secret`, 1000, 1000);
    }
    // Made now, so that using them later changes no directory.
    for (const file of [this.#archive, this.#again, `${this.#again}2`]) Deno.writeTextFileSync(file, "");
  }

  /** Unpacks `archive` and sees that everything holds; the code that it failed with. */
  async check(archive: Uint8Array): Promise<StorageErrorCode | undefined> {
    Deno.writeFileSync(this.#archive, archive);
    Deno.mkdirSync(this.#root);
    const before = this.#host();
    const descriptors = openDescriptors();
    const start = performance.now();
    const code = await this.#unpack();
    if (performance.now() - start > TIME_LIMIT_MS) throw new BrokenPromise(`it took over ${TIME_LIMIT_MS} ms`);
    assertNone("something outside the root was changed", differences(before, this.#host()));
    await assertNoneOpen(descriptors);
    if (code === undefined) this.#roundTrip();
    this.#remove("root");
    return code;
  }

  /** What is around the root. The archives are this class's own. */
  #host(): string[] {
    return snapshot(this.path, { skip: "cell/root" })
      .filter((line) => !/^(archive|again2?|cell\/root) /.test(line));
  }

  async #unpack(): Promise<StorageErrorCode | undefined> {
    try {
      using file = new Fd(openat(AT_FDCWD, this.#archive, O_RDONLY));
      using archive = openPlainArchive(file.fd);
      await archive.ready;
      using root = new Fd(openat(AT_FDCWD, this.#root, O_RDONLY | O_DIRECTORY));
      unpack(archive, root.fd);
      return undefined;
    } catch (error) {
      if (isStorageError(error, ...ARCHIVES_FAULT)) return error.code;
      throw new BrokenPromise(`it failed with ${describe(error)}`, { cause: error });
    }
  }

  #roundTrip(): void {
    try {
      packFile(this.#root, this.#again);
    } catch (error) {
      // A name that begins with .wh., or an attribute with "=": nothing an archive could say.
      if (isStorageError(error, "not_supported")) return;
      throw new BrokenPromise(`it cannot be packed again: ${describe(error)}`, { cause: error });
    }
    try {
      unpackFile(this.#again, this.#copy);
    } catch (error) {
      throw new BrokenPromise(`what was packed cannot be unpacked: ${describe(error)}`, { cause: error });
    }
    // An empty layer is an archive of 1024 zero bytes, which says nothing of the root's time.
    const first = isEmptyArchive(this.#again) ? 1 : 0;
    const [tree, copy] = [this.#root, this.#copy].map((path) => snapshot(path).slice(first).map(withoutLabel));
    assertNone("packed and unpacked again it differs", differences(tree!, copy!));
    packFile(this.#copy, `${this.#again}2`);
    if (!Buffer.from(Deno.readFileSync(this.#again)).equals(Deno.readFileSync(`${this.#again}2`))) {
      throw new BrokenPromise("packed a second time it gives other bytes");
    }
    this.#remove("copy");
  }

  #remove(name: string): void {
    using cell = new Fd(openat(AT_FDCWD, `${this.path}/cell`, O_RDONLY | O_DIRECTORY));
    try {
      removeTree(cell.fd, name);
    } catch (error) {
      throw new BrokenPromise(`it cannot be removed: ${describe(error)}`, { cause: error });
    }
  }
}

/** SELinux labels are the host's: taken in, but not given out. */
function withoutLabel(line: string): string {
  return line.replace(/security\.selinux=\S* ?/, "").trimEnd();
}

function isEmptyArchive(path: string): boolean {
  return Deno.statSync(path).size === 1024;
}

/** Files, directories and pipes: the engine opens nothing else, and sockets come and go with Deno's own Workers. */
function openDescriptors(): string[] {
  const open: string[] = [];
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      open.push(`${name} ${Deno.readLinkSync(`/proc/self/fd/${name}`)}`);
    } catch (error) {
      // The descriptor by which this directory is read.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return open.filter((line) => !/ (socket|anon_inode):/.test(line)).sort();
}

/** A Worker or a program that decompresses may end a moment later. */
async function assertNoneOpen(before: readonly string[]): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (differences(before, openDescriptors()).every((line) => line.startsWith("-"))) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assertNone("descriptors stayed open", differences(before, openDescriptors()));
}

function assertNone(what: string, lines: readonly string[]): void {
  if (lines.length > 0) throw new BrokenPromise(`${what}:\n${lines.slice(0, 10).join("\n").slice(0, 3000)}`);
}

function describe(error: unknown): string {
  const code = isStorageError(error) ? `${error.code}: ` : "";
  return `${code}${error instanceof Error ? error.message.slice(-300) : String(error)}`;
}
