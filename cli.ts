// SPDX-License-Identifier: Apache-2.0

/**
 * The command `lamina`.
 *
 * ```sh
 * lamina apply base rootfs.tar.gz
 * lamina create job-1 --parent base --read-write
 * root=$(lamina mount job-1)
 * ```
 *
 * @module
 */

/** EXIT.notSupported of lib/cli/exit_code.ts, which is not loaded yet. */
const NOT_SUPPORTED = 5;

/** REQUEST_VARIABLE of lib/mount/mount_from_child.ts, which is loaded for it only: it opens the C library. */
const MOUNT_REQUEST = "LAMINA_MOUNT_FROM";

/** Ends with one clear line, before anything is loaded that only Linux has. */
function refuseOtherSystems(): void {
  if (Deno.build.os === "linux") return;
  Deno.stderr.writeSync(new TextEncoder().encode(`lamina: error: lamina needs Linux, this is ${Deno.build.os}\n`));
  Deno.exit(NOT_SUPPORTED);
}

if (import.meta.main) {
  refuseOtherSystems();
  // A compiled lamina that started itself to mount from another directory: lib/mount/mount_from.ts.
  if (Deno.build.standalone && Deno.env.has(MOUNT_REQUEST)) await import("./lib/mount/mount_from_child.ts");
  const { runCommandLine } = await import("./lib/cli/run.ts");
  Deno.exit(await runCommandLine(Deno.args));
}
