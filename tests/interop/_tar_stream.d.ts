// SPDX-License-Identifier: Apache-2.0

/** What the tests use of npm:tar-stream, which ships no types. */

export interface Header {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: Date;
  type: string;
  linkname: string | null;
  devmajor: number;
  devminor: number;
  pax: Record<string, string> | null;
}

/** One entry that is read: its bytes have to be taken before the next one comes. */
export interface Entry extends AsyncIterable<Uint8Array> {
  header: Header;
}

export interface Extract extends AsyncIterable<Entry> {
  end(bytes: Uint8Array): void;
}

export interface Pack extends AsyncIterable<Uint8Array> {
  entry(header: Partial<Header>, content?: Uint8Array): void;
  finalize(): void;
}

export function extract(): Extract;
export function pack(): Pack;
