// SPDX-License-Identifier: Apache-2.0

/**
 * Pax extended headers (POSIX.1-2001): records `LENGTH KEY=VALUE\n` that say what a ustar header cannot.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { type ByteString, byteString, textOfBytes } from "../util/byte_string.ts";
import { AttributeRecords, schilyKey } from "./_pax_attributes.ts";
import { isSparseKey, SparseRecords } from "./_pax_sparse.ts";
import { invalidPax, paxName, paxNumber } from "./_pax_value.ts";
import type { TarEntry } from "./header.ts";

/** What pax headers said about the next entry: fields are undefined where they said nothing. */
export class PaxRecords {
  path: ByteString | undefined = undefined;
  linkPath: ByteString | undefined = undefined;
  size: number | undefined = undefined;
  uid: number | undefined = undefined;
  gid: number | undefined = undefined;
  mtime: { seconds: number; nanoseconds: number } | undefined = undefined;
  xattrs: Map<ByteString, Uint8Array<ArrayBuffer>> | undefined = undefined;
  /** Keys of attributes that cannot be told in numbers. */
  unreadXattrs: readonly string[] | undefined = undefined;
  /** What was said of the file's holes. */
  sparse: SparseRecords | undefined = undefined;

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
    if (this.unreadXattrs !== undefined) entry.unreadXattrs = this.unreadXattrs;
  }

  /** A copy to which the records of one entry can be added. */
  clone(): PaxRecords {
    const copy = Object.assign(new PaxRecords(), this);
    if (this.xattrs !== undefined) copy.xattrs = new Map(this.xattrs);
    if (this.sparse !== undefined) copy.sparse = this.sparse.clone();
    return copy;
  }
}

/**
 * Decimal seconds with a fraction of any length, of which nine digits count: `-1.25` is 1.25 seconds before 1970. Python
 * writes times very close to 1970 with an exponent, `1e-05`, which POSIX does not know.
 */
function timeOf(key: string, value: ByteString): { seconds: number; nanoseconds: number } {
  const decimal = /^-?\d(?:\.\d{1,20})?e-\d{2}$/.test(value) ? Number(value).toFixed(9) : value;
  const match = /^(-?)(\d{1,16})(?:\.(\d*))?$/.exec(decimal);
  const seconds = Number(match?.[2]);
  if (match === null || !Number.isSafeInteger(seconds)) {
    throw invalidPax(`record "${key}" is no time: ${JSON.stringify(value.slice(0, 40))}`);
  }
  const nanoseconds = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (match[1] === "") return { seconds, nanoseconds };
  return nanoseconds === 0
    ? { seconds: 0 - seconds, nanoseconds: 0 }
    : { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds };
}

function addRecord(records: PaxRecords, key: ByteString, text: ByteString): void {
  switch (key) {
    // POSIX: a record without a value takes back what an earlier one or a global one said.
    case "path":
      records.path = text === "" ? undefined : paxName(key, text);
      break;
    case "linkpath":
      records.linkPath = text === "" ? undefined : paxName(key, text);
      break;
    case "size":
      records.size = text === "" ? undefined : paxNumber(key, text);
      break;
    case "uid":
      records.uid = text === "" ? undefined : paxNumber(key, text);
      break;
    case "gid":
      records.gid = text === "" ? undefined : paxNumber(key, text);
      break;
    case "mtime":
      records.mtime = text === "" ? undefined : timeOf(key, text);
      break;
    case "GNU.volume.filename":
    case "GNU.volume.offset":
      throw new StorageError(
        "not_supported",
        "Cannot read the archive: it is a later volume of several, and begins in the middle of a file",
        { hint: "join the volumes, or make the archive without --multi-volume" },
      );
    default:
      if (isSparseKey(key)) (records.sparse ??= new SparseRecords()).add(key, text);
  }
}

/**
 * Adds the records of one extended header to `records`; later ones win.
 *
 * @throws {StorageError} `invalid_archive`: a record's length does not fit, or a value is not what its key demands.
 */
export function decodePax(data: Uint8Array<ArrayBuffer>, records: PaxRecords): void {
  const attributes = new AttributeRecords();
  let at = 0;
  while (at < data.length) {
    const space = data.indexOf(0x20, at);
    const digits = space === -1 ? "" : byteString(data, at, Math.min(space, at + 20));
    const length = /^\d{1,10}$/.test(digits) ? Number(digits) : NaN;
    const end = at + length;
    // Behind the space: at least a key of one letter, '=', and the line feed.
    if (!(end <= data.length && end >= space + 4) || data[end - 1] !== 0x0a) {
      throw invalidPax(`the record at byte ${at} does not have the length it says`);
    }
    const equals = data.indexOf(0x3d, space + 1);
    if (equals === -1 || equals >= end) throw invalidPax(`the record at byte ${at} has no "="`);
    const key = byteString(data, space + 1, equals);
    const value = data.subarray(equals + 1, end - 1);
    if (!attributes.add(key, value)) addRecord(records, key, byteString(value));
    at = end;
  }
  attributes.applyTo(records);
}

/** Collects records for one entry. */
export class PaxBuilder {
  /** The data of the extended header so far. */
  records: ByteString = "";

  add(key: ByteString, value: ByteString): void {
    const rest = key.length + value.length + 3;
    // The length counts its own digits: one more of them may make one more of them.
    let length = rest + String(rest).length;
    length = rest + String(length).length;
    this.records += `${length} ${key}=${value}\n`;
  }

  /** @throws {StorageError} `not_supported`: a name with `=`, which would end the key early and change the archive's meaning. */
  addXattr(name: ByteString, value: Uint8Array, path: ByteString): void {
    if (name.includes("=")) {
      throw new StorageError(
        "not_supported",
        `Cannot archive ${JSON.stringify(textOfBytes(path))}: the name of its extended attribute ${
          JSON.stringify(textOfBytes(name))
        } contains "="`,
      );
    }
    this.add(schilyKey(name), byteString(value));
  }

  addTime(key: string, seconds: number, nanoseconds: number): void {
    if (seconds >= 0 || nanoseconds === 0) this.add(key, withFraction(String(seconds), nanoseconds));
    else if (seconds === -1) this.add(key, withFraction("-0", 1e9 - nanoseconds));
    else this.add(key, withFraction(String(seconds + 1), 1e9 - nanoseconds));
  }
}

function withFraction(seconds: string, nanoseconds: number): string {
  if (nanoseconds === 0) return seconds;
  return `${seconds}.${String(nanoseconds).padStart(9, "0").replace(/0+$/, "")}`;
}
