// SPDX-License-Identifier: Apache-2.0

/**
 * Reads a tar from a descriptor, entry by entry: ustar, pax and GNU extensions are all resolved into one
 * {@linkcode TarEntry}. Nothing a tar says is checked against a file system here; that is unpack.ts.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { byteString, textOfBytes } from "../util/byte_string.ts";
import type { FdReader } from "../util/fd_reader.ts";
import { BLOCK_SIZE, decodeHeader, isZeroBlock, TarEntry, TypeFlag } from "./header.ts";
import { decodePax, PaxRecords } from "./pax.ts";

/** The longest pax header or GNU long name that is read: some 15 times what Linux allows in names and attributes. */
const LONGEST_EXTENSION = 1024 * 1024;

/** What a uid or gid can be: the one above means "leave it" to chown(2), and those above that would lose their upper bits. */
const LARGEST_OWNER = 0xfffffffe;
/** What Linux has numbers for: 12 and 20 bits. Others would lose bits as well, and could come out as 0:0, a whiteout. */
const LARGEST_MAJOR = 0xfff;
const LARGEST_MINOR = 0xfffff;

const HAS_DATA: ReadonlySet<number> = new Set([TypeFlag.FILE, TypeFlag.OLD_FILE, TypeFlag.CONTIGUOUS]);

function invalid(message: string): StorageError {
  return new StorageError("invalid_archive", `Cannot read the archive: ${message}`);
}

function cutShort(what: string): StorageError {
  return new StorageError("invalid_archive", `Cannot read the archive: it ends in the middle of ${what}`, {
    hint: "the archive was cut short; fetch or make it again",
  });
}

/** An archive being read. */
export class TarReader {
  readonly #input: FdReader;
  readonly #tick: () => void;
  readonly #entry = new TarEntry();
  #global = new PaxRecords();
  /** Bytes of the current entry's data, and of the zeros behind it, that were not read yet. */
  #dataLeft = 0;
  #padding = 0;
  #started = false;

  /** @param tick Called between pieces of what is passed over: headers about other entries, data that nobody reads. */
  constructor(input: FdReader, tick: () => void = (): void => {}) {
    this.#input = input;
    this.#tick = tick;
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
   * `not_supported`: a sparse file.
   */
  next(): TarEntry | undefined {
    this.skipData();
    let records = this.#global;
    let longName: string | undefined;
    let longLink: string | undefined;
    for (;;) {
      const entry = this.#nextHeader();
      if (entry === undefined) {
        if (records !== this.#global || longName !== undefined || longLink !== undefined) {
          throw cutShort("an entry, behind its extended header");
        }
        return undefined;
      }
      switch (entry.typeFlag) {
        case TypeFlag.PAX:
          records = this.#global.clone();
          decodePax(this.#extension(entry, "pax header"), records);
          continue;
        case TypeFlag.PAX_GLOBAL:
          this.#global = this.#global.clone();
          decodePax(this.#extension(entry, "pax header"), this.#global);
          records = this.#global;
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
      this.#beginData(entry, records.isSparse);
      return entry;
    }
  }

  /** Writes the rest of the entry's data to `fd`. */
  copyData(fd: number, tick: () => void): void {
    const copied = this.#input.copyTo(fd, this.#dataLeft, tick);
    this.#dataLeft -= copied;
    if (this.#dataLeft > 0) throw cutShort(`"${textOfBytes(this.#entry.unsafePath)}"`);
  }

  /** Passes over what is left of the entry's data. */
  skipData(): void {
    const left = this.#dataLeft + this.#padding;
    if (left === 0) return;
    if (this.#input.skip(left, this.#tick) < left) throw cutShort(`"${textOfBytes(this.#entry.unsafePath)}"`);
    this.#dataLeft = this.#padding = 0;
  }

  #beginData(entry: TarEntry, isSparse: boolean): void {
    if (isSparse || entry.typeFlag === TypeFlag.GNU_SPARSE) {
      throw new StorageError(
        "not_supported",
        `Cannot read "${textOfBytes(entry.unsafePath)}": it is a GNU sparse file`,
        {
          hint: "make the archive without --sparse",
        },
      );
    }
    // Old tars say a size for directories and hard links, and no data follow.
    if (!HAS_DATA.has(entry.typeFlag)) entry.size = 0;
    // Before ustar a directory was a file whose name ends in a slash.
    if (entry.typeFlag === TypeFlag.OLD_FILE) {
      entry.typeFlag = entry.unsafePath.endsWith("/") ? TypeFlag.DIRECTORY : TypeFlag.FILE;
    } else if (entry.typeFlag === TypeFlag.CONTIGUOUS) entry.typeFlag = TypeFlag.FILE;
    this.#dataLeft = entry.size;
    this.#padding = padding(entry.size);
  }

  #nextHeader(): TarEntry | undefined {
    const input = this.#input;
    if (!input.ensure(BLOCK_SIZE)) {
      if (input.position === 0 && input.start === input.end) throw invalid("it is empty (0 bytes)");
      if (!this.#started) throw invalid("it is no tar: it is shorter than one header");
      throw cutShort("the list of entries: its two closing zero blocks are missing");
    }
    const { buffer, start } = input;
    if (buffer[start] === 0 && isZeroBlock(buffer, start)) {
      this.#end();
      return undefined;
    }
    const fault = decodeHeader(buffer, start, this.#entry);
    if (fault === "checksum") {
      throw invalid(
        this.#started
          ? `the header at byte ${input.position} is damaged (its checksum is wrong)`
          : "it is no tar archive",
      );
    }
    if (fault === "number") {
      throw invalid(`the header at byte ${input.position} holds a number that is none or too large`);
    }
    input.advance(BLOCK_SIZE);
    this.#started = true;
    return this.#entry;
  }

  #end(): void {
    const input = this.#input;
    input.advance(BLOCK_SIZE);
    if (!input.ensure(BLOCK_SIZE) || !isZeroBlock(input.buffer, input.start)) {
      throw cutShort("its end: only one of the two closing zero blocks is there");
    }
    input.advance(BLOCK_SIZE);
  }

  #extension(entry: TarEntry, what: string): Uint8Array<ArrayBuffer> {
    if (entry.size > LONGEST_EXTENSION) {
      throw invalid(`a ${what} of ${entry.size} bytes is over the limit of ${LONGEST_EXTENSION}`);
    }
    this.#tick();
    const length = entry.size;
    const data = this.#input.take(length);
    if (data === undefined || this.#input.skip(padding(length)) < padding(length)) throw cutShort(`a ${what}`);
    return data;
  }
}

function checkNumbers(entry: TarEntry): void {
  if (entry.uid > LARGEST_OWNER || entry.gid > LARGEST_OWNER) {
    throw invalid(`"${textOfBytes(entry.unsafePath)}" has the owner ${entry.uid}:${entry.gid}, which is none`);
  }
  const { deviceMajor, deviceMinor } = entry;
  if (deviceMajor < 0 || deviceMajor > LARGEST_MAJOR || deviceMinor < 0 || deviceMinor > LARGEST_MINOR) {
    throw invalid(`"${textOfBytes(entry.unsafePath)}" is the device ${deviceMajor}:${deviceMinor}, which is none`);
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
