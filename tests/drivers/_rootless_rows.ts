// SPDX-License-Identifier: Apache-2.0

/**
 * The drivers that work in a user namespace, each in its modes.
 *
 * @module
 */

import type { OpenOptions } from "../../lib/drivers/registry.ts";
import type { Expectations } from "./driver_suite.ts";

/** A mode of a driver. */
export interface RootlessRow {
  name: string;
  options: OpenOptions;
  expectations: Expectations;
}

const overlay2: Expectations = { templates: "copied" };
const containers: Expectations = { templates: "parents" };

/** All of them. */
export const ROOTLESS_ROWS: readonly RootlessRow[] = [
  { name: "overlay2 in Workers", options: { driver: "overlay2", work: "worker" }, expectations: overlay2 },
  {
    name: "overlay2 by mount(2)",
    options: { driver: "overlay2", work: "in-place", mountApi: "classic" },
    expectations: overlay2,
  },
  {
    name: "containers-overlay",
    options: { driver: "containers-overlay", work: "in-place" },
    expectations: containers,
  },
  {
    name: "containers-overlay by fuse-overlayfs",
    options: { driver: "containers-overlay", work: "worker", options: ["mount_program=/usr/bin/fuse-overlayfs"] },
    expectations: { ...containers, seesLinks: true },
  },
];
