// SPDX-License-Identifier: Apache-2.0

/**
 * Pax extended headers (POSIX.1-2001): records `LENGTH KEY=VALUE\n` that say what a ustar header cannot.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { StorageError } from "../errors.ts";
import { bytesOfText, type ByteString, byteString, textOfBytes } from "../util/byte_string.ts";
import type { TarEntry } from "./header.ts";

const XATTR_PREFIX = "SCHILY.xattr.";

/** What pax headers said about the next entry: fields are undefined where they said nothing. */
export class PaxRecords {
  path: ByteString | undefined = undefined;
  linkPath: ByteString | undefined = undefined;
  size: number | undefined = undefined;
  uid: number | undefined = undefined;
  gid: number | undefined = undefined;
  mtime: { seconds: number; nanoseconds: number } | undefined = undefined;
  xattrs: Map<string, Uint8Array<ArrayBuffer>> | undefined = undefined;
  /** Whether records of GNU's sparse formats were among them. */
  isSparse = false;

  /** Puts what the records say over what the header said. */
  applyTo(entry: TarEntry): void {
    if (this.path !== undefined) entry.unsafePath = this.path;
    if (this.linkPath !== undefined) entry.unsafeLinkPath = this.linkPath;
    if (this.size !== undefined) entry.size = this.size;
    if (this.uid !== undefined) entry.uid = this.uid;
    if (this.gid !== undefined) entry.gid = this.gid;
    if (this.mtime !== undefined) {
      entry.mtimeSeconds = this.mtime.seconds;
      entry.mtimeNanoseconds = this.mtime.nanoseconds;
    }
    if (this.xattrs !== undefined) entry.xattrs = this.xattrs;
  }

  /** A copy to which the records of one entry can be added. */
  clone(): PaxRecords {
    const copy = Object.assign(new PaxRecords(), this);
    if (this.xattrs !== undefined) copy.xattrs = new Map(this.xattrs);
    return copy;
  }
}

function invalid(message: string): StorageError {
  return new StorageError("invalid_archive", `Cannot read a pax header: ${message}`);
}

function numberOf(key: string, value: ByteString): number {
  const number = /^\d{1,16}$/.test(value) ? Number(value) : NaN;
  if (!Number.isSafeInteger(number)) {
    throw invalid(`record "${key}" is no number: ${JSON.stringify(value.slice(0, 40))}`);
  }
  return number;
}

/** Decimal seconds with a fraction of any length, of which nine digits count: `-1.25` is 1.25 seconds before 1970. */
function timeOf(key: string, value: ByteString): { seconds: number; nanoseconds: number } {
  const match = /^(-?)(\d{1,16})(?:\.(\d*))?$/.exec(value);
  const seconds = Number(match?.[2]);
  if (match === null || !Number.isSafeInteger(seconds)) {
    throw invalid(`record "${key}" is no time: ${JSON.stringify(value.slice(0, 40))}`);
  }
  const nanoseconds = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (match[1] === "") return { seconds, nanoseconds };
  return nanoseconds === 0
    ? { seconds: 0 - seconds, nanoseconds: 0 }
    : { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds };
}

function nameOf(key: string, value: ByteString): ByteString {
  if (value.includes("\0")) throw invalid(`record "${key}" contains NUL`);
  return value;
}

function addRecord(records: PaxRecords, key: string, value: Uint8Array<ArrayBuffer>): void {
  if (key.startsWith(XATTR_PREFIX)) {
    records.xattrs ??= new Map();
    records.xattrs.set(nameOf(key, textOfBytes(key.slice(XATTR_PREFIX.length))), value.slice());
    return;
  }
  const text = byteString(value);
  switch (key) {
    // POSIX: a record without a value takes back what an earlier one or a global one said.
    case "path":
      records.path = text === "" ? undefined : nameOf(key, text);
      break;
    case "linkpath":
      records.linkPath = text === "" ? undefined : nameOf(key, text);
      break;
    case "size":
      records.size = text === "" ? undefined : numberOf(key, text);
      break;
    case "uid":
      records.uid = text === "" ? undefined : numberOf(key, text);
      break;
    case "gid":
      records.gid = text === "" ? undefined : numberOf(key, text);
      break;
    case "mtime":
      records.mtime = text === "" ? undefined : timeOf(key, text);
      break;
    default:
      if (key.startsWith("GNU.sparse.")) records.isSparse = true;
  }
}

/**
 * Adds the records of one extended header to `records`; later ones win.
 *
 * @throws {StorageError} `invalid_archive`: a record's length does not fit, or a value is not what its key demands.
 */
export function decodePax(data: Uint8Array<ArrayBuffer>, records: PaxRecords): void {
  let at = 0;
  while (at < data.length) {
    const space = data.indexOf(0x20, at);
    const digits = space === -1 ? "" : byteString(data, at, Math.min(space, at + 20));
    const length = /^\d{1,10}$/.test(digits) ? Number(digits) : NaN;
    const end = at + length;
    // Behind the space: at least a key of one letter, '=', and the line feed.
    if (!(end <= data.length && end >= space + 4) || data[end - 1] !== 0x0a) {
      throw invalid(`the record at byte ${at} does not have the length it says`);
    }
    const equals = data.indexOf(0x3d, space + 1);
    if (equals === -1 || equals >= end) throw invalid(`the record at byte ${at} has no "="`);
    addRecord(records, byteString(data, space + 1, equals), data.subarray(equals + 1, end - 1));
    at = end;
  }
}

/** Collects records for one entry. */
export class PaxBuilder {
  #records: Uint8Array[] = [];

  get isEmpty(): boolean {
    return this.#records.length === 0;
  }

  add(key: string, value: ByteString | Uint8Array): void {
    const bytes = typeof value === "string" ? Buffer.from(value, "latin1") : value;
    const rest = Buffer.byteLength(key, "latin1") + bytes.length + 3;
    // The length counts its own digits: one more of them may make one more of them.
    let length = rest + String(rest).length;
    length = rest + String(length).length;
    this.#records.push(Buffer.concat([Buffer.from(`${length} ${key}=`, "latin1"), bytes, Buffer.from("\n")]));
  }

  /** @throws {StorageError} `not_supported`: a name with `=`, which would end the key early and change the archive's meaning. */
  addXattr(name: string, value: Uint8Array, path: ByteString): void {
    if (name.includes("=")) {
      throw new StorageError(
        "not_supported",
        `Cannot archive ${JSON.stringify(textOfBytes(path))}: the name of its extended attribute ${
          JSON.stringify(name)
        } contains "="`,
      );
    }
    this.add(XATTR_PREFIX + bytesOfText(name), value);
  }

  addTime(key: string, seconds: number, nanoseconds: number): void {
    if (seconds >= 0 || nanoseconds === 0) this.add(key, withFraction(String(seconds), nanoseconds));
    else if (seconds === -1) this.add(key, withFraction("-0", 1e9 - nanoseconds));
    else this.add(key, withFraction(String(seconds + 1), 1e9 - nanoseconds));
  }

  /** The data of the extended header. */
  build(): Uint8Array {
    return Buffer.concat(this.#records);
  }
}

function withFraction(seconds: string, nanoseconds: number): string {
  if (nanoseconds === 0) return seconds;
  return `${seconds}.${String(nanoseconds).padStart(9, "0").replace(/0+$/, "")}`;
}
