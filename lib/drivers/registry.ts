// SPDX-License-Identifier: Apache-2.0

/**
 * Drivers by name, and by what lies on disk.
 *
 * @module
 */

import { AT_FDCWD, existsat } from "../../ffi/file.ts";
import { StorageError } from "../errors.ts";
import type { IdMaps } from "../id_map.ts";
import { type Logger, SILENT } from "../log.ts";
import { KernelMounter } from "../mount/mounter.ts";
import type { MountApi } from "../mount/overlay_mount.ts";
import { absolutePath } from "../util/absolute_path.ts";
import { idsIn } from "./_layer_ids.ts";
import { hasLayers, OTHER_DRIVERS } from "./_store_signs.ts";
import { InPlaceRunner, WorkerRunner } from "./_work_runner.ts";
import type { GraphDriver } from "./driver.ts";
import type { DriverName } from "./driver_name.ts";
import type { Overlay2Settings } from "./overlay2.ts";
import type { SyncPolicy } from "./sync_policy.ts";

export type { MountApi } from "../mount/overlay_mount.ts";
export type { DriverName } from "./driver_name.ts";
export type { SyncPolicy } from "./sync_policy.ts";

/** How a driver is found and opened. */
interface DriverSpec {
  /** Its home's name in the root. Several drivers may have the same. */
  directory: string;
  /** Tells a home of that name from those of other drivers. */
  recognises(home: string): boolean;
  open(settings: Overlay2Settings): Promise<GraphDriver>;
}

/** Each is loaded when it is opened. */
const DRIVERS: Readonly<Record<DriverName, DriverSpec>> = {
  overlay2: {
    directory: "overlay2",
    recognises: hasLayers,
    open: async (settings) => new (await import("./overlay2.ts")).Overlay2Driver(settings),
  },
  overlay: {
    directory: "overlay",
    recognises: isLegacyHome,
    open: async (settings) => new (await import("./overlay.ts")).LegacyOverlayDriver(settings),
  },
  "containers-overlay": {
    directory: "overlay",
    recognises: isContainersHome,
    open: async (settings) => new (await import("./containers_overlay.ts")).ContainersOverlayDriver(settings),
  },
};

/** Their names. */
export const DRIVER_NAMES = Object.keys(DRIVERS) as readonly DriverName[];

/** Where homes lie unless told otherwise. */
export const DEFAULT_ROOT = "/var/lib/lamina";
/** Where what ends with the machine lies unless told otherwise. */
export const DEFAULT_RUN_ROOT = "/run/lamina";

const DEFAULT_DRIVER: DriverName = "overlay2";

/** How a store is opened. */
export interface OpenOptions {
  /** Where homes lie, a directory a driver: `/var/lib/lamina`. */
  root?: string;
  /** The driver's own directory; left out, the one of its name in `root`. */
  home?: string;
  /** Where counts and the like lie that end with the machine: `/run/lamina`. */
  runRoot?: string;
  /** Left out, the store on disk says which; a new one gets `overlay2`. */
  driver?: DriverName;
  /** `KEY=VALUE` options of the driver: `overlay2.override_kernel_check=true`. */
  options?: readonly string[];
  /** Ids inside layers and on the host; left out, they are the same. */
  idMaps?: IdMaps;
  /** Where the library tells what is worth knowing; left out, nowhere. */
  logger?: Logger;
  /** Where long work runs: in Workers, or, for a program that does nothing else, in place. Streams always need a Worker. */
  work?: "worker" | "in-place";
  /**
   * Which way layers are mounted; left out, the newest that the kernel has. On kernels older than 6.8 a mount of very many
   * layers runs Deno once more (`--allow-run`); a program made by `deno compile` runs itself, and ends where it imports this
   * module: it has to do so statically.
   */
  mountApi?: MountApi;
  /** What has to be on the disk before a call returns; left out, `metadata`: the store itself. */
  sync?: SyncPolicy;
}

/**
 * Opens a store of layers. Nothing is made on disk until a layer is.
 *
 * @throws {StorageError} `invalid_argument`: an option; `prior_driver_conflict`: the root holds layers of several drivers
 * or of another one; `not_supported`: such a driver, or another system than Linux.
 *
 * @example
 * ```ts ignore
 * import { openDriver } from "lamina";
 *
 * await using driver = await openDriver({ root: "/var/lib/my-runner", runRoot: "/run/my-runner" });
 * for await (const layer of driver.layers()) console.log(layer.id);
 * ```
 */
export async function openDriver(options: OpenOptions = {}): Promise<GraphDriver> {
  if (Deno.build.os !== "linux") {
    throw new StorageError(
      "not_supported",
      `Cannot keep overlay layers on ${Deno.build.os}: overlayfs is a part of Linux`,
    );
  }
  const root = absolutePath(options.root ?? DEFAULT_ROOT);
  const name = options.driver ?? (options.home === undefined ? driverOnDisk(root) : DEFAULT_DRIVER);
  if (!(DRIVER_NAMES as readonly string[]).includes(name)) {
    throw new StorageError("not_supported", `There is no driver "${name}"`, {
      hint: `there is ${DRIVER_NAMES.join(", ")}`,
    });
  }
  const { directory, open } = DRIVERS[name];
  const runRoot = absolutePath(options.runRoot ?? DEFAULT_RUN_ROOT);
  return await open({
    home: options.home === undefined ? `${root}/${directory}` : absolutePath(options.home),
    runRoot,
    options: options.options ?? [],
    idMaps: options.idMaps,
    mounter: new KernelMounter(options.mountApi ?? "auto", runRoot, options.work !== "in-place"),
    logger: options.logger ?? SILENT,
    sync: options.sync ?? "metadata",
    runner: options.work === "in-place" ? new InPlaceRunner() : new WorkerRunner(),
  });
}

/** The driver whose layers lie in `root`. */
function driverOnDisk(root: string): DriverName {
  const ours = DRIVER_NAMES.filter((name) => DRIVERS[name].recognises(`${root}/${DRIVERS[name].directory}`));
  const taken = ours.map((name) => DRIVERS[name].directory);
  const others = OTHER_DRIVERS.filter((name) => !taken.includes(name) && hasLayers(`${root}/${name}`));
  const found: string[] = [...ours, ...others];
  if (found.length === 0) return DEFAULT_DRIVER;
  if (found.length === 1 && ours.length === 1) return ours[0]!;
  throw new StorageError(
    "prior_driver_conflict",
    found.length === 1
      ? `Cannot open ${root}: it holds layers of the driver "${found[0]}", which lamina does not have`
      : `Cannot open ${root}: it holds layers of several drivers: ${found.join(", ")}`,
    { hint: "say --driver NAME, or take another root" },
  );
}

/**
 * containers/storage gives its layers short names, as overlay2 does. Docker's legacy driver, whose home has the same name,
 * has neither their directory nor link files.
 */
function isContainersHome(home: string): boolean {
  return existsat(AT_FDCWD, `${home}/l/.`) || idsIn(home).some((id) => existsat(AT_FDCWD, `${home}/${id}/link`));
}

function isLegacyHome(home: string): boolean {
  return !isContainersHome(home) && hasLayers(home);
}
