// SPDX-License-Identifier: Apache-2.0

/**
 * Sparse files: where in the file the bytes belong that the archive stores. Five ways to say so are read: GNU tar's old
 * header ('S') with its continuation blocks, star's header of the same letter, and GNU's pax formats 0.0, 0.1 and 1.0.
 *
 * A map is refused unless its segments are in order, do not overlap, lie within the file and have together exactly as
 * many bytes as the archive stores. Segments lie behind each other without gaps, as bsdtar and Python have it too; GNU
 * tar would begin each with a block, which is the same for all that it writes.
 *
 * @module
 */

import { failure, isErrno } from "../../ffi/errno.ts";
import { ftruncate, tryLseek } from "../../ffi/file.ts";
import { StorageError } from "../errors.ts";
import { type ByteString, textOfBytes } from "../util/byte_string.ts";
import type { FdReader } from "../util/fd_reader.ts";
import { cutShort, invalidEntry, unsupportedEntry } from "./_archive_error.ts";
import type { SparseRecords } from "./_pax_sparse.ts";
import { BLOCK_SIZE, headerKind, numberField, type TarEntry, TypeFlag } from "./header.ts";

/** The longest map that is read: 16 MB of memory. Those of formats 0.0 and 0.1 are as short as their pax header. */
const MOST_SEGMENTS = 1_000_000;

/** Where the stored bytes of a file belong. */
export class SparseMap {
  /** Bytes that the archive stores. */
  storedSize = 0;
  /** Offset and length of each segment, in turn; none is empty. */
  readonly #segments: number[] = [];
  #count = 0;
  #end = 0;

  constructor(readonly path: ByteString, readonly realSize: number) {}

