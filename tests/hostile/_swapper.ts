// SPDX-License-Identifier: Apache-2.0

/**
 * The other process: exchanges two names of a directory, again and again, until its parent closes the pipe.
 *
 *     deno run --allow-all _swapper.ts DIRECTORY NAME OTHER_NAME
 *
 * @module
 */

import { AT_FDCWD, O_DIRECTORY, O_RDONLY, openat, RENAME_EXCHANGE, renameat2 } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";

const EXCHANGES_A_TURN = 2000;

const [directory, name, other] = Deno.args;
const fd = openat(AT_FDCWD, directory!, O_RDONLY | O_DIRECTORY);
let ended = false;
void Deno.stdin.read(new Uint8Array(1)).then(() => ended = true);
while (!ended) {
  // Even: the names stand as they did at the beginning when it ends.
  for (let i = 0; i < EXCHANGES_A_TURN; i++) {
    try {
      renameat2(fd, name!, fd, other!, RENAME_EXCHANGE);
    } catch (error) {
      // The unpacker is just replacing one of them.
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }
  await new Promise((resolve) => setTimeout(resolve));
}
