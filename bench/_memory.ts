// SPDX-License-Identifier: Apache-2.0

/**
 * A file system in memory for samples and their images.
 *
 * @module
 */

import { MNT_DETACH, mount, umount2 } from "../ffi/mount.ts";
import { runCommand } from "./_command.ts";

/** Makes `path` a tmpfs, so that the disk of this machine has no say; disposing it unmounts it. */
export async function mountMemory(path: string): Promise<AsyncDisposable> {
  await Deno.mkdir(path);
  mount("tmpfs", path, "tmpfs", 0, "size=90%,mode=0700");
  return { [Symbol.asyncDispose]: () => Promise.resolve(umount2(path, MNT_DETACH)) };
}

/**
 * Uses `bytes` of the tmpfs `directory` once. A virtual machine's host has to find the memory that the guest never
 * touched before: whoever goes first would pay for that.
 */
export async function touchMemory(directory: string, bytes: number, signal: AbortSignal): Promise<void> {
  const path = `${directory}/touched`;
  await runCommand("sh", ["-c", 'head -c "$1" /dev/zero >"$2"', "sh", String(bytes), path], { signal });
  await Deno.remove(path);
}
