// SPDX-License-Identifier: Apache-2.0

/**
 * Where a file that is on its way to the disk is there before every name that is given later, and nobody has to wait for
 * it.
 *
 * @module
 */

import { AT_FDCWD, readlinkat } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import { statat } from "../../ffi/stat.ts";
import { EXT4_SUPER_MAGIC, statfs } from "../../ffi/statfs.ts";
import { readTextFileIfExists } from "./read_file.ts";
import { textOf } from "./text.ts";

/**
 * Whether that is so in the directory `path`: on ext4 with a journal, whose usual mode `data=ordered` writes the content of
 * a file out before the transaction in which it got its blocks, and that one before later ones. The blocks are given
 * out when the file sets out for the disk: see `startWriteback`. Of other file systems this is not known, or they have
 * files and names in no order.
 *
 * Rests on Documentation/admin-guide/ext4.rst in Linux, and on the power cuts of `deno task soak`.
 */
export function keepsWriteOrder(path: string): boolean {
  if (statfs(path).type !== EXT4_SUPER_MAGIC) return false;
  const options = optionsOf(statat(AT_FDCWD, path))?.split("\n") ?? [];
  return options.includes("data=ordered") || options.includes("data=journal");
}

/** What ext4 says of itself, also what nobody asked for; undefined where it does not, as ext2 that has no journal. */
function optionsOf({ devMajor, devMinor }: { devMajor: number; devMinor: number }): string | undefined {
  try {
    const device = textOf(readlinkat(AT_FDCWD, `/sys/dev/block/${devMajor}:${devMinor}`));
    return readTextFileIfExists(`/proc/fs/ext4/${device.slice(device.lastIndexOf("/") + 1)}/options`);
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES")) return undefined;
    throw error;
  }
}
