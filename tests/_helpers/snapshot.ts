// SPDX-License-Identifier: Apache-2.0

/**
 * A directory tree as lines of text within this process, for tests that compare thousands of trees. It stands on
 * lamina's own system calls; where an outside opinion is wanted, tree.ts has one.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { readDirectory } from "../../ffi/directory.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat, read, readlinkat } from "../../ffi/file.ts";
import { lstatat, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Stat } from "../../ffi/stat.ts";
import { lgetxattr, llistxattr } from "../../ffi/xattr.ts";
import { type ByteString, byteString, CName } from "../../lib/util/byte_string.ts";

/** What a snapshot leaves out. */
export interface SnapshotOptions {
  /** A path, relative to the tree, that is not entered; its own line stays. */
  skip?: string;
}

/**
 * One line a name: path, type and mode, owner, size, time, device, number of links, the first name of the same file,
 * target, attributes, content. Of a device 0:0 only the name, since all else about it says nothing.
 */
export function snapshot(directory: string, options: SnapshotOptions = {}): string[] {
  const lines: string[] = [];
  const firstOf = new Map<string, ByteString>();
  const visit = (fd: number, leaf: ByteString, path: ByteString): void => {
    const name = new CName().fill(leaf);
    const stat = lstatat(fd, name, new Stat());
    const type = stat.mode & S_IFMT;
    if (type === S_IFCHR && stat.rdevMajor === 0 && stat.rdevMinor === 0) {
      lines.push(`${path} whiteout`);
      return;
    }
    lines.push(`${path} ${describe(stat, firstOf.get(stat.fileKey))} ${content(fd, name, leaf, type)}`);
    if (type !== S_IFDIR) firstOf.set(stat.fileKey, firstOf.get(stat.fileKey) ?? path);
    if (type !== S_IFDIR || path === options.skip) return;
    using opened = new Fd(openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    const names: ByteString[] = [];
    readDirectory(opened.fd, (buffer, start, end) => names.push(byteString(buffer, start, end)));
    for (const child of names.sort()) visit(opened.fd, child, path === "." ? child : `${path}/${child}`);
  };
  using root = new Fd(openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY));
  visit(root.fd, ".", ".");
  return lines;
}

function describe(stat: Stat, first: ByteString | undefined): string {
  const isDirectory = stat.isDirectory;
  return [
    stat.mode.toString(8),
    `${stat.uid}:${stat.gid}`,
    isDirectory ? "-" : stat.size,
    `${stat.mtimeSeconds}.${stat.mtimeNanoseconds}`,
    `${stat.rdevMajor}:${stat.rdevMinor}`,
    isDirectory ? "-" : stat.nlink,
    first ?? "-",
  ].join(" ");
}

function content(fd: number, name: Uint8Array, leaf: ByteString, type: number): string {
  const procName = new CName().fill(`/proc/self/fd/${fd}/${leaf}`);
  const xattrs = [...llistxattr(procName)].sort().map((key) => `${key}=${byteString(lgetxattr(procName, key)!)}`);
  if (type === S_IFLNK) return `-> ${byteString(readlinkat(fd, name))} ${xattrs.join(" ")}`;
  return type === S_IFREG ? `${digest(fd, name)} ${xattrs.join(" ")}` : xattrs.join(" ");
}

const buffer = new Uint8Array(64 * 1024);

function digest(fd: number, name: Uint8Array): string {
  using file = new Fd(openat(fd, name, O_RDONLY | O_NOFOLLOW));
  const hash = createHash("md5");
  for (let length = read(file.fd, buffer); length > 0; length = read(file.fd, buffer)) {
    hash.update(buffer.subarray(0, length));
  }
  return hash.digest("hex");
}

/** The lines that only one of two snapshots has, `-` and `+`; none if they are the same. */
export function differences(before: readonly string[], after: readonly string[]): string[] {
  const had = new Set(before);
  const has = new Set(after);
  return [
    ...before.filter((line) => !has.has(line)).map((line) => `- ${line}`),
    ...after.filter((line) => !had.has(line)).map((line) => `+ ${line}`),
  ];
}
