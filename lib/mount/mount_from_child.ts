// SPDX-License-Identifier: Apache-2.0

/**
 * What the process does that mount_from.ts starts: one mount(2) in the directory it was started in, told on standard output.
 *
 * It is run by its own URL, or, in a compiled program, which can only run itself, imported before all else is done: whoever
 * finds the request in the environment makes the mount and ends. In any other process this module does nothing.
 *
 * @module
 */

import { SyscallError } from "../../ffi/errno.ts";
import { mount } from "../../ffi/mount.ts";

/** The variable of the environment that holds the request. It is not for people. */
export const REQUEST_VARIABLE = "LAMINA_MOUNT_FROM";

/** What is to be mounted, as JSON. */
export interface MountRequest {
  /** The process that asks. A variable that outlived its process is nobody's request. */
  parent: number;
  target: string;
  flags: number;
  data: string;
}

/** How it went, as JSON on a line of its own: 0, or the error number of mount(2). */
export interface MountReply {
  errno: number;
}

/** The request in this process's environment, as text. Without permission to read it, there is none. */
export function requestText(): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: REQUEST_VARIABLE });
  return state === "granted" ? Deno.env.get(REQUEST_VARIABLE) : undefined;
}

function answer({ target, flags, data }: MountRequest): MountReply {
  try {
    mount("overlay", target, "overlay", flags, data);
    return { errno: 0 };
  } catch (error) {
    if (error instanceof SyscallError) return { errno: error.errno };
    throw error;
  }
}

/** The request that is meant for this process, if there is one. */
function ownRequest(): MountRequest | undefined {
  const text = requestText();
  if (text?.startsWith(`{"parent":${Deno.ppid},`) !== true) return undefined;
  return JSON.parse(text) as MountRequest;
}

if (import.meta.main || Deno.build.standalone) {
  const request = ownRequest();
  if (request !== undefined) {
    Deno.stdout.writeSync(new TextEncoder().encode(`\n${JSON.stringify(answer(request))}\n`));
    Deno.exit(0);
  }
}
