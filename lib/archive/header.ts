// SPDX-License-Identifier: Apache-2.0

/**
 * One 512-byte tar header: v7, ustar (POSIX.1-1988), the GNU form and star's, as tar(5) and star(5) lay them out.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import { type ByteString, putBytes } from "../util/byte_string.ts";

/** A tar consists of blocks of this many bytes. */
export const BLOCK_SIZE = 512;

/** Type flags, as bytes. */
export const TypeFlag = {
  FILE: 0x30, // '0'
  OLD_FILE: 0,
  LINK: 0x31, // '1'
  SYMLINK: 0x32, // '2'
  CHARACTER_DEVICE: 0x33, // '3'
  BLOCK_DEVICE: 0x34, // '4'
  DIRECTORY: 0x35, // '5'
  FIFO: 0x36, // '6'
  CONTIGUOUS: 0x37, // '7', a file to everybody
  PAX: 0x78, // 'x'
  PAX_GLOBAL: 0x67, // 'g'
  SOLARIS_PAX: 0x58, // 'X', a pax header from before POSIX.1-2001
  GNU_LONG_NAME: 0x4c, // 'L'
  GNU_LONG_LINK: 0x4b, // 'K'
  SPARSE: 0x53, // 'S', of GNU and of star
  GNU_DUMPDIR: 0x44, // 'D', a directory with a list of its names as data
  GNU_VOLUME_LABEL: 0x56, // 'V', no file at all
} as const;

/** `[offset, length]` of the fields. */
const NAME = [0, 100] as const;
const MODE = [100, 8] as const;
const UID = [108, 8] as const;
const GID = [116, 8] as const;
const SIZE = [124, 12] as const;
const MTIME = [136, 12] as const;
const CHECKSUM = [148, 8] as const;
const TYPE_FLAG = 156;
const LINK_NAME = [157, 100] as const;
const MAGIC = 257;
const DEV_MAJOR = [329, 8] as const;
const DEV_MINOR = [337, 8] as const;
const PREFIX = [345, 155] as const;
/** star keeps times behind a shorter prefix, and says so at the end of the block. */
const STAR_PREFIX = [345, 131] as const;
const STAR_MAGIC = [508, 4] as const;

type Field = readonly [offset: number, length: number];

/** The longest name, the longest prefix, and the largest number that fit their fields. */
export const NAME_LENGTH = NAME[1];
export const PREFIX_LENGTH = PREFIX[1];
export const LARGEST_ID = 0o7777777;
export const LARGEST_SIZE = 0o77777777777;

/**
 * An entry of an archive as it is read and written. Reader and writer keep one each and fill it again for every entry:
 * who wants to keep something copies it.
 */
export class TarEntry {
  typeFlag: number = TypeFlag.FILE;
  /** As the archive spells it; not checked in any way. */
  unsafePath: ByteString = "";
  /** Target of a symbolic link, or path of the file that a hard link joins. */
  unsafeLinkPath: ByteString = "";
  /** Permission bits with setuid, setgid and sticky; no type bits. */
  mode = 0;
  uid = 0;
  gid = 0;
  /** Bytes of the file. (The archive may store fewer, where the file is sparse: the reader knows.) */
  size = 0;
  mtimeSeconds = 0;
  /** 0 to 999,999,999. */
  mtimeNanoseconds = 0;
  deviceMajor = 0;
  deviceMinor = 0;
  /** Extended attributes by name; undefined where there are none, the usual case. */
  xattrs: Map<ByteString, Uint8Array<ArrayBuffer>> | undefined = undefined;
  /** Records about attributes that say something this host cannot tell the meaning of; undefined where there are none. */
  unreadXattrs: readonly string[] | undefined = undefined;
}

/** Why a block is no header. */
export type HeaderFault = "checksum" | "number";

function stringField(block: Buffer, at: number, [offset, length]: Field): ByteString {
  const start = at + offset;
  let end = start;
  while (end < start + length && block[end] !== 0) end++;
  return end === start ? "" : block.toString("latin1", start, end);
}

