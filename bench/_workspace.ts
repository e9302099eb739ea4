// SPDX-License-Identifier: Apache-2.0

/**
 * A directory to work in, on a file system that can carry overlay layers with all their attributes.
 *
 * @module
 */

import { isErrno, SyscallError } from "../ffi/errno.ts";
import { MNT_DETACH, umount2 } from "../ffi/mount.ts";
import { statfs } from "../ffi/statfs.ts";
import { lsetxattr } from "../ffi/xattr.ts";
import { isStorageError, rootCause } from "../lib/errors.ts";
import { mountsBelow } from "../lib/mount/mountinfo.ts";
import { isInUserNamespace } from "../lib/mount/user_namespace.ts";
import { formatSize } from "../lib/units.ts";
import { openDriver } from "../mod.ts";
import { LoopImage } from "./_loop_image.ts";
import { EXIT, Refusal } from "./_refusal.ts";

/** Sparse: it takes what is written to it. */
const IMAGE_BYTES = 8e9;

/** What a workspace is for. */
export interface WorkspaceOptions {
  /** Begins the directory's name. */
  prefix: string;
  /** Free bytes it must have. */
  neededBytes: number;
  signal?: AbortSignal;
  /** Told when the first choice would not do. */
  note?: (line: string) => void;
}

/** A temporary directory; `close` leaves nothing of it, and nothing mounted. */
export class Workspace implements AsyncDisposable {
  /** The directory. */
  readonly path: string;
  /** Where layers can be kept: the directory, or the file system that was made in it. */
  readonly root: string;
  readonly #image: LoopImage | undefined;

  private constructor(path: string, image: LoopImage | undefined) {
    this.path = path;
    this.root = image?.path ?? path;
    this.#image = image;
  }

  /**
   * Tries TMPDIR, /var/tmp, /tmp and /dev/shm; where none of them does, an ext4 in a file.
   *
   * @throws {Refusal} Nothing would do; with the reason for each.
   */
  static async make(options: WorkspaceOptions): Promise<Workspace> {
    const reasons: string[] = [];
    for (const directory of candidates()) {
      options.signal?.throwIfAborted();
      const made = await Workspace.#tryIn(directory, options);
      if (made instanceof Workspace) {
        if (reasons.length > 0) options.note?.(`Working in ${directory}: ${reasons.join("; ")}`);
        return made;
      }
      reasons.push(`${directory} ${made}`);
    }
    const workspace = await Workspace.#onImage(options, reasons);
    options.note?.(`Working on an ext4 image in ${workspace.path}: ${reasons.join("; ")}`);
    return workspace;
  }

  static async #tryIn(directory: string, { prefix, neededBytes }: WorkspaceOptions): Promise<Workspace | string> {
    const path = await makeDirectory(directory, prefix);
    if (path === undefined) return "is not there or read-only";
    const workspace = new Workspace(path, undefined);
    try {
      const objection = tooSmall(path, neededBytes) ?? await cannotCarryLayers(path);
      if (objection === undefined) return workspace;
      await workspace.close();
      return objection;
    } catch (error) {
      await workspace.close();
      throw error;
    }
  }

  static async #onImage({ prefix, neededBytes, signal }: WorkspaceOptions, reasons: string[]): Promise<Workspace> {
    for (const directory of candidates()) {
      const path = await makeDirectory(directory, prefix);
      if (path === undefined) continue;
      try {
        if (tooSmall(path, neededBytes) === undefined) {
          return new Workspace(path, await LoopImage.make(path, "ext4", IMAGE_BYTES, signal));
        }
        await Deno.remove(path, { recursive: true });
      } catch (error) {
        await Deno.remove(path, { recursive: true });
        signal?.throwIfAborted();
        reasons.push(`${directory} takes no ext4 image (${messageOf(error)})`);
      }
    }
    throw new Refusal(
      EXIT.notSupported,
      `no place for layers here: ${reasons.join("; ")}; set TMPDIR to an ext4 or xfs`,
    );
  }

  /** A path in the workspace, where layers can be kept. */
  join(name: string): string {
    return `${this.root}/${name}`;
  }

  /** What somebody mounted in the workspace. */
  mounts(): string[] {
    const own = this.#image?.path;
    return mountsBelow(this.path).map(({ mountPoint }) => mountPoint).filter((place) => place !== own);
  }

  /** Takes down what is still mounted, and removes the directory. */
  async close(): Promise<void> {
    for (const place of this.mounts()) umount2(place, MNT_DETACH);
    await this.#image?.[Symbol.asyncDispose]();
    await Deno.remove(this.path, { recursive: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** What is left of the workspace that was at `path`, as the kernel and the file system tell it. */
export function findRemains(path: string): string[] {
  const remains = mountsBelow(path).map(({ mountPoint }) => `${mountPoint} is still mounted`);
  try {
    Deno.lstatSync(path);
    remains.push(`${path} is still there`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return remains;
}

function candidates(): string[] {
  const chosen = Deno.env.get("TMPDIR");
  return [...new Set([...(chosen === undefined || chosen === "" ? [] : [chosen]), "/var/tmp", "/tmp", "/dev/shm"])];
}

async function makeDirectory(directory: string, prefix: string): Promise<string | undefined> {
  try {
    // mountinfo shows real paths.
    return await Deno.makeTempDir({ dir: await Deno.realPath(directory), prefix });
  } catch {
    return undefined;
  }
}

function tooSmall(path: string, neededBytes: number): string | undefined {
  const { availableBytes } = statfs(path);
  if (availableBytes >= neededBytes) return undefined;
  return `has ${formatSize(availableBytes)} free of the ${formatSize(neededBytes)} it takes`;
}

/** Tried, not guessed: a layer on a layer is mounted, and a file deleted in it. */
async function cannotCarryLayers(path: string): Promise<string | undefined> {
  try {
    tryXattrs(path);
    await tryLayers(`${path}/trial`);
    return undefined;
  } catch (error) {
    const cause = rootCause(error);
    if (isErrno(cause, "EPERM", "EACCES") || isStorageError(error, "permission_denied")) {
      const hint = "in a container: docker run --privileged";
      throw new Refusal(EXIT.permission, `root may not mount here: CAP_SYS_ADMIN is missing (${hint})`);
    }
    const reason = cause instanceof SyscallError ? cause.code : isStorageError(error) ? error.code : undefined;
    if (reason !== undefined) return `cannot carry layers (${statfs(path).name}, ${reason})`;
    throw error;
  }
}

function tryXattrs(path: string): void {
  const names = isInUserNamespace() ? ["user.lamina"] : ["user.lamina", "trusted.lamina"];
  for (const name of names) lsetxattr(path, name, new Uint8Array([1]));
}

async function tryLayers(directory: string): Promise<void> {
  {
    await using driver = await openDriver({
      root: `${directory}/store`,
      runRoot: `${directory}/run`,
      work: "in-place",
    });
    await driver.create("lower");
    await driver.createReadWrite("upper", { parent: "lower" });
    await using mounted = await driver.get("upper");
    await Deno.writeTextFile(`${mounted.path}/file`, "");
    await Deno.remove(`${mounted.path}/file`);
  }
  await Deno.remove(directory, { recursive: true });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
