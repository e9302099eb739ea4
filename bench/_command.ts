// SPDX-License-Identifier: Apache-2.0

/**
 * Other people's programs: tar, mkfs, mount.
 *
 * @module
 */

/** A program and its arguments. */
export type Words = readonly [program: string, ...args: string[]];

/** How a program is run. */
export interface CommandOptions {
  /** Ends the program. */
  signal?: AbortSignal | undefined;
  /** Exit numbers that are no failure; 0 alone if left out. */
  accept?: readonly number[];
}

/**
 * Runs `program` to its end; what it wrote on stdout.
 *
 * @throws {Error} It is not there, or ended with a number that is not accepted; with what it said.
 */
export async function runCommand(
  program: string,
  args: readonly string[],
  { signal, accept = [0] }: CommandOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await outputOf(program, args, signal);
  signal?.throwIfAborted();
  if (!accept.includes(code)) {
    throw new Error(`${program} ${args.join(" ")} ended with ${code}: ${new TextDecoder().decode(stderr).trim()}`);
  }
  return new TextDecoder().decode(stdout);
}

async function outputOf(
  program: string,
  args: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Deno.CommandOutput> {
  const command = new Deno.Command(program, {
    args: [...args],
    env: { LC_ALL: "C" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    return await command.output();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new Error(`Cannot run ${program}: it is not installed`);
    throw error;
  }
}