/** A number in octal digits, or in GNU's base 256 (first bit set, two's complement). NaN if it is neither. */
export function numberField(block: Buffer, at: number, [offset, length]: Field): number {
  let i = at + offset;
  const end = i + length;
  const first = block[i]!;
  if (first & 0x80) {
    let value = first & 0x40 ? (first & 0x7f) - 0x80 : first & 0x7f;
    for (i++; i < end; i++) value = value * 256 + block[i]!;
    return Number.isSafeInteger(value) ? value : NaN;
  }
  while (i < end && (block[i] === 0x20 || block[i] === 0)) i++;
  let value = 0;
  for (; i < end; i++) {
    const digit = block[i]! - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  for (; i < end; i++) if (block[i] !== 0x20 && block[i] !== 0) return NaN;
  return value;
}

/** The buffer that was summed last, as words. Loops sum blocks of the same one. */
let words: Int32Array = new Int32Array(0);
const EVEN_BYTES = 0x00ff00ff;

/**
 * The sum of all bytes, those of the checksum field taken as spaces. Two bytes of a word are added at once, in halves that
 * cannot overflow into each other: 128 times 255 is less than 2^16.
 */
function checksum(block: Uint8Array, at: number): number {
  const offset = block.byteOffset + at;
  if (offset % 4 !== 0) return checksumByBytes(block, at);
  if (words.buffer !== block.buffer) words = new Int32Array(block.buffer, 0, block.buffer.byteLength >> 2);
  let even = 0;
  let odd = 0;
  const first = offset >> 2;
  for (let i = first; i < first + BLOCK_SIZE / 4; i++) {
    const word = words[i]!;
    even += word & EVEN_BYTES;
    odd += (word >>> 8) & EVEN_BYTES;
  }
  let sum = (even & 0xffff) + (even >>> 16) + (odd & 0xffff) + (odd >>> 16) + CHECKSUM[1] * 0x20;
  for (let i = at + CHECKSUM[0]; i < at + CHECKSUM[0] + CHECKSUM[1]; i++) sum -= block[i]!;
  return sum;
}

function checksumByBytes(block: Uint8Array, at: number): number {
  const field = at + CHECKSUM[0];
  let sum = CHECKSUM[1] * 0x20;
  for (let i = at; i < field; i++) sum += block[i]!;
  for (let i = field + CHECKSUM[1]; i < at + BLOCK_SIZE; i++) sum += block[i]!;
  return sum;
}

/** Some historic tars added the bytes as signed ones. */
function signedChecksum(block: Uint8Array, at: number): number {
  let sum = checksum(block, at);
  for (let i = at; i < at + BLOCK_SIZE; i++) {
    const isChecksum = i >= at + CHECKSUM[0] && i < at + CHECKSUM[0] + 8;
    if (!isChecksum && block[i]! > 127) sum -= 256;
  }
  return sum;
}

/** Whether the block at `at` is all zeros, which ends an archive. */
export function isZeroBlock(block: Uint8Array, at: number): boolean {
  for (let i = at; i < at + BLOCK_SIZE; i++) if (block[i] !== 0) return false;
  return true;
}

/** Whose header it is: the magic decides what the bytes behind the link's name mean. */
export function headerKind(block: Buffer, at: number): "v7" | "posix" | "gnu" | "star" {
  if (block[at + MAGIC] !== 0x75 || block[at + MAGIC + 1] !== 0x73 || block[at + MAGIC + 4] !== 0x72) return "v7";
  // "ustar\0" is POSIX, "ustar " is GNU.
  if (block[at + MAGIC + 5] !== 0) return "gnu";
  return block[at + STAR_MAGIC[0]] === 0x74 && stringField(block, at, STAR_MAGIC) === "tar" ? "star" : "posix";
}

/** Fills `entry` from the header at `at` of `block`; a fault if it is none. */
export function decodeHeader(block: Buffer, at: number, entry: TarEntry): HeaderFault | undefined {
  const recorded = numberField(block, at, CHECKSUM);
  if (recorded !== checksum(block, at) && recorded !== signedChecksum(block, at)) return "checksum";
  entry.typeFlag = block[at + TYPE_FLAG]!;
  const mode = numberField(block, at, MODE);
  entry.mode = mode & 0o7777;
  entry.uid = numberField(block, at, UID);
  entry.gid = numberField(block, at, GID);
  entry.size = numberField(block, at, SIZE);
  entry.mtimeSeconds = numberField(block, at, MTIME);
  entry.mtimeNanoseconds = 0;
  entry.unsafePath = stringField(block, at, NAME);
  entry.unsafeLinkPath = stringField(block, at, LINK_NAME);
  entry.xattrs = undefined;
  entry.unreadXattrs = undefined;
  if (block[at + PREFIX[0]] !== 0) {
    const kind = headerKind(block, at);
    // GNU uses the prefix's bytes for other things.
    if (kind === "posix" || kind === "star") {
      const prefix = stringField(block, at, kind === "star" ? STAR_PREFIX : PREFIX);
      entry.unsafePath = `${prefix}/${entry.unsafePath}`;
    }
  }
  const isDevice = entry.typeFlag === TypeFlag.CHARACTER_DEVICE || entry.typeFlag === TypeFlag.BLOCK_DEVICE;
  entry.deviceMajor = isDevice ? numberField(block, at, DEV_MAJOR) : 0;
  entry.deviceMinor = isDevice ? numberField(block, at, DEV_MINOR) : 0;
  const { uid, gid, size } = entry;
  const sum = mode + uid + gid + size + entry.mtimeSeconds + entry.deviceMajor + entry.deviceMinor;
  return Number.isNaN(sum) || mode < 0 || uid < 0 || gid < 0 || size < 0 ? "number" : undefined;
}

function putOctal(block: Uint8Array, at: number, [offset, length]: Field, value: number): void {
  const first = at + offset;
  let i = first + length - 1;
  block[i--] = 0;
  let rest = value;
  // Sizes past 2^31 have to be divided; everything else is shifted, which is several times as fast.
  for (; rest > 0x7fffffff; i--, rest = Math.floor(rest / 8)) block[i] = 0x30 + rest % 8;
  for (; i >= first; i--, rest >>>= 3) block[i] = 0x30 + (rest & 7);
}

/**
 * Writes the ustar header of `entry` at `at` of `block`. `name` and `prefix` fit their fields; numbers that do not fit
 * theirs are written as 0, since the writer has put them into a pax header before.
 */
export function encodeHeader(
  block: Uint8Array,
  at: number,
  entry: TarEntry,
  name: ByteString,
  prefix: ByteString,
): void {
  block.fill(0, at, at + BLOCK_SIZE);
  putBytes(name, block, at + NAME[0]);
  putOctal(block, at, MODE, entry.mode);
  putOctal(block, at, UID, entry.uid <= LARGEST_ID ? entry.uid : 0);
  putOctal(block, at, GID, entry.gid <= LARGEST_ID ? entry.gid : 0);
  putOctal(block, at, SIZE, entry.size <= LARGEST_SIZE ? entry.size : 0);
  const isPlainTime = entry.mtimeSeconds >= 0 && entry.mtimeSeconds <= LARGEST_SIZE;
  putOctal(block, at, MTIME, isPlainTime ? entry.mtimeSeconds : 0);
  block[at + TYPE_FLAG] = entry.typeFlag;
  putBytes(entry.unsafeLinkPath.slice(0, LINK_NAME[1]), block, at + LINK_NAME[0]);
  putBytes("ustar\x0000", block, at + MAGIC);
  putOctal(block, at, DEV_MAJOR, entry.deviceMajor);
  putOctal(block, at, DEV_MINOR, entry.deviceMinor);
  putBytes(prefix, block, at + PREFIX[0]);
  // Six digits, NUL, space: the one field that is not written like the others.
  putOctal(block, at, [CHECKSUM[0], 7], checksum(block, at));
  block[at + CHECKSUM[0] + 7] = 0x20;
}
