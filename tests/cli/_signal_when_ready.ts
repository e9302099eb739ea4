// SPDX-License-Identifier: Apache-2.0

/**
 * Programs that are sent a signal.
 *
 * @module
 */

/** Sends `signal` to `child` as soon as that says something; all that it says, and what it ends with. */
export async function signalWhenReady(
  child: Deno.ChildProcess,
  signal: Deno.Signal,
): Promise<{ code: number; said: string }> {
  let said = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    if (said === "") child.kill(signal);
    said += text;
  }
  return { code: (await child.status).code, said };
}
