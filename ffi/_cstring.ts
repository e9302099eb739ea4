// SPDX-License-Identifier: Apache-2.0

/**
 * JavaScript strings and byte names as C strings.
 *
 * @module
 */

/**
 * A path or name for a call: a string (encoded as UTF-8), or bytes that already end in NUL (names on disk need not be
 * UTF-8, and a hot loop keeps its own buffer).
 */
export type CPath = string | Uint8Array;

const encoder = new TextEncoder();

/** What of UTF-8 a character of a string takes at most. */
const MOST_BYTES = 3;

const LAST_ASCII = 0x7f;

/**
 * The C string of `text`.
 *
 * @throws {TypeError} `text` holds a NUL: C would silently cut it there, and act on another file.
 */
export function cstring(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length * MOST_BYTES + 1);
  write(text, bytes);
  return bytes;
}

/** Most text is ASCII, and short: a loop is done with it before a call into the runtime has begun. */
function write(text: string, bytes: Uint8Array): void {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0 || unit > LAST_ASCII) return writeEncoded(text, bytes);
    bytes[i] = unit;
  }
  bytes[text.length] = 0;
}

function writeEncoded(text: string, bytes: Uint8Array): void {
  if (text.includes("\0")) throw new TypeError(`Cannot pass ${JSON.stringify(text)} to the C library: it contains NUL`);
  const { written } = encoder.encodeInto(text, bytes);
  bytes[written] = 0;
}

/**
 * The C string of a name of which each character is one byte (0 to 255): attributes, like files, need not have UTF-8 names.
 *
 * @throws {TypeError} `name` holds a NUL, or a character that is no byte.
 */
export function byteCString(name: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(name.length + 1);
  for (let i = 0; i < name.length; i++) {
    const byte = name.charCodeAt(i);
    if (byte === 0 || byte > 255) {
      throw new TypeError(
        `Cannot pass ${JSON.stringify(name)} to the C library: it contains ${
          byte === 0 ? "NUL" : "a character that is no byte"
        }`,
      );
    }
    bytes[i] = byte;
  }
  return bytes;
}

/** A new buffer costs as much as a system call, so these are used in turn; no call takes as many strings. */
const buffers = Array.from({ length: 8 }, () => new Uint8Array(2048));
let next = 0;

/** `path` as a buffer argument, for the call at hand and its repetition: later ones use the buffer again. */
export function cpath(path: CPath): Uint8Array<ArrayBuffer> {
  if (typeof path !== "string") return path as Uint8Array<ArrayBuffer>;
  const bytes = buffers[next]!;
  if (path.length * MOST_BYTES >= bytes.length) return cstring(path);
  next = (next + 1) % buffers.length;
  write(path, bytes);
  return bytes;
}

/** `path` or a NULL pointer. */
export function cpathOrNull(path: CPath | null): Uint8Array<ArrayBuffer> | null {
  return path === null ? null : cpath(path);
}

const decoder = new TextDecoder();

/** The text before the first NUL of `bytes`. */
export function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end === -1 ? bytes : bytes.subarray(0, end));
}
