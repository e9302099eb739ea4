// SPDX-License-Identifier: Apache-2.0

/**
 * What the kernel said a moment ago, from its log: see the kernel's Documentation/ABI/testing/dev-kmsg. The log is the whole
 * machine's, so a message may be about somebody else's doing.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, Fd, O_NONBLOCK, O_RDONLY, openat, read } from "../../ffi/file.ts";
import { readTextFile } from "../util/read_file.ts";
import { textOf } from "../util/text.ts";

/** How old a message may be. */
const MOMENT_SECONDS = 0.1;
const LONGEST_RECORD = 8192;

/** The newest message that was told before. */
let lastTold = -1;

/**
 * The last message of this moment that begins with `prefix`, without it, and told only once; "" for none, and where the log
 * is not ours to read.
 */
export function kernelLog(prefix: string): string {
  let found = "";
  try {
    const since = Number(readTextFile("/proc/uptime").split(" ", 1)[0]) - MOMENT_SECONDS;
    for (const { sequence, seconds, message } of records()) {
      if (sequence <= lastTold || seconds < since || !message.startsWith(prefix)) continue;
      found = message.slice(prefix.length).trim();
      lastTold = sequence;
    }
  } catch (error) {
    if (!isErrno(error)) throw error;
  }
  return found;
}

interface LogRecord {
  sequence: number;
  /** Since the machine started. */
  seconds: number;
  message: string;
}

function* records(): Generator<LogRecord> {
  using log = new Fd(openat(AT_FDCWD, "/dev/kmsg", O_RDONLY | O_NONBLOCK));
  const buffer = new Uint8Array(LONGEST_RECORD);
  for (;;) {
    let length: number;
    try {
      length = read(log.fd, buffer);
    } catch (error) {
      if (isErrno(error, "EAGAIN")) return;
      // Records were overwritten before they were read; the next read goes on behind them.
      if (isErrno(error, "EPIPE")) continue;
      throw error;
    }
    if (length === 0) return;
    const match = /^\d+,(\d+),(\d+),[^;]*;([^\n]*)/.exec(textOf(buffer.subarray(0, length)));
    if (match === null) continue;
    const [, sequence, microseconds, message] = match;
    yield { sequence: Number(sequence), seconds: Number(microseconds) / 1e6, message: message! };
  }
}
