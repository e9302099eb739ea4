// SPDX-License-Identifier: Apache-2.0

/**
 * Reads a tar from a descriptor, entry by entry: v7, ustar, pax, GNU's and star's extensions are all resolved into one
 * {@linkcode TarEntry}. Nothing a tar says is checked against a file system here; that is unpack.ts.
 *
 * POSIX wants an entry of an unknown type unpacked as a file. Its meaning would be lost without a word, so it is
 * refused instead.
 *
 * @module
 */

import { byteString, textOfBytes } from "../util/byte_string.ts";
import type { FdReader } from "../util/fd_reader.ts";
import { cutShort, invalidArchive, invalidEntry, unsupportedEntry } from "./_archive_error.ts";
import { BLOCK_SIZE, decodeHeader, isZeroBlock, TarEntry, TypeFlag } from "./header.ts";
import { decodePax, PaxRecords } from "./pax.ts";
import { readSparseMap, type SparseMap } from "./sparse.ts";

/**
 * The longest extension that is read, some 15 times what Linux allows in names and attributes: a GNU long name, the pax
 * headers of one entry together, all global pax headers together.
 */
const LONGEST_EXTENSION = 1024 * 1024;

/** What a uid or gid can be: the one above means "leave it" to chown(2), and those above that would lose their upper bits. */
const LARGEST_OWNER = 0xfffffffe;
/** What Linux has numbers for: 12 and 20 bits. Others would lose bits as well, and could come out as 0:0, a whiteout. */
const LARGEST_MAJOR = 0xfff;
const LARGEST_MINOR = 0xfffff;

const HAS_DATA: ReadonlySet<number> = new Set([TypeFlag.FILE, TypeFlag.OLD_FILE, TypeFlag.CONTIGUOUS]);

const KNOWN: ReadonlySet<number> = new Set([
  ...HAS_DATA,
  TypeFlag.LINK,
  TypeFlag.SYMLINK,
  TypeFlag.CHARACTER_DEVICE,
  TypeFlag.BLOCK_DEVICE,
  TypeFlag.DIRECTORY,
  TypeFlag.FIFO,
]);
/** What other types mean, by the letter. */
const NOT_READ: ReadonlyMap<string, string> = new Map([
  ["A", "an ACL as Solaris keeps it"],
  ["E", "extended attributes as Solaris keeps them"],
  ["I", "a file without its content, as star keeps changes"],
  ["M", "the rest of a file that begins in another volume"],
  ["N", "a long name as GNU tar kept it before 1990"],
]);

/** More extension headers than this do not stand before one entry. */
const MOST_EXTENSIONS = 1000;

/** How an archive is read. */
export interface ReadOptions {
  /** Takes an archive that ends behind a whole entry for whole, although the two zero blocks are missing. */
  allowMissingEnd?: boolean | undefined;
}

/** An archive being read. */
export class TarReader {
  readonly #input: FdReader;
  readonly #tick: () => void;
  readonly #entry = new TarEntry();
  #global = new PaxRecords();
  #globalLength = 0;
  /** Bytes of the current entry's data, and of the zeros behind it, that were not read yet. */
  #dataLeft = 0;
  #padding = 0;
  /** Of the current entry, if it is a sparse file. */
  #map: SparseMap | undefined = undefined;
  #started = false;
  readonly #allowMissingEnd: boolean;

  /** @param tick Called between pieces of what is passed over: headers about other entries, data that nobody reads. */
  constructor(input: FdReader, tick: () => void = (): void => {}, options: ReadOptions = {}) {
    this.#input = input;
    this.#tick = tick;
    this.#allowMissingEnd = options.allowMissingEnd ?? false;
  }

  /** Bytes of the archive so far. */
  get position(): number {
    return this.#input.position;
  }

