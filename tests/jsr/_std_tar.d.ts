// SPDX-License-Identifier: Apache-2.0

/** What is used here of `@std/tar`, which cannot be checked where JSR cannot be reached. */

/** A file or directory that goes into an archive. */
export type TarStreamInput =
  | { type: "file"; path: string; size: number; readable: ReadableStream<Uint8Array>; options?: { mode?: number } }
  | { type: "directory"; path: string; options?: { mode?: number } };

/** An entry that was read. The body of a file has to be read or cancelled before the next one comes. */
export interface TarStreamEntry {
  path: string;
  header: { typeflag: string; mode: number; size: number; linkname: string };
  readable?: ReadableStream<Uint8Array>;
}

/** Makes an archive of entries. */
export class TarStream implements ReadableWritablePair<Uint8Array<ArrayBuffer>, TarStreamInput> {
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly writable: WritableStream<TarStreamInput>;
}

/** Reads an archive. */
export class UntarStream implements ReadableWritablePair<TarStreamEntry, Uint8Array<ArrayBuffer>> {
  readonly readable: ReadableStream<TarStreamEntry>;
  readonly writable: WritableStream<Uint8Array<ArrayBuffer>>;
}
