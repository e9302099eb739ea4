// SPDX-License-Identifier: Apache-2.0

/**
 * The reader on bytes: every entry of an archive, as a test compares it.
 *
 * @module
 */

import { AT_FDCWD, Fd, O_RDONLY, openat } from "../../ffi/file.ts";
import { type ReadOptions, TarReader } from "../../lib/archive/reader.ts";
import { FdReader } from "../../lib/util/fd_reader.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

/** What of an entry is compared. */
export interface Seen {
  type: string;
  path: string;
  link: string;
  size: number;
  uid: number;
  gid: number;
  time: string;
  xattrs: Record<string, string>;
  mode: number;
  unread: string;
}

/** A character for each byte. */
export function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** Every entry of `bytes`. */
export function readArchive(bytes: Uint8Array, options: ReadOptions = {}): Seen[] {
  using directory = TempDir.makeSync();
  Deno.writeFileSync(directory.join("a.tar"), bytes);
  using file = new Fd(openat(AT_FDCWD, directory.join("a.tar"), O_RDONLY));
  const reader = new TarReader(new FdReader(file.fd), undefined, options);
  const seen: Seen[] = [];
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    seen.push({
      type: String.fromCharCode(entry.typeFlag),
      path: entry.unsafePath,
      link: entry.unsafeLinkPath,
      size: entry.size,
      uid: entry.uid,
      gid: entry.gid,
      time: `${entry.mtimeSeconds} ${entry.mtimeNanoseconds}`,
      mode: entry.mode,
      unread: (entry.unreadXattrs ?? []).join(),
      xattrs: Object.fromEntries([...entry.xattrs ?? []].map(([name, value]) => [name, text(value)])),
    });
  }
  return seen;
}
