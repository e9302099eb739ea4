// SPDX-License-Identifier: Apache-2.0

/**
 * The commands that do in one step what takes several of the others.
 *
 * @module
 */

import type { CommandSpec } from "./command_spec.ts";
import { ARCHIVE_OUTPUT, DIGEST, LAYER } from "./shared_options.ts";

/** Commands by name. */
export const EVERYDAY_COMMANDS = {
  export: {
    group: "Everyday",
    summary: "write all that is seen in a layer as a tar",
    words: [LAYER],
    options: [...ARCHIVE_OUTPUT, DIGEST],
    example: "lamina export job-1 --compress zstd -o rootfs.tar.zst",
    notes:
      "The archive is a whole root file system without whiteouts, whatever the layer lies on; lamina import takes it, and so " +
      "does tar. lamina diff writes what the layer itself changes.",
  },
} as const satisfies Readonly<Record<string, CommandSpec>>;
