// SPDX-License-Identifier: Apache-2.0

/**
 * Layer ids. An id becomes the name of a directory, so one from outside is hostile until it passed here.
 *
 * @module
 */

import { StorageError } from "./errors.ts";

/** What Docker, Podman and BuildKit use: 64 hex digits, that plus `-init`, 25 base-32 digits, or a plain word. */
const LAYER_ID_REGEXP = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/;

/** Names that a driver keeps beside the layers in its home. */
const RESERVED_NAMES: ReadonlySet<string> = new Set(["l", "backingFsBlockDev"]);

/**
 * Returns `unsafeId` if it can name a layer.
 *
 * @throws {StorageError} `invalid_argument`: empty, over 255 bytes, reserved, or with characters other than letters,
 * digits, `_`, `.` and `-` (the first one a letter or digit). So `..`, `/` and NUL never reach a path.
 */
export function parseLayerId(unsafeId: string): string {
  const reason = unsafeId === ""
    ? "it is empty"
    : unsafeId.length > 255
    ? "it is longer than 255 bytes"
    : RESERVED_NAMES.has(unsafeId)
    ? "the name is reserved for the driver's own files"
    : LAYER_ID_REGEXP.test(unsafeId)
    ? undefined
    : "only letters, digits, '_', '.' and '-' are allowed, the first one a letter or digit";
  if (reason === undefined) return unsafeId;
  const shown = unsafeId.length > 80 ? unsafeId.slice(0, 80) + "…" : unsafeId;
  throw new StorageError("invalid_argument", `Cannot use ${JSON.stringify(shown)} as a layer id: ${reason}`);
}

/** Whether `name` can be a layer's id. */
export function isLayerId(name: string): boolean {
  return LAYER_ID_REGEXP.test(name) && !RESERVED_NAMES.has(name);
}
