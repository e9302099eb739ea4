// SPDX-License-Identifier: Apache-2.0

/**
 * The drivers that work in a user namespace, each in its modes.
 *
 * @module
 */

import type { OpenOptions } from "../../lib/drivers/registry.ts";

/** Names of rows, and how their stores are opened. */
export const ROOTLESS_ROWS: Readonly<Record<string, OpenOptions>> = {
  "overlay2 in Workers": { driver: "overlay2", work: "worker" },
  "overlay2 by mount(2)": { driver: "overlay2", work: "in-place", mountApi: "classic" },
};
