// SPDX-License-Identifier: Apache-2.0

/**
 * A child process that runs nothing but sleep(3): for what the kernel makes with a process and shows in /proc/PID, such as
 * a user namespace.
 *
 * @module
 */

import { addressOfSleep, lastErrno, libc } from "./_libc.ts";
import { ERRNO, failure, hex } from "./errno.ts";

export const CLONE_NEWUSER = 0x10000000;
const CLONE_FILES = 0x400;
const SIGKILL = 9;
const __WALL = 0x40000000;

const STACK_SIZE = 64 * 1024;
/** Stacks are aligned to 16 bytes on both architectures. */
const STACK_ALIGNMENT = 16;
/** Kept for ever: what only a number points to would be collected. The child has a copy of its own. */
let stack: Uint8Array<ArrayBuffer> | undefined;

/**
 * `clone(sleep, stack, flags | CLONE_FILES, seconds)`: the process id of a child that sleeps, and then ends. See clone(2).
 *
 * The child never comes back from the C library into JavaScript, whose other threads a copy of the process does not have.
 * It shares the table of descriptors, so that it keeps none open that is closed here. Its end sends no signal, which
 * Deno could take for that of another child: {@linkcode endSleeper} waits for it.
 */
export function startSleeper(flags: number, seconds: number): number {
  stack ??= new Uint8Array(STACK_SIZE);
  const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(stack));
  const top = (address + BigInt(STACK_SIZE)) / BigInt(STACK_ALIGNMENT) * BigInt(STACK_ALIGNMENT);
  const pid = libc.clone(addressOfSleep(), Deno.UnsafePointer.create(top), flags | CLONE_FILES, BigInt(seconds));
  if (pid === -1) throw failure(lastErrno(), "clone", "sleep", hex(flags | CLONE_FILES), seconds);
  return pid;
}

/** `kill(pid, SIGKILL)` and `waitpid(pid, NULL, __WALL)`. See kill(2), waitpid(2). */
export function endSleeper(pid: number): void {
  if (libc.kill(pid, SIGKILL) === -1) throw failure(lastErrno(), "kill", pid, SIGKILL);
  while (libc.waitpid(pid, null, __WALL) === -1) {
    const errno = lastErrno();
    if (errno !== ERRNO.EINTR) throw failure(errno, "waitpid", pid, null, hex(__WALL));
  }
}
