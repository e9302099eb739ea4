// SPDX-License-Identifier: Apache-2.0

/**
 * Who may not mount, and what the commands need of such a user.
 *
 * A mount lives in the mount namespace it is made in, and a user namespace ends with its last process. So what `lamina mount`
 * made in a namespace of its own would be gone when it ends, and nobody outside would have seen it. A process that keeps one
 * namespace alive for all commands, as Podman has it, would not help: its mounts are as invisible to the user's shell. So
 * these commands are refused outside, and `lamina unshare` starts the user's own program where they work.
 *
 * @module
 */

import { StorageError } from "../../errors.ts";
import { CAP_SYS_ADMIN, hasCapability } from "../../util/capabilities.ts";
import type { Command } from "../command.ts";
import type { CommandName } from "../usage.ts";

/** Whether this process needs no user namespace to mount: it is root, or has been given the capability. */
export function mayMount(): boolean {
  return hasCapability(CAP_SYS_ADMIN);
}

/** Whether commands enter a user namespace by themselves. Root whose container took the capability away does not mean that. */
export function isOrdinaryUser(): boolean {
  return Deno.uid() !== 0 && !mayMount();
}

/**
 * What a command needs: nothing of the store; to read what the user owns in it; a namespace, to mount for a while, and to
 * use files of subordinate ids; or a namespace that outlives it.
 */
type Need = "no store" | "reading" | "namespace" | "lasting namespace";

const NEEDS: Readonly<Record<CommandName, Need>> = {
  create: "namespace",
  apply: "namespace",
  diff: "namespace",
  export: "namespace",
  import: "namespace",
  run: "namespace",
  cp: "namespace",
  squash: "namespace",
  remap: "namespace",
  rm: "namespace",
  mount: "lasting namespace",
  unmount: "lasting namespace",
  mounts: "reading",
  cleanup: "namespace",
  ls: "reading",
  tree: "reading",
  inspect: "namespace",
  exists: "reading",
  changes: "namespace",
  size: "namespace",
  du: "namespace",
  info: "namespace",
  check: "namespace",
  verify: "namespace",
  serve: "lasting namespace",
  unshare: "reading",
  man: "no store",
  completions: "no store",
  version: "no store",
  help: "no store",
};

/** Whether a command has to know where layers lie. */
export function needsStore({ kind }: Command): boolean {
  return NEEDS[kind] !== "no store";
}

/**
 * Whether an ordinary user's command has to run in a namespace.
 *
 * @throws {StorageError} `permission_denied`: one of its own would be of no use.
 */
export function needsNamespace(command: Command): boolean {
  const need = NEEDS[command.kind];
  if (need === "lasting namespace") {
    throw new StorageError(
      "permission_denied",
      `Cannot ${command.kind} as user ${Deno.uid()}: without root, mounts live in a user namespace, and end with it`,
      {
        hint:
          `lamina unshare starts a shell, and lamina unshare -- PROGRAM a program, in which lamina ${command.kind} works`,
      },
    );
  }
  return need === "namespace";
}