  /** Adds the segment behind the last one. */
  add(offset: number, length: number): void {
    if (++this.#count > MOST_SEGMENTS) throw tooManySegments(this.path);
    if (!(offset >= this.#end && length >= 0 && offset + length <= this.realSize)) {
      throw invalidEntry(
        this.path,
        `segment ${this.#count} of its map, ${length} bytes at ${offset}, overlaps the one before or is not within the file's ${this.realSize} bytes`,
      );
    }
    this.#end = offset + length;
    if (length === 0) return;
    this.#segments.push(offset, length);
    this.storedSize += length;
  }

  /** Fills the empty file `fd`, which keeps its holes. What stays of the data is the result: 0 but for a cut archive. */
  copy(input: FdReader, fd: number, tick: () => void): number {
    this.#setLength(fd);
    let left = this.storedSize;
    for (let i = 0; i < this.#segments.length; i += 2) {
      tick();
      const [offset, length] = [this.#segments[i]!, this.#segments[i + 1]!];
      const position = tryLseek(fd, offset, 0);
      if (position < 0) throw failure(-position, "lseek", fd, offset, 0);
      const copied = input.copyTo(fd, length, tick);
      left -= copied;
      if (copied < length) break;
    }
    return left;
  }

  #setLength(fd: number): void {
    try {
      ftruncate(fd, this.realSize);
    } catch (error) {
      if (!isErrno(error, "EFBIG", "EINVAL")) throw error;
      throw new StorageError(
        "invalid_archive",
        `Cannot unpack "${textOfBytes(this.path)}": no file here can have ${this.realSize} bytes`,
        { cause: error },
      );
    }
  }
}

/**
 * The map of the entry whose header was just taken from `input`; undefined if the file is not sparse. What comes next
 * in `input` are then the stored data. Name and size in `entry` become the file's own.
 *
 * @throws {StorageError} `invalid_archive`: a map that contradicts itself or the header, or has more than a million
 * segments; `not_supported`: a format that is not read.
 */
export function readSparseMap(
  input: FdReader,
  entry: TarEntry,
  records: SparseRecords | undefined,
): SparseMap | undefined {
  if (entry.typeFlag === TypeFlag.SPARSE) {
    if (records?.isGnu) throw invalidEntry(entry.unsafePath, "two maps say where its holes are");
    return headerMap(input, entry, records?.realSize);
  }
  if (records === undefined) return undefined;
  if (records.isGnu) return paxMap(input, entry, records);
  if (records.isSolaris || records.realSize !== entry.size) {
    throw unsupported(
      entry.unsafePath,
      records.isSolaris ? "Solaris (SUN.holesdata)" : "SCHILY.realsize without a map",
    );
  }
  return undefined;
}

function tooManySegments(path: ByteString): StorageError {
  return invalidEntry(path, `its map has more than ${MOST_SEGMENTS} segments, which is the limit`);
}

function unsupported(path: ByteString, format: string): StorageError {
  return unsupportedEntry(
    path,
    `it is a sparse file in a format that is not read: ${format}`,
    "make the archive without sparse files, or by GNU tar",
  );
}

/** Takes `map` for that of `entry`, for which `stored` bytes are left. */
function accept(map: SparseMap, entry: TarEntry, stored: number): SparseMap {
  if (map.storedSize !== stored) {
    throw invalidEntry(
      map.path,
      `its map is about ${map.storedSize} bytes, but the archive stores ${stored}`,
    );
  }
  entry.unsafePath = map.path;
  entry.size = map.realSize;
  entry.typeFlag = TypeFlag.FILE;
  return map;
}

function paxMap(input: FdReader, entry: TarEntry, records: SparseRecords): SparseMap {
  const path = records.name ?? entry.unsafePath;
  const { major, minor, realSize, numbers, count } = records;
  if (realSize === undefined) throw invalidEntry(path, "it is a sparse file, but its size is missing");
  const map = new SparseMap(path, realSize);
  if (major === 1 && minor === 0) return accept(map, entry, entry.size - readMapInData(input, entry.size, map));
  if (major !== 0 || minor > 1) throw unsupported(path, `GNU ${major}.${minor}`);
  if (numbers.length % 2 !== 0 || (count !== undefined && count !== numbers.length / 2)) {
    throw invalidEntry(
      path,
      `its map has ${numbers.length / 2} segments, and should have ${count ?? "a whole number"}`,
    );
  }
  for (let i = 0; i < numbers.length; i += 2) map.add(numbers[i]!, numbers[i + 1]!);
  return accept(map, entry, entry.size);
}

/** Longer than any number that counts. */
const MOST_DIGITS = 20;

/** Format 1.0: lines of decimal numbers before the data, filled up to whole blocks. Returns how many bytes they take. */
function readMapInData(input: FdReader, stored: number, map: SparseMap): number {
  let taken = 0;
  let inBlock = 0;
  const number = (): number => {
    let value = 0;
    for (let digits = 0;; digits++) {
      if (inBlock === 0) {
        if (taken + BLOCK_SIZE > stored) throw invalidEntry(map.path, "its map does not end within its data");
        if (!input.ensure(BLOCK_SIZE)) throw cutShort(`the map of "${textOfBytes(map.path)}"`);
        taken += BLOCK_SIZE;
        inBlock = BLOCK_SIZE;
      }
      const byte = input.buffer[input.start]!;
      input.advance(1);
      inBlock--;
      if (byte === 0x0a && digits > 0) return value;
      if (byte < 0x30 || byte > 0x39 || digits === MOST_DIGITS) {
        throw invalidEntry(map.path, "its map holds something else than numbers");
      }
      value = value * 10 + byte - 0x30;
    }
  };
  const count = number();
  if (count > MOST_SEGMENTS) throw tooManySegments(map.path);
  for (let i = 0; i < count; i++) map.add(number(), number());
  input.advance(inBlock);
  return taken;
}

/** Offset, then length, 12 bytes each. */
const SLOT_SIZE = 24;
const SLOTS_IN_HEADER = 4;
const SLOTS_IN_CONTINUATION = 21;
/** Where a continuation says that another one follows. */
const MORE_IN_CONTINUATION = 504;

/** Where a header of type 'S' has its slots, the byte that says that a continuation follows, and the file's size. */
const LAYOUTS = {
  gnu: { slots: 386, more: 482, realSize: 483 },
  star: { slots: 356, more: 355, realSize: 452 },
} as const;
const PREFIX = 345;

/** The map of a header of type 'S'. star counts the continuations to the stored bytes, GNU tar does not. */
function headerMap(input: FdReader, entry: TarEntry, recordedSize: number | undefined): SparseMap {
  const path = entry.unsafePath;
  const { buffer } = input;
  const header = input.start - BLOCK_SIZE;
  const kind = headerKind(buffer, header);
  if (kind !== "gnu" && kind !== "star") {
    throw unsupported(path, "a header of type \"S\" that is neither GNU's nor star's");
  }
  const layout = LAYOUTS[kind];
  // A long name in star's header lies where the size would be, and then the first continuation has the first slot.
  const isInHeader = kind === "gnu" || (buffer[header + PREFIX] === 0 && buffer[header + layout.slots + 10] !== 0);
  const realSize = recordedSize ??
    (kind === "star" && buffer[header + PREFIX] !== 0 ? NaN : numberField(buffer, header, [layout.realSize, 12]));
  if (!(realSize >= 0)) throw invalidEntry(path, "it is a sparse file, but its size is missing");
  const map = new SparseMap(path, realSize);
  let isOpen = !isInHeader || addSlots(buffer, header + layout.slots, SLOTS_IN_HEADER, map);
  let hasMore = !isInHeader || buffer[header + layout.more] !== 0;
  let continuations = 0;
  while (hasMore) {
    if (!isOpen) throw invalidEntry(path, "its map goes on behind its end");
    if (!input.ensure(BLOCK_SIZE)) throw cutShort(`the map of "${textOfBytes(path)}"`);
    isOpen = addSlots(buffer, input.start, SLOTS_IN_CONTINUATION, map);
    hasMore = buffer[input.start + MORE_IN_CONTINUATION] !== 0;
    input.advance(BLOCK_SIZE);
    continuations++;
  }
  return accept(map, entry, kind === "star" ? entry.size - continuations * BLOCK_SIZE : entry.size);
}

/** Adds the segments of `count` slots; whether all of them were in use. */
function addSlots(block: FdReader["buffer"], at: number, count: number, map: SparseMap): boolean {
  for (let slot = at; slot < at + count * SLOT_SIZE; slot += SLOT_SIZE) {
    if (block[slot + 12] === 0) return false;
    map.add(numberField(block, slot, [0, 12]), numberField(block, slot, [12, 12]));
  }
  return true;
}
