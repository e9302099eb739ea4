// SPDX-License-Identifier: Apache-2.0

/**
 * Words and options that several commands have.
 *
 * @module
 */

import type { OptionSpec, WordSpec } from "./command_spec.ts";
import { COMPRESSIONS, TIMES } from "./global_options.ts";

/** The layer that a command is about. */
export const LAYER: WordSpec = { name: "ID", completion: "layer" };

/** Of commands that make a layer. */
export const PARENT: OptionSpec = { name: "parent", value: "ID", help: "the layer below", completion: "layer" };

/** Of commands that read or write an archive. */
export const DIGEST: OptionSpec = { name: "digest", help: "print SHA-256 of the plain archive, and of it as it is" };

/** Of commands that fill a layer. */
export const MANIFEST: OptionSpec = { name: "manifest", help: "write down what is in it, for lamina verify" };

/** Of commands that fill a layer. */
export const LIMIT: OptionSpec = {
  name: "limit",
  value: "NAME=N",
  repeatable: true,
  help: "entries, bytes, …: what an archive may ask for",
};

/** Of commands that write an archive. */
export const ARCHIVE_OUTPUT: readonly OptionSpec[] = [
  { name: "output", short: "o", value: "FILE|-", help: "left out or -: standard output", completion: "file" },
  { name: "compress", value: "NAME", help: "gzip or zstd", completion: COMPRESSIONS },
  { name: "times", value: "NAME", help: "full (to the nanosecond) or seconds", completion: TIMES },
];

/** Of commands that mount. */
export const MOUNT_OPTIONS: readonly OptionSpec[] = [
  { name: "read-only", help: "nothing can be written" },
  { name: "label", value: "LABEL", help: "SELinux context" },
  { name: "option", short: "o", value: "OPTION", repeatable: true, help: "an overlayfs option as the kernel has it" },
];

/** Of commands that compare. */
export const COMPARED_WITH: OptionSpec = {
  name: "parent",
  value: "ID",
  help: 'compare with this layer, or "" with nothing at all',
  completion: "layer",
};

/** Of commands that compare. */
export const COMPARE_CONTENT: OptionSpec = { name: "content", help: "read files that look the same" };

/** Of commands that compare what was written in such a mount. */
export const MOUNTED_WITH: readonly OptionSpec[] = [
  { name: "uid-map", value: "C:H:N", repeatable: true, help: "the layer is mounted with these maps" },
  { name: "gid-map", value: "C:H:N", repeatable: true, help: "the same for groups; one kind stands for both" },
  { name: "map-user", value: "NAME", help: "or with those of the user's subordinate ids" },
];
