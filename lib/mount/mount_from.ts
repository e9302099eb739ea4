// SPDX-License-Identifier: Apache-2.0

/**
 * Mounting an overlay by mount(2) with paths relative to the directory that all of its layers lie in, so that about three
 * times as many fit the page that the kernel reads. A path is relative to where a process is, and a process is in one place
 * for all of its threads: so another one is started there, which mounts and ends. It takes 15 to 25 ms, and happens only on
 * kernels older than 6.8, with more layers than mount_classic.ts can name.
 *
 * The wait for it is synchronous, as for the mounts of the other ways. The caller holds the layer's lock and has nothing to do
 * for this layer meanwhile; asynchronous, it would make promises of all mounts, probes and what is built on them, for the
 * sake of old kernels.
 *
 * @module
 */

import { failure } from "../../ffi/errno.ts";
import { StorageError } from "../errors.ts";
import { bytesTooMany, type ClassicMount, classicMount, dataTooLong } from "./mount_classic.ts";
import { type MountReply, type MountRequest, REQUEST_VARIABLE, requestText } from "./mount_from_child.ts";
import type { OverlayMount } from "./overlay.ts";

/**
 * Mounts `overlay` at `target`.
 *
 * @throws {StorageError} `mount_failed`: even the relative paths do not fit, or no process can be started.
 * {SyscallError} See mount(2).
 */
export function mountFrom(overlay: OverlayMount, target: string): void {
  const directory = commonDirectory(pathsOf(overlay));
  const classic = classicMount(relativeTo(directory, overlay));
  if (bytesTooMany(classic) > 0) {
    throw dataTooLong(classic, overlay, target, `Linux 6.8 or newer has no such limit; here, use fewer layers`);
  }
  const errno = mountInChild(directory, classic, target);
  if (errno !== 0) throw failure(errno, "mount", "overlay", target, "overlay", classic.flags, classic.data);
}

function pathsOf({ lowerDirs, upper }: OverlayMount): string[] {
  return upper === undefined ? [...lowerDirs] : [...lowerDirs, upper.upperDir, upper.workDir];
}

/** The deepest directory that holds all of `paths`, which are absolute. */
export function commonDirectory(paths: readonly string[]): string {
  let common = paths[0]!.split("/").slice(0, -1);
  for (const path of paths) {
    const names = path.split("/").slice(0, -1);
    const differs = common.findIndex((name, i) => name !== names[i]);
    if (differs !== -1) common = common.slice(0, differs);
  }
  return common.join("/") || "/";
}

function relativeTo(directory: string, { lowerDirs, upper, options }: OverlayMount): OverlayMount {
  const start = directory === "/" ? 1 : directory.length + 1;
  const relative = (path: string): string => path.slice(start);
  return {
    lowerDirs: lowerDirs.map(relative),
    upper: upper === undefined ? undefined : { upperDir: relative(upper.upperDir), workDir: relative(upper.workDir) },
    options,
  };
}

/** Makes the mount in a process that is started in `directory`; the error number of mount(2). */
function mountInChild(directory: string, { flags, data }: ClassicMount, target: string): number {
  const failed = (reason: string, hint: string, cause?: unknown): StorageError =>
    new StorageError("mount_failed", `Cannot mount an overlay at ${target} from ${directory}: ${reason}`, {
      cause,
      hint,
    });
  const request: MountRequest = { parent: Deno.pid, target, flags, data };
  let output: Deno.CommandOutput;
  try {
    output = new Deno.Command(Deno.execPath(), {
      args: childArguments(),
      cwd: directory,
      env: { [REQUEST_VARIABLE]: JSON.stringify(request) },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).outputSync();
  } catch (error) {
    if (error instanceof StorageError) throw error;
    throw failed(`no process can be started there: ${(error as Error).message}`, "allow it: --allow-run", error);
  }
  const reply = readReply(output.stdout);
  if (reply !== undefined) return reply.errno;
  const said = new TextDecoder().decode(output.stderr).trim();
  throw failed(
    `the process started for it ended with ${output.code}${said === "" ? "" : `: ${said}`}`,
    "a program that is compiled has to import lamina statically, and be allowed to read its environment",
  );
}

/** How this program is run so that it mounts; `deno run` alone knows to run a module of ours. */
function childArguments(): string[] {
  if (!Deno.build.standalone) {
    const module = import.meta.resolve("./mount_from_child.ts");
    return [
      "run",
      "--quiet",
      "--no-config",
      "--no-lock",
      "--no-prompt",
      "--no-check",
      // This process has loaded it, from wherever it came.
      "--cached-only",
      "--allow-ffi",
      `--allow-env=${REQUEST_VARIABLE}`,
      module,
    ];
  }
  // A compiled program runs whole again up to where it imports lamina: it must be sure to see there what it was started for.
  const { state } = Deno.permissions.querySync({ name: "env", variable: REQUEST_VARIABLE });
  if (state !== "granted" || requestText() !== undefined) {
    throw new StorageError(
      "not_supported",
      `Cannot start this program again to mount from another directory: ${
        state === "granted" ? `it was itself started with ${REQUEST_VARIABLE}` : `it may not read ${REQUEST_VARIABLE}`
      }`,
      { hint: state === "granted" ? `unset ${REQUEST_VARIABLE}` : `compile it with --allow-env=${REQUEST_VARIABLE}` },
    );
  }
  return [];
}

/** The last line that is a reply: a compiled program may have said something of its own before. */
function readReply(stdout: Uint8Array): MountReply | undefined {
  const line = new TextDecoder().decode(stdout).trimEnd().split("\n").at(-1) ?? "";
  return /^\{"errno":\d+\}$/.test(line) ? JSON.parse(line) as MountReply : undefined;
}
