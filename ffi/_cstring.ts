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

/**
 * The C string of `text`.
 *
 * @throws {TypeError} `text` holds a NUL: C would silently cut it there, and act on another file.
 */
export function cstring(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) throw new TypeError(`Cannot pass ${JSON.stringify(text)} to the C library: it contains NUL`);
  const bytes = new Uint8Array(text.length * 3 + 1);
  encoder.encodeInto(text, bytes);
  return bytes;
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

/** `path` as a buffer argument. */
export function cpath(path: CPath): Uint8Array<ArrayBuffer> {
  return typeof path === "string" ? cstring(path) : path as Uint8Array<ArrayBuffer>;
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
