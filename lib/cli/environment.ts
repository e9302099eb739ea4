// SPDX-License-Identifier: Apache-2.0

/**
 * The environment variables that lamina heeds, as the manual tells them.
 *
 * @module
 */

/** Names and meanings. */
export const ENVIRONMENT: readonly (readonly [name: string, meaning: string])[] = [
  ["LAMINA_ROOT", "Stands in for --root."],
  ["LAMINA_RUN_ROOT", "Stands in for --run-root."],
  ["LAMINA_DRIVER", "Stands in for --driver."],
  ["NO_COLOR", "If it is not empty, nothing is painted. Where standard output is no terminal, nothing is anyway."],
  ["SHELL", "What lamina unshare runs where it is not told."],
  ["XDG_DATA_HOME", "Without root, layers live in lamina below it (~/.local/share)."],
  ["XDG_RUNTIME_DIR", "Without root, volatile state lives in lamina below it (else /tmp/lamina-UID)."],
];
