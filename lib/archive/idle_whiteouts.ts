// SPDX-License-Identifier: Apache-2.0

/**
 * Deletions in a tree that may be in places where they delete nothing. What they look like is in whiteout.ts.
 *
 * @module
 */

import { DT_CHR, DT_DIR, DT_UNKNOWN, readDirectory } from "../../ffi/directory.ts";
import { Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat } from "../../ffi/file.ts";
import { lstatat, Stat } from "../../ffi/stat.ts";
import { type ByteString, byteString, CName, textOfBytes } from "../util/byte_string.ts";
import { UNWATCHED, type WorkControl } from "../util/work_control.ts";
import { OCI_WHITEOUT_PREFIX } from "./whiteout.ts";

/** How often something was found, and where first. */
export interface Occurrence {
  count: number;
  /** Bytes that are no UTF-8 show as U+FFFD. */
  firstPath: string;
}

/** Whiteouts of a tree, by their form. */
export interface FoundWhiteouts {
  /** Devices 0:0. */
  devices: Occurrence;
  /** Names that begin with `.wh.`. */
  names: Occurrence;
}

/** All whiteouts, of either form, below the open directory `rootFd`. */
export function findWhiteouts(rootFd: number, control: WorkControl = UNWATCHED): FoundWhiteouts {
  const devices: Occurrence = { count: 0, firstPath: "" };
  const names: Occurrence = { count: 0, firstPath: "" };
  const stat = new Stat();
  let entries = 0;

  function note(occurrence: Occurrence, prefix: ByteString, name: ByteString): void {
    if (occurrence.count++ === 0) occurrence.firstPath = textOfBytes(`${prefix}${name}`);
  }

  function walk(fd: number, prefix: ByteString): void {
    const leaf = new CName();
    const directories: ByteString[] = [];
    readDirectory(fd, (buffer, start, end, type) => {
      const name = byteString(buffer, start, end);
      if (name.startsWith(OCI_WHITEOUT_PREFIX)) note(names, prefix, name);
      if (type === DT_DIR) directories.push(name);
      if (type !== DT_CHR && type !== DT_UNKNOWN) return;
      lstatat(fd, leaf.fill(name), stat);
      if (stat.isOverlayWhiteout) note(devices, prefix, name);
      else if (stat.isDirectory) directories.push(name);
    });
    control.tick(++entries, 0);
    for (const name of directories) {
      using directory = new Fd(openat(fd, leaf.fill(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      walk(directory.fd, `${prefix}${name}/`);
    }
  }

  using root = new Fd(openat(rootFd, ".", O_RDONLY | O_DIRECTORY));
  walk(root.fd, "");
  return { devices, names };
}
