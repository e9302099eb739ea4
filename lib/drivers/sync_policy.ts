// SPDX-License-Identifier: Apache-2.0

/**
 * What has to be on the disk before a call returns, in case the machine loses its power.
 *
 * | policy | what returned before the power went |
 * | --- | --- |
 * | `none` | may be gone, or there with empty files, also the store's own |
 * | `metadata` | may be gone, or there with empty files of the layer; the store's own files are whole, and it opens |
 * | `full` | is there, bit for bit |
 *
 * What was interrupted never counts, whatever the policy: it lies under a name that is no layer's.
 *
 * @module
 */

/** How much is waited for. */
export type SyncPolicy = "none" | "metadata" | "full";
