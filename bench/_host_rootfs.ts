// SPDX-License-Identifier: Apache-2.0

/**
 * A root file system to work on where none is given: a slice of the host's own, archived by GNU tar.
 *
 * @module
 */

import { linkSync } from "node:fs";
import { S_IFIFO, S_ISUID } from "../ffi/stat.ts";
import { AT_FDCWD, mknodat } from "../ffi/file.ts";
import { lutimesat } from "../ffi/owner.ts";
import { lsetxattr } from "../ffi/xattr.ts";
import { runCommand } from "./_command.ts";

/** How much to take of one directory. */
interface Portion {
  directory: string;
  mostEntries: number;
  mostBytes: number;
}

/** Together at most 13,000 entries and 210 MB: enough for a figure, and a demo that ends soon. */
const PORTIONS: readonly Portion[] = [
  { directory: "/etc", mostEntries: 3000, mostBytes: 20e6 },
  { directory: "/usr/share/zoneinfo", mostEntries: 2500, mostBytes: 10e6 },
  { directory: "/usr/bin", mostEntries: 2500, mostBytes: 80e6 },
  { directory: "/usr/lib", mostEntries: 5000, mostBytes: 100e6 },
];

/** Where to go on when a small host (a container image) does not have that much. */
const SPARE_PORTIONS: readonly Portion[] = ["/usr/share", "/usr/sbin", "/usr/local", "/opt", "/var/lib"].map(
  (directory) => ({ directory, mostEntries: 3000, mostBytes: 100e6 }),
);

const ENOUGH_ENTRIES = 3500;
const ENOUGH_BYTES = 110e6;
/** Few huge files would take the place of many ordinary ones. */
const LARGEST_FILE = 16e6;

/** What is easily lost on the way through an archive. */
export interface Curious {
  hardLinks: number;
  symlinks: number;
  setuid: number;
}

/** Paths for an archive, relative to `/`, each after its parent directory. */
class Slice {
  readonly paths: string[] = [];
  readonly curious: Curious = { hardLinks: 0, symlinks: 0, setuid: 0 };
  bytes = 0;
  readonly #seen = new Set<string>();

  get isEnough(): boolean {
    return this.paths.length >= ENOUGH_ENTRIES && this.bytes >= ENOUGH_BYTES;
  }

  take({ directory, mostEntries, mostBytes }: Portion): void {
    const device = lstat(directory)?.dev;
    if (device === undefined) return;
    const entriesEnd = this.paths.length + mostEntries;
    const bytesEnd = this.bytes + mostBytes;
    const visit = (path: string): void => {
      const info = lstat(path);
      // Another file system, mounted there: not the host's own.
      if (info === undefined || info.dev !== device || info.isSocket) return;
      if (this.paths.length >= entriesEnd) return;
      if (info.isFile && (info.size > LARGEST_FILE || this.bytes + info.size > bytesEnd)) return;
      if (this.#add(path, info.isFile ? info.size : 0)) this.#count(info);
      if (info.isDirectory) { for (const name of sortedNames(path)) visit(`${path}/${name}`); }
    };
    this.#addParents(directory);
    visit(directory);
  }

  #count(info: Deno.FileInfo): void {
    if (info.isSymlink) this.curious.symlinks++;
    if (info.isFile && (info.nlink ?? 1) > 1) this.curious.hardLinks++;
    if (info.isFile && ((info.mode ?? 0) & S_ISUID) !== 0) this.curious.setuid++;
  }

  /** Whatever its size. */
  takeFile(path: string): void {
    this.#addParents(path);
    this.#add(path, Deno.lstatSync(path).size);
  }

  #addParents(path: string): void {
    for (let end = path.indexOf("/", 1); end !== -1; end = path.indexOf("/", end + 1)) this.#add(path.slice(0, end), 0);
  }

  /** Whether it was not there yet. */
  #add(path: string, size: number): boolean {
    if (this.#seen.has(path)) return false;
    this.#seen.add(path);
    this.paths.push(path.slice(1));
    this.bytes += size;
    return true;
  }
}

/** Undefined for a name that is gone, or no UTF-8. */
function lstat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch {
    return undefined;
  }
}

function sortedNames(directory: string): string[] {
  try {
    return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
  } catch {
    return [];
  }
}

function sliceOfHost(): Slice {
  const slice = new Slice();
  for (const portion of PORTIONS) slice.take(portion);
  for (const portion of SPARE_PORTIONS) {
    if (slice.isEnough) break;
    slice.take(portion);
  }
  // One real file of 100 MB and more that every host of this program has.
  if (slice.bytes < ENOUGH_BYTES) slice.takeFile(Deno.realPathSync(Deno.execPath()));
  return slice;
}

/** `VFS_CAP_REVISION_2` with CAP_NET_RAW in the permitted set, as setcap(8) writes it. */
const CAP_NET_RAW = new Uint8Array([1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

/** What a host may not have, and a layer must keep all the same. Returns how many entries it made. */
function makeCuriosities(directory: string): number {
  Deno.mkdirSync(directory, { recursive: true });
  const path = (name: string): string => `${directory}/${name}`;
  for (const name of ["setuid", "capable", "noted", "linked", "x".repeat(150), "line\nfeed", "größe"]) {
    Deno.writeTextFileSync(path(name), `${name}\n`);
  }
  Deno.chmodSync(path("setuid"), 0o4755);
  linkSync(path("linked"), path("linked too"));
  Deno.symlinkSync("/nowhere/to/be/found", path("dangling"));
  lsetxattr(path("capable"), "security.capability", CAP_NET_RAW);
  lsetxattr(path("noted"), "user.note", new TextEncoder().encode("binary \0 value"));
  Deno.chownSync(path("noted"), 12345, 54321);
  mknodat(AT_FDCWD, path("fifo"), S_IFIFO | 0o600);
  Deno.mkdirSync(path("sticky"));
  Deno.chmodSync(path("sticky"), 0o1777);
  lutimesat(AT_FDCWD, path("noted"), -1, 123_456_789);
  return sortedNames(directory).length;
}

/** A made archive. */
export interface HostRootfs {
  path: string;
  /** Entries given to tar. */
  entries: number;
  sizeBytes: number;
  /** Of the host's own entries. */
  curious: Curious;
}

/** Makes `directory/rootfs.tar` of the host; `directory` must be able to hold extended attributes. */
export async function makeHostRootfs(directory: string, signal?: AbortSignal): Promise<HostRootfs> {
  await requireGnuTar();
  const [path, list, made] = [`${directory}/rootfs.tar`, `${directory}/rootfs.list`, `${directory}/made`];
  const slice = sliceOfHost();
  const curiosities = makeCuriosities(`${made}/srv/curiosities`);
  await Deno.writeTextFile(list, slice.paths.join("\0"));
  const options = ["--format=pax", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--ignore-failed-read"];
  const ofHost = ["--null", "--no-recursion", "-C", "/", "-T", list];
  const ofMade = ["--recursion", "-C", made, "srv"];
  // 1: a file changed while it was read, which a living host may do.
  await runCommand("tar", ["-cf", path, ...options, ...ofHost, ...ofMade], { signal, accept: [0, 1] });
  await Deno.remove(list);
  await Deno.remove(made, { recursive: true });
  const { size } = await Deno.stat(path);
  return { path, entries: slice.paths.length + curiosities + 2, sizeBytes: size, curious: slice.curious };
}

async function requireGnuTar(): Promise<void> {
  if ((await runCommand("tar", ["--version"], { accept: [0, 1] })).includes("GNU tar")) return;
  throw new Error("This needs GNU tar (extended attributes, times in nanoseconds), and `tar` is another one");
}
