// SPDX-License-Identifier: Apache-2.0

/**
 * Archives from a list of literals, written here independently of lamina's own writer: what a test says is what is in
 * the bytes, however wrong.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** One entry. Strings are latin1: a character is a byte. */
export interface TarItem {
  path: string;
  type?: string;
  data?: string;
  link?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  /** Instead of the length of `data`. */
  size?: number;
  major?: number;
  minor?: number;
  /** Records of a pax header before the entry. */
  pax?: Record<string, string>;
  magic?: string;
  prefix?: string;
  /** Written over the right checksum. */
  checksum?: string;
  /** Put over the header at these offsets, before its checksum is taken. */
  raw?: Readonly<Record<number, string>>;
}

function block(item: TarItem): Buffer {
  const header = Buffer.alloc(512);
  const put = (text: string, offset: number): unknown => header.write(text, offset, "latin1");
  const octal = (value: number, length: number): string => value.toString(8).padStart(length - 1, "0");
  put(item.path.slice(0, 100), 0);
  put(octal(item.mode ?? 0o644, 8), 100);
  put(octal(item.uid ?? 0, 8), 108);
  put(octal(item.gid ?? 0, 8), 116);
  put(octal(item.size ?? (item.data ?? "").length, 12), 124);
  put(octal(item.mtime ?? 0, 12), 136);
  put("        ", 148);
  put(item.type ?? "0", 156);
  put((item.link ?? "").slice(0, 100), 157);
  put(item.magic ?? "ustar\x0000", 257);
  put(octal(item.major ?? 0, 8), 329);
  put(octal(item.minor ?? 0, 8), 337);
  put(item.prefix ?? "", 345);
  for (const [offset, text] of Object.entries(item.raw ?? {})) put(text, Number(offset));
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(item.checksum ?? `${octal(sum, 7)}\0 `, 148);
  return header;
}

function padded(data: string): Buffer {
  const bytes = Buffer.from(data, "latin1");
  return Buffer.concat([bytes, Buffer.alloc((512 - bytes.length % 512) % 512)]);
}

/** One record of a pax header, with the length it says being right. */
export function paxRecord(key: string, value: string): string {
  for (let length = key.length + value.length + 3;; length++) {
    const record = `${length} ${key}=${value}\n`;
    if (record.length === length) return record;
  }
}

/** The bytes of `items`, without the two zero blocks. */
export function tarBody(items: readonly TarItem[]): Uint8Array<ArrayBuffer> {
  const blocks: Buffer[] = [];
  for (const item of items) {
    if (item.pax !== undefined) {
      const data = Object.entries(item.pax).map(([key, value]) => paxRecord(key, value)).join("");
      blocks.push(block({ path: "PaxHeaders.0/x", type: "x", data }), padded(data));
    }
    blocks.push(block(item), padded(item.data ?? ""));
  }
  return new Uint8Array(Buffer.concat(blocks));
}

/** The archive of `items`. */
export function tarOf(items: readonly TarItem[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat([tarBody(items), Buffer.alloc(1024)]));
}

/** A GNU long name ('L') or long link ('K') header, to stand before its entry. */
export function gnuLong(type: "L" | "K", name: string): TarItem {
  return { path: "././@LongLink", type, data: `${name}\0`, magic: "ustar  \0" };
}

/** `value` in GNU's base 256, as wide as the field. */
export function base256(value: bigint, length: number): string {
  const bits = BigInt(8 * length - 1);
  let rest = BigInt.asUintN(Number(bits), value) | (1n << bits);
  let text = "";
  for (let i = 0; i < length; i++, rest >>= 8n) text = String.fromCharCode(Number(rest & 0xffn)) + text;
  return text;
}
