// SPDX-License-Identifier: Apache-2.0

/**
 * What pax headers say of a file's holes: GNU tar's formats 0.0, 0.1 and 1.0 ("Storing Sparse Files" in its manual),
 * and star's `SCHILY.realsize`.
 *
 * @module
 */

import type { ByteString } from "../util/byte_string.ts";
import { invalidPax, paxName, paxNumber } from "./_pax_value.ts";

const GNU = "GNU.sparse.";

/** Whether a record is about holes. */
export function isSparseKey(key: string): boolean {
  return key.startsWith(GNU) || key === "SCHILY.realsize" || key === "SUN.holesdata";
}

/** Those records of one entry. */
export class SparseRecords {
  /** GNU's format; without a number it is 0.0 or 0.1. */
  major = 0;
  minor = 0;
  /** Whether any of GNU's records is there. */
  isGnu = false;
  /** Whether Solaris says where the holes are. */
  isSolaris = false;
  name: ByteString | undefined = undefined;
  /** Bytes of the file, holes included. */
  realSize: number | undefined = undefined;
  /** How many segments there should be. */
  count: number | undefined = undefined;
  /** Offset and length of each segment, in turn, as formats 0.0 and 0.1 have them. */
  numbers: number[] = [];

  clone(): SparseRecords {
    return Object.assign(new SparseRecords(), this, { numbers: [...this.numbers] });
  }

  /** Takes a record for which {@linkcode isSparseKey} holds. */
  add(key: string, value: ByteString): void {
    if (key.startsWith(GNU)) this.isGnu = true;
    switch (key) {
      case "GNU.sparse.major":
        this.major = paxNumber(key, value);
        break;
      case "GNU.sparse.minor":
        this.minor = paxNumber(key, value);
        break;
      case "GNU.sparse.name":
        this.name = paxName(key, value);
        break;
      case "GNU.sparse.size":
      case "GNU.sparse.realsize":
      case "SCHILY.realsize":
        this.realSize = paxNumber(key, value);
        break;
      case "GNU.sparse.numblocks":
        this.count = paxNumber(key, value);
        break;
      case "GNU.sparse.offset":
      case "GNU.sparse.numbytes":
        if ((this.numbers.length % 2 === 0) !== (key === "GNU.sparse.offset")) {
          throw invalidPax(`record "${key}" is not where it belongs: offset and numbytes take turns`);
        }
        this.numbers.push(paxNumber(key, value));
        break;
      case "GNU.sparse.map":
        this.numbers = value === "" ? [] : value.split(",").map((number) => paxNumber(key, number));
        break;
      case "SUN.holesdata":
        this.isSolaris = true;
    }
  }
}
