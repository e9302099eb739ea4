// SPDX-License-Identifier: Apache-2.0

/**
 * Child processes of this one.
 *
 * @module
 */

/** Their ids, those that ended and were not waited for among them. */
export function childProcesses(): string[] {
  // Each thread has its own.
  const threads = [...Deno.readDirSync("/proc/self/task")].map(({ name }) => name);
  return threads.flatMap((thread) => readIfThere(`/proc/self/task/${thread}/children`).split(" ")).filter(Boolean);
}

function readIfThere(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}
