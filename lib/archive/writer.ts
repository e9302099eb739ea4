// SPDX-License-Identifier: Apache-2.0

/**
 * Writes a tar to a descriptor: plain ustar, and a pax header before an entry that needs one. The same entries give the
 * same bytes: no names of users, no times of its own.
 *
 * @module
 */

import type { ByteString } from "../util/byte_string.ts";
import type { FdWriter } from "../util/fd_writer.ts";
import {
  BLOCK_SIZE,
  encodeHeader,
  LARGEST_ID,
  LARGEST_SIZE,
  NAME_LENGTH,
  PREFIX_LENGTH,
  TarEntry,
  TypeFlag,
} from "./header.ts";
import { PaxBuilder } from "./pax.ts";
import { padding } from "./reader.ts";

/** An archive being written. */
export class TarWriter {
  readonly #output: FdWriter;
  readonly #paxEntry = new TarEntry();
  entries = 0;

  constructor(output: FdWriter) {
    this.#output = output;
    this.#paxEntry.typeFlag = TypeFlag.PAX;
  }

  /** Bytes of the archive so far. */
  get position(): number {
    return this.#output.position;
  }

  /**
   * Writes the header of `entry`. `entry.size` bytes of data must follow, then {@linkcode padData}. What cannot be encoded
   * fails before anything is written or counted.
   */
  writeHeader(entry: TarEntry): void {
    const split = splitPath(entry.unsafePath);
    const records = paxOf(entry, split === undefined);
    this.entries++;
    if (records !== "") this.#writePax(records, entry.unsafePath);
    const { name, prefix } = split ?? { name: entry.unsafePath.slice(0, NAME_LENGTH), prefix: "" };
    const at = this.#output.reserve(BLOCK_SIZE);
    encodeHeader(this.#output.bytes, at, entry, name, prefix);
  }

  /** Fills up the last block of `size` bytes of data. */
  padData(size: number): void {
    const count = padding(size);
    if (count > 0) this.#output.putZeros(count);
  }

  /** Two zero blocks, and everything out. */
  end(): void {
    this.#output.putZeros(2 * BLOCK_SIZE);
    this.#output.flush();
  }

  #writePax(records: ByteString, path: ByteString): void {
    this.#paxEntry.size = records.length;
    const name = `PaxHeaders.0/${path.slice(path.lastIndexOf("/", path.length - 2) + 1)}`.slice(0, NAME_LENGTH);
    const at = this.#output.reserve(BLOCK_SIZE);
    encodeHeader(this.#output.bytes, at, this.#paxEntry, name, "");
    this.#output.putString(records);
    this.padData(records.length);
  }
}

/** The two parts of `path` that ustar joins by a slash; undefined if it does not fit them. */
function splitPath(path: ByteString): { name: ByteString; prefix: ByteString } | undefined {
  if (path.length <= NAME_LENGTH) return { name: path, prefix: "" };
  if (path.length > PREFIX_LENGTH + 1 + NAME_LENGTH) return undefined;
  // The slash at the end of a directory's name divides nothing.
  const slash = path.lastIndexOf("/", Math.min(PREFIX_LENGTH, path.length - 2));
  if (slash <= 0 || path.length - slash - 1 > NAME_LENGTH) return undefined;
  return { name: path.slice(slash + 1), prefix: path.slice(0, slash) };
}

/** What the header cannot say, as pax records; "" for most entries. */
function paxOf(entry: TarEntry, pathNeedsRecord: boolean): ByteString {
  const pax = new PaxBuilder();
  if (pathNeedsRecord) pax.add("path", entry.unsafePath);
  if (entry.unsafeLinkPath.length > NAME_LENGTH) pax.add("linkpath", entry.unsafeLinkPath);
  if (entry.size > LARGEST_SIZE) pax.add("size", String(entry.size));
  if (entry.uid > LARGEST_ID) pax.add("uid", String(entry.uid));
  if (entry.gid > LARGEST_ID) pax.add("gid", String(entry.gid));
  const isPlainTime = entry.mtimeNanoseconds === 0 && entry.mtimeSeconds >= 0 && entry.mtimeSeconds <= LARGEST_SIZE;
  if (!isPlainTime) pax.addTime("mtime", entry.mtimeSeconds, entry.mtimeNanoseconds);
  for (const [name, value] of entry.xattrs ?? []) pax.addXattr(name, value, entry.unsafePath);
  return pax.records;
}