  /**
   * The next entry, always the same object; undefined behind the last one. Data of the entry before that nobody read are
   * passed over.
   *
   * @throws {StorageError} `invalid_archive`: no tar, damaged, or without the two zero blocks that end one;
   * `not_supported`: an entry of a kind that only other systems have, or a sparse file in a format that is not read.
   */
  next(): TarEntry | undefined {
    this.skipData();
    let records = this.#global;
    let longName: string | undefined;
    let longLink: string | undefined;
    let recordsLength = 0;
    for (let extensions = 0;; extensions++) {
      if (extensions > MOST_EXTENSIONS) {
        throw invalidArchive(`more than ${MOST_EXTENSIONS} extended headers stand before one entry`);
      }
      const entry = this.#nextHeader();
      if (entry === undefined) {
        if (records !== this.#global || longName !== undefined || longLink !== undefined) {
          throw cutShort("an entry, behind its extended header");
        }
        return undefined;
      }
      switch (entry.typeFlag) {
        case TypeFlag.PAX:
        case TypeFlag.SOLARIS_PAX:
          if (records === this.#global) records = records.clone();
          decodePax(this.#extension(entry, "pax header", recordsLength), records);
          recordsLength += entry.size;
          continue;
        case TypeFlag.PAX_GLOBAL:
          if (records !== this.#global) throw invalidArchive("a global header stands between an entry and its own");
          records = this.#readGlobal(entry);
          continue;
        case TypeFlag.GNU_VOLUME_LABEL:
          // What stood before it was about the label.
          [records, longName, longLink] = [this.#global, undefined, undefined];
          this.#expectData(entry.size);
          this.skipData();
          continue;
        case TypeFlag.GNU_LONG_NAME:
          longName = untilNul(this.#extension(entry, "long name"));
          continue;
        case TypeFlag.GNU_LONG_LINK:
          longLink = untilNul(this.#extension(entry, "long link name"));
          continue;
      }
      if (longName !== undefined) entry.unsafePath = longName;
      if (longLink !== undefined) entry.unsafeLinkPath = longLink;
      records.applyTo(entry);
      checkNumbers(entry);
      this.#beginData(entry, records);
      return entry;
    }
  }

  /** Whether the entry is a file whose holes the archive leaves out. */
  get isSparse(): boolean {
    return this.#map !== undefined;
  }

  /** Writes the entry's data to the empty file `fd`; holes stay holes. */
  copyData(fd: number, tick: () => void): void {
    if (this.#map === undefined) this.#dataLeft -= this.#input.copyTo(fd, this.#dataLeft, tick);
    else this.#dataLeft = this.#map.copy(this.#input, fd, tick);
    if (this.#dataLeft > 0) throw cutShort(`"${textOfBytes(this.#entry.unsafePath)}"`);
  }

  /**
   * Hands all of the entry's data to `take`, as places in the input's ring; at least one, which may be empty. Not for a
   * sparse file.
   */
  handOver(take: (offset: number, length: number, isLast: boolean) => void): void {
    if (this.#dataLeft === 0) take(0, 0, true);
    this.#input.forEachPiece(this.#dataLeft, (offset, length) => {
      this.#dataLeft -= length;
      take(offset, length, this.#dataLeft === 0);
    });
    if (this.#dataLeft > 0) throw cutShort(`"${textOfBytes(this.#entry.unsafePath)}"`);
  }

  /** Passes over what is left of the entry's data. */
  skipData(): void {
    const left = this.#dataLeft + this.#padding;
    if (left === 0) return;
    if (this.#input.skip(left, this.#tick) < left) throw cutShort(`"${textOfBytes(this.#entry.unsafePath)}"`);
    this.#dataLeft = this.#padding = 0;
  }

  #readGlobal(entry: TarEntry): PaxRecords {
    const global = this.#global.clone();
    decodePax(this.#extension(entry, "global pax header", this.#globalLength), global);
    if (global.sparse !== undefined) throw invalidArchive("a global header says where the holes of files are");
    this.#globalLength += entry.size;
    return this.#global = global;
  }

  #beginData(entry: TarEntry, records: PaxRecords): void {
    const { typeFlag } = entry;
    this.#map = undefined;
    if (typeFlag === TypeFlag.SPARSE || (records.sparse !== undefined && HAS_DATA.has(typeFlag))) {
      this.#map = readSparseMap(this.#input, entry, records.sparse);
      if (this.#map !== undefined) return this.#expectData(this.#map.storedSize);
    }
    if (typeFlag === TypeFlag.GNU_DUMPDIR) {
      entry.typeFlag = TypeFlag.DIRECTORY;
      this.#expectData(entry.size);
      entry.size = 0;
      return;
    }
    if (!KNOWN.has(typeFlag)) throw unknownType(entry);
    if (records.sparse?.isGnu) throw invalidEntry(entry.unsafePath, "it has holes, but is no file");
    // Old tars say a size for directories and hard links, and no data follow.
    if (!HAS_DATA.has(typeFlag)) entry.size = 0;
    // Before ustar a directory was a file whose name ends in a slash.
    if (typeFlag === TypeFlag.OLD_FILE) {
      entry.typeFlag = entry.unsafePath.endsWith("/") ? TypeFlag.DIRECTORY : TypeFlag.FILE;
    } else if (typeFlag === TypeFlag.CONTIGUOUS) entry.typeFlag = TypeFlag.FILE;
    this.#expectData(entry.size);
  }

  #expectData(length: number): void {
    this.#dataLeft = length;
    this.#padding = padding(length);
  }

  #nextHeader(): TarEntry | undefined {
    const input = this.#input;
    if (!input.ensure(BLOCK_SIZE)) {
      if (input.position === 0 && input.start === input.end) throw invalidArchive("it is empty (0 bytes)");
      if (!this.#started) throw invalidArchive("it is no tar: it is shorter than one header");
      if (this.#allowMissingEnd && input.start === input.end) return undefined;
      const excuse = input.start === input.end
        ? ", or say --allow-missing-end if whoever made it left its end out"
        : "";
      throw cutShort("the list of entries: its two closing zero blocks are missing", excuse);
    }
    const { buffer, start } = input;
    if (buffer[start] === 0 && isZeroBlock(buffer, start)) {
      this.#end();
      return undefined;
    }
    const fault = decodeHeader(buffer, start, this.#entry);
    if (fault === "checksum") {
      throw invalidArchive(
        this.#started
          ? `the header at byte ${input.position} is damaged (its checksum is wrong)`
          : "it is no tar archive",
      );
    }
    if (fault === "number") {
      throw invalidArchive(`the header at byte ${input.position} holds a number that is none or too large`);
    }
    input.advance(BLOCK_SIZE);
    this.#started = true;
    return this.#entry;
  }

  #end(): void {
    const input = this.#input;
    input.advance(BLOCK_SIZE);
    if (this.#allowMissingEnd && this.#started && !input.ensure(1)) return;
    if (!input.ensure(BLOCK_SIZE) || !isZeroBlock(input.buffer, input.start)) {
      throw cutShort("its end: only one of the two closing zero blocks is there");
    }
    input.advance(BLOCK_SIZE);
  }

  /** The data of an extension header; `before` bytes of the same kind count to its limit. */
  #extension(entry: TarEntry, what: string, before = 0): Uint8Array<ArrayBuffer> {
    if (before + entry.size > LONGEST_EXTENSION) {
      throw invalidArchive(`a ${what} of ${before + entry.size} bytes is over the limit of ${LONGEST_EXTENSION}`);
    }
    this.#tick();
    const length = entry.size;
    const data = this.#input.take(length);
    if (data === undefined || this.#input.skip(padding(length)) < padding(length)) throw cutShort(`a ${what}`);
    return data;
  }
}

function unknownType({ typeFlag, unsafePath }: TarEntry): Error {
  const letter = String.fromCharCode(typeFlag);
  const meaning = NOT_READ.get(letter);
  if (meaning === undefined) return invalidEntry(unsafePath, `its type is ${JSON.stringify(letter)}, which is none`);
  return unsupportedEntry(
    unsafePath,
    `its type is "${letter}", ${meaning}`,
    "make the archive in the pax format, in one volume",
  );
}

function checkNumbers(entry: TarEntry): void {
  if (entry.uid > LARGEST_OWNER || entry.gid > LARGEST_OWNER) {
    throw invalidArchive(`"${textOfBytes(entry.unsafePath)}" has the owner ${entry.uid}:${entry.gid}, which is none`);
  }
  const { deviceMajor, deviceMinor } = entry;
  if (deviceMajor < 0 || deviceMajor > LARGEST_MAJOR || deviceMinor < 0 || deviceMinor > LARGEST_MINOR) {
    throw invalidArchive(
      `"${textOfBytes(entry.unsafePath)}" is the device ${deviceMajor}:${deviceMinor}, which is none`,
    );
  }
}

/** Zero bytes that fill the last block of `size` bytes of data. */
export function padding(size: number): number {
  return (BLOCK_SIZE - size % BLOCK_SIZE) % BLOCK_SIZE;
}

function untilNul(data: Uint8Array): string {
  const end = data.indexOf(0);
  return byteString(data, 0, end === -1 ? data.length : end);
}
