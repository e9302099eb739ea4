// SPDX-License-Identifier: Apache-2.0

/**
 * What figures were measured on.
 *
 * @module
 */

/** Day, processors, memory, kernel and Deno. */
export async function aboutMachine(): Promise<string> {
  const model = /^model name\s*: (.*)$/m.exec(await Deno.readTextFile("/proc/cpuinfo"))?.[1] ?? "unknown processor";
  const memory = `${Math.round(Deno.systemMemoryInfo().total / 1e9)} GB`;
  const day = new Date().toISOString().slice(0, 10);
  return `${day}, ${navigator.hardwareConcurrency} cores (${model}), ${memory}, Linux ${Deno.osRelease()}, Deno ${Deno.version.deno}`;
}
