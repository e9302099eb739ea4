// SPDX-License-Identifier: Apache-2.0

/**
 * lamina keeps file-system layers, stacks them with overlayfs, mounts them, and moves them in and out as tar diffs, on the
 * same files as Docker's `overlay2`. Begin with {@linkcode openDriver}; what a driver can do, and how the life of a layer
 * goes, is told at {@linkcode GraphDriver}. Every failure is a {@linkcode StorageError} with a code.
 *
 * Mounting needs root, be it of a user namespace, in which `lamina unshare -- PROGRAM` runs a program. The C library is
 * called by FFI, so a program needs `--allow-ffi`, which is as good as `--allow-all`; say the latter.
 *
 * @example A scratch layer on a root file system
 * ```ts
 * import { openDriver, StorageError } from "lamina";
 * import { assertEquals } from "@std/assert";
 *
 * const root = await Deno.makeTempDir({ dir: "/var/tmp" });
 * try {
 *   await using driver = await openDriver({ root, runRoot: `${root}/run` });
 *   await driver.create("base");
 *   await driver.createReadWrite("scratch", { parent: "base" });
 *   await using scratch = await driver.get("scratch");
 *   await Deno.writeTextFile(`${scratch.path}/hello`, "world\n");
 *   assertEquals(await driver.changes("scratch"), [{ path: "/hello", kind: "add" }]);
 * } catch (error) {
 *   // Without root there is nothing to mount.
 *   if (!(error instanceof StorageError && error.code === "permission_denied")) throw error;
 * } finally {
 *   await Deno.remove(root, { recursive: true });
 * }
 * ```
 *
 * @module
 */

export { connect, type ConnectOptions, DEFAULT_SOCKET } from "./lib/agent/client.ts";
export type { Digest } from "./lib/digest.ts";
export * from "./lib/drivers/driver.ts";
export {
  DEFAULT_ROOT,
  DEFAULT_RUN_ROOT,
  DRIVER_NAMES,
  type DriverName,
  type MountApi,
  openDriver,
  type OpenOptions,
  type SyncPolicy,
} from "./lib/drivers/registry.ts";
export { copyFromLayer, type CopyResult, copyToLayer } from "./lib/drivers/layer_files.ts";
export { importLayer, type ImportOptions, squashLayer, type SquashOptions } from "./lib/drivers/whole_layers.ts";
export { isStorageError, StorageError, type StorageErrorCode, type StorageErrorOptions } from "./lib/errors.ts";
export { type IdMap, type IdMaps, parseIdMap } from "./lib/id_map.ts";
export type { Logger } from "./lib/log.ts";
export { formatSize, parseSize } from "./lib/units.ts";
