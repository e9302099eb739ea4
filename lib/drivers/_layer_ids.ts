// SPDX-License-Identifier: Apache-2.0

/**
 * Names that can be layers. Each format tells by what is in them whether they are.
 *
 * @module
 */

import { DT_DIR, DT_UNKNOWN, readDirectory } from "../../ffi/directory.ts";
import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import { isLayerId } from "../layer_id.ts";
import { textOf } from "../util/text.ts";

/** Names of directories in `home` that can be layers; none where there is no home. */
export function idsIn(home: string): string[] {
  const ids: string[] = [];
  try {
    using directory = new Fd(openat(AT_FDCWD, home, O_RDONLY | O_DIRECTORY));
    readDirectory(directory.fd, (buffer, start, end, type) => {
      const name = textOf(buffer.subarray(start, end));
      if ((type === DT_DIR || type === DT_UNKNOWN) && isLayerId(name)) ids.push(name);
    });
  } catch (error) {
    if (!isErrno(error, "ENOTDIR", "ENOENT")) throw error;
  }
  return ids;
}
