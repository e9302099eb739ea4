// SPDX-License-Identifier: Apache-2.0

/**
 * Runs a program and waits for it.
 *
 * @module
 */

/** How a program is run. */
export interface RunOptions {
  /** Given on stdin; left out, stdin is empty. */
  input?: Uint8Array | string;
  /** Where it runs. */
  cwd?: string;
  /** Added to this process's environment. */
  env?: Readonly<Record<string, string>>;
}

/** What a program said. */
export interface RunResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** What a program said, its standard output as bytes. */
export interface RunBytesResult {
  code: number;
  stdout: Uint8Array<ArrayBuffer>;
  stderr: string;
}

/** Runs `program`; the exit code is the caller's to judge. Programs speak English: `LC_ALL=C`. */
export async function runBytes(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunBytesResult> {
  const { input, cwd, env } = options;
  await using child = new Deno.Command(program, {
    args: [...args],
    ...(cwd === undefined ? {} : { cwd }),
    env: { LC_ALL: "C", ...env },
    stdin: input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const written = input === undefined ? undefined : feed(child.stdin, input);
  const { code, stdout, stderr } = await child.output();
  await written;
  return { code, stdout, stderr: new TextDecoder().decode(stderr) };
}

/** A program may stop reading before the end of its input; what it then says is the test's matter, not the broken pipe. */
async function feed(stdin: WritableStream<Uint8Array>, input: Uint8Array | string): Promise<void> {
  const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
  const writer = stdin.getWriter();
  try {
    await writer.write(bytes);
    await writer.close();
  } catch (error) {
    // The write fails with the one, the close after it (Deno 2.4) with the other.
    if (!(error instanceof Deno.errors.BrokenPipe || error instanceof TypeError)) throw error;
  }
}

/** As {@linkcode runBytes}, with standard output as text. */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { code, stdout, stderr } = await runBytes(program, args, options);
  return { code, stdout: new TextDecoder().decode(stdout), stderr };
}

/** As {@linkcode run} for a program that must succeed: anything else is an error with what it said on stderr. */
export async function runOk(program: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const result = await run(program, args, options);
  if (result.code !== 0) {
    throw new Error(`${[program, ...args].join(" ")} ended with ${result.code}:\n${result.stderr || result.stdout}`);
  }
  return result;
}
