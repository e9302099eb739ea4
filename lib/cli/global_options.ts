// SPDX-License-Identifier: Apache-2.0

/**
 * Options of every command, and the words that some options take.
 *
 * @module
 */

import type { DriverName } from "../drivers/registry.ts";
import type { OptionSpec } from "./command_spec.ts";

// A record, so that the type checker finds a driver that is missing here.
const DRIVERS: Readonly<Record<DriverName, true>> = { overlay2: true, overlay: true, "containers-overlay": true };

/** Names that `--driver` takes. */
export const DRIVER_CHOICES: readonly string[] = Object.keys(DRIVERS);

/** What `--mount-api` takes. */
export const MOUNT_API_CHOICES = ["auto", "new", "classic", "from"] as const;

/** What `--sync` takes. */
export const SYNC_CHOICES = ["none", "metadata", "full"] as const;

/** Programs that `completions` writes for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** What `diff --compress` takes. */
export const COMPRESSIONS = ["gzip", "zstd"] as const;

/** What `diff --times` takes. */
export const TIMES = ["full", "seconds"] as const;

/** Options of every command. */
export const GLOBAL_OPTIONS = [
  {
    name: "root",
    value: "DIR",
    help: "where layers live (LAMINA_ROOT, /var/lib/lamina)",
    completion: "directory",
  },
  {
    name: "run-root",
    value: "DIR",
    help: "volatile state (LAMINA_RUN_ROOT, /run/lamina)",
    completion: "directory",
  },
  {
    name: "home",
    value: "DIR",
    help: "one driver's directory, instead of --root",
    completion: "directory",
    isRare: true,
  },
  {
    name: "socket",
    value: "PATH",
    help: "have the agent that listens there do it",
    completion: "file",
    isRare: true,
  },
  { name: "driver", value: "NAME", help: "LAMINA_DRIVER, or what the store says", completion: DRIVER_CHOICES },
  {
    name: "docker-root",
    value: "DIR",
    help: "dockerd's data-root: its layers, by its names",
    completion: "directory",
    isRare: true,
  },
  { name: "storage-opt", value: "K=V", repeatable: true, help: "an option of the driver, repeatable", isRare: true },
  {
    name: "mount-api",
    value: "NAME",
    help: "how to mount: auto, new, classic or from",
    completion: MOUNT_API_CHOICES,
    isRare: true,
  },
  {
    name: "sync",
    value: "WHAT",
    help: "wait for the disk: none, metadata (default), full",
    completion: SYNC_CHOICES,
    isRare: true,
  },
  { name: "json", help: "answer in JSON" },
  { name: "quiet", help: "say nothing but errors and answers", isRare: true },
  { name: "verbose", help: "say more, and show where an error comes from", isRare: true },
  { name: "help", short: "h", help: "this help, or with a command, its own" },
  { name: "version", help: "which lamina this is", isRare: true },
] as const satisfies readonly OptionSpec[];
