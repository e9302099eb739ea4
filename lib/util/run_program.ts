// SPDX-License-Identifier: Apache-2.0

/**
 * Runs a program that may leave a part of itself behind in the background.
 *
 * @module
 */

/** How a program ended. */
export interface ProgramEnd {
  /** Whether it ended with 0. */
  isSuccess: boolean;
  /** As the end of a sentence: `ended with 1`. */
  how: string;
  /** What it wrote to standard error, without blanks around it. */
  said: string;
  /** Why it could not be run at all. */
  cause: unknown;
}

/** Of a longer text the end is kept: there the reason is. */
const LONGEST_TEXT = 4096;
/** How long after the program's end somebody else may still have to say something. */
const LAST_WORDS_MS = 50;

/**
 * Runs `program` with no input, and kills it after `timeoutMs`. It ends when its first process does, whatever that leaves
 * running.
 */
export async function runProgram(program: string, args: readonly string[], timeoutMs: number): Promise<ProgramEnd> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, {
      args: [...args],
      // What stays behind must not keep our directory.
      cwd: "/",
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return { isSuccess: false, how: "cannot be run", said: reason, cause };
  }
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    killIfRunning(child);
  }, timeoutMs);
  const words = new LastWords(child.stderr);
  const { success, code, signal } = await child.status;
  clearTimeout(timer);
  const said = await words.end();
  const how = isLate
    ? `took longer than ${timeoutMs / 1000} seconds, and was killed`
    : signal === null
    ? `ended with ${code}`
    : `was ended by ${signal}`;
  return { isSuccess: success, how, said, cause: undefined };
}

function killIfRunning(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch (error) {
    // It has ended just now.
    if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** The end of what comes out of a pipe that may never be closed. */
class LastWords {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #isRead: Promise<void>;
  #bytes = new Uint8Array();

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
    this.#isRead = this.#read();
  }

  async #read(): Promise<void> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) return;
      const all = new Uint8Array(this.#bytes.length + value.length);
      all.set(this.#bytes);
      all.set(value, this.#bytes.length);
      this.#bytes = all.slice(-LONGEST_TEXT);
    }
  }

  /**
   * Stops reading. Who has the other end open in the background gets EPIPE from now on; libfuse's programs ignore the
   * signal that comes with it.
   */
  async end(): Promise<string> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise<void>((resolve) => timer = setTimeout(resolve, LAST_WORDS_MS));
    await Promise.race([this.#isRead, patience]);
    clearTimeout(timer);
    await this.#reader.cancel();
    await this.#isRead;
    return new TextDecoder().decode(this.#bytes).trim();
  }
}
