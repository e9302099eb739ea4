// SPDX-License-Identifier: Apache-2.0

/**
 * Unpacks an archive in a process of its own, which may have fewer rights; says the code that it failed with.
 *
 *     deno run --allow-all _unpacker.ts ARCHIVE DIRECTORY
 *
 * @module
 */

import { isStorageError } from "../../lib/errors.ts";
import { unpackFile } from "../archive/_engine.ts";

function codeOf(archive: string, directory: string): string {
  try {
    unpackFile(archive, directory);
    return "none";
  } catch (error) {
    if (isStorageError(error)) return error.code;
    throw error;
  }
}

await Deno.stdout.write(new TextEncoder().encode(codeOf(Deno.args[0]!, Deno.args[1]!)));
