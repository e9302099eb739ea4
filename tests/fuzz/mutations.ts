// SPDX-License-Identifier: Apache-2.0

/**
 * Damage to an archive: to its bytes, to the fields of its headers (with the checksum made right again, so that the
 * damage gets past it), and to the order of its entries.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { base256 } from "../archive/_tar_of.ts";
import type { Random } from "./random.ts";

const BLOCK = 512;
const NAME = [0, 100] as const;
const LINK_NAME = [157, 100] as const;
const PREFIX = [345, 155] as const;
const NUMBERS = [[100, 8], [108, 8], [116, 8], [124, 12], [136, 12], [329, 8], [337, 8]] as const;
const TYPE_FLAG = 156;
const CHECKSUM = 148;
const TYPE_FLAGS = "01234567xgLKSVNDZA\0 ";
const TEXTS = [
  ...[
    "..",
    "../x",
    "a/../../x",
    "/",
    "/etc/x",
    ".",
    "./",
    "",
    "\0",
    "a\0b",
    "\xff",
    ".wh.",
    ".wh..",
    ".wh...",
    ".wh..wh..opq",
  ],
  ...["etc", "etc/", "usr", "etc/file", "../outside/secret", "../outside", "n".repeat(100), "d/".repeat(50)],
];
const NUMBER_TEXTS = ["0", "7777777", "77777777777", "-1", "abc", "", " ", "8", "0000644\0", "1 2"];

/** A header with the data behind it, as far as the header's size is believed. */
type Piece = Buffer;

/** Cuts an archive into entries. Where it cannot be followed, the rest is one piece. */
function piecesOf(archive: Buffer): Piece[] {
  const pieces: Piece[] = [];
  for (let at = 0; at < archive.length;) {
    const size = parseInt(archive.toString("latin1", at + 124, at + 135), 8) || 0;
    const end = Math.min(archive.length, at + BLOCK + Math.ceil(size / BLOCK) * BLOCK);
    pieces.push(archive.subarray(at, end));
    at = end;
  }
  return pieces;
}

function repairChecksum(header: Buffer): void {
  header.fill(0x20, CHECKSUM, CHECKSUM + 8);
  const sum = header.subarray(0, BLOCK).reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, CHECKSUM, "latin1");
}

function putField(header: Buffer, [offset, length]: readonly [number, number], text: string): void {
  header.fill(0, offset, offset + length);
  header.write(text.slice(0, length), offset, "latin1");
}

function damageField(random: Random, header: Buffer): void {
  switch (random.below(6)) {
    case 0:
      return putField(header, NAME, random.pick(TEXTS));
    case 1:
      return putField(header, LINK_NAME, random.pick(TEXTS));
    case 2:
      return putField(header, PREFIX, random.pick(TEXTS));
    case 3: {
      const field = random.pick(NUMBERS);
      const isBinary = random.oneIn(2);
      const number = BigInt(random.pick([-1, 0, 1, 511, 512, 513, 2 ** 31, 2 ** 32, 2 ** 48, Number.MAX_SAFE_INTEGER]));
      return putField(header, field, isBinary ? base256(number, field[1]) : random.pick(NUMBER_TEXTS));
    }
    case 4:
      header[TYPE_FLAG] = random.pick([...TYPE_FLAGS]).charCodeAt(0);
      return;
    case 5:
      header[random.below(BLOCK)] = random.below(256);
  }
}

function mutateHeader(random: Random, pieces: Piece[]): Piece[] {
  const index = random.below(pieces.length);
  const piece = Buffer.from(pieces[index]!);
  if (piece.length < BLOCK) return pieces;
  damageField(random, piece);
  repairChecksum(piece);
  return pieces.with(index, piece);
}

/** Data of pax headers and long names are where text decides. */
function mutateData(random: Random, pieces: Piece[]): Piece[] {
  const withData = pieces.flatMap((piece, index) => piece.length > BLOCK ? [index] : []);
  if (withData.length === 0) return pieces;
  const index = random.pick(withData);
  const piece = Buffer.from(pieces[index]!);
  const at = BLOCK + random.below(Math.min(piece.length - BLOCK, 100));
  if (random.oneIn(2)) piece[at] = random.below(256);
  else piece.write(random.pick(["=", "\n", "\0", "9", "../", "/", " ", "path=", "-"]), at, "latin1");
  return pieces.with(index, piece);
}

function rearrange(random: Random, pieces: Piece[], others: readonly Piece[]): Piece[] {
  const [from, to] = [random.below(pieces.length), random.below(pieces.length)];
  switch (random.below(5)) {
    case 0:
      return pieces.toSpliced(from, 1);
    case 1:
      return pieces.toSpliced(to, 0, pieces[from]!);
    case 2:
      return pieces.with(from, pieces[to]!).with(to, pieces[from]!);
    case 3:
      return [...pieces.slice(0, from), ...others.slice(random.below(others.length))];
    default:
      return pieces.toSpliced(to, 0, random.pick(others));
  }
}

/** Flips, overwrites, removes or adds bytes anywhere. */
export function mutateBytes(random: Random, archive: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(archive);
  if (bytes.length === 0) return new Uint8Array();
  const at = random.below(bytes.length);
  switch (random.below(4)) {
    case 0:
      return new Uint8Array(bytes.subarray(0, at));
    case 1:
      return new Uint8Array(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(1024))]));
    default: {
      const count = 1 + random.below(4);
      for (let i = 0; i < count; i++) bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
      return new Uint8Array(bytes);
    }
  }
}

/** `archive` with a few pieces of damage; `other` is what it is spliced with. */
export function mutate(random: Random, archive: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
  if (random.oneIn(5)) return mutateBytes(random, archive);
  let pieces = piecesOf(Buffer.from(archive));
  const others = piecesOf(Buffer.from(other));
  const count = 1 + random.below(6);
  for (let i = 0; i < count && pieces.length > 0; i++) {
    const roll = random.below(10);
    if (roll < 5) pieces = mutateHeader(random, pieces);
    else if (roll < 7) pieces = mutateData(random, pieces);
    else pieces = rearrange(random, pieces, others);
  }
  return new Uint8Array(Buffer.concat(pieces));
}
