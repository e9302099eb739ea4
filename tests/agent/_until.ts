// SPDX-License-Identifier: Apache-2.0

const LONGEST_MS = 30_000;
const POLL_MS = 20;

/** Waits until it is so; fails where that takes longer than it does on the slowest machine. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + LONGEST_MS; !await isSo();) {
    if (Date.now() > end) throw new Error(`not so after ${LONGEST_MS} ms: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
