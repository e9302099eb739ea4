// SPDX-License-Identifier: Apache-2.0

/**
 * File names as the kernel sees them: bytes, usually but not always UTF-8. They are kept as strings of which each
 * character is one byte (0 to 255), so that they can be keys, be cut and compared, and still come out byte for byte.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** A name of which each character is one byte. Only {@linkcode textOfBytes} makes it fit for people. */
export type ByteString = string;

/** The bytes of one buffer as a node Buffer, which alone can decode Latin-1. Loops ask for the same one again and again. */
let viewed: Uint8Array | undefined;
let view = Buffer.alloc(0);

/** The bytes of `buffer` from `start` to `end`. (`TextDecoder("latin1")` would not do: it is windows-1252.) */
export function byteString(buffer: Uint8Array, start = 0, end: number = buffer.length): ByteString {
  if (buffer !== viewed) {
    view = Buffer.from(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.byteLength);
    viewed = buffer;
  }
  return view.toString("latin1", start, end);
}

/** The name that UTF-8 `text` stands for. */
export function bytesOfText(text: string): ByteString {
  return Buffer.from(text, "utf8").toString("latin1");
}

// deno-lint-ignore no-control-regex
const ASCII_REGEXP = /^[\x00-\x7f]*$/;

/** `name` for people; bytes that are no UTF-8 show as U+FFFD. */
export function textOfBytes(name: ByteString): string {
  // Nearly all names: what is ASCII only is its own text.
  if (ASCII_REGEXP.test(name)) return name;
  return Buffer.from(name, "latin1").toString("utf8");
}

/** Copies `name` into `buffer` at `offset`; returns the offset behind it. */
export function putBytes(name: ByteString, buffer: Uint8Array, offset: number): number {
  for (let i = 0; i < name.length; i++) buffer[offset + i] = name.charCodeAt(i);
  return offset + name.length;
}

const PATH_MAX = 4096;

/**
 * A C string that a loop fills again and again, where a fresh one a name would be half the cost of the system call. The
 * bytes are good until the next `fill`.
 */
export class CName {
  #bytes = new Uint8Array(PATH_MAX);

  /** `name` with its NUL. The caller has made sure that it holds none. */
  fill(name: ByteString): Uint8Array<ArrayBuffer> {
    if (name.length >= this.#bytes.length) this.#bytes = new Uint8Array(name.length + 1);
    this.#bytes[putBytes(name, this.#bytes, 0)] = 0;
    return this.#bytes;
  }
}
