// SPDX-License-Identifier: Apache-2.0

/**
 * Words and options that several commands have.
 *
 * @module
 */

import type { OptionSpec, WordSpec } from "./command_spec.ts";

/** The layer that a command is about. */
export const LAYER: WordSpec = { name: "ID", completion: "layer" };

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
