// SPDX-License-Identifier: Apache-2.0

/**
 * Archives made by a grammar: short sequences of entries over a handful of names, so that the entries meet each other.
 * Random bytes hardly ever replace a directory by a link and then write through it; this does all the time.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { base256, gnuLong, tarBody, type TarItem } from "../archive/_tar_of.ts";
import type { Random } from "./random.ts";

const NAMES = ["a", "b", "a/b", "a/c", "a/b/c", "b/a", "./a", "a/", "a/b/", "a/.", "./", "/a", "//b//a", "./a/./b"];
const WHITEOUTS = [
  ...[".wh.a", ".wh.b", "a/.wh.b", "a/b/.wh.c", "b/.wh.a", ".wh..wh..opq", "a/.wh..wh..opq", "b/.wh..wh..opq"],
  ...[".wh.", ".wh..", ".wh...", "a/.wh..", "a/.wh...", ".wh..wh.plnk/x", ".wh..wh.aufs", ".wh..wh.orph/", ".wh.a/b"],
];
const STRANGE = [
  ...["..", "../x", "a/../b", "a/..", "/", ".", "//", "\xff\xfe", "a\0b", "a\nb", " ", "-rf", "a\\b", "PaxHeaders.0/a"],
  ...["n".repeat(100), "n".repeat(255), "n".repeat(256), "d/".repeat(120) + "e", "d/".repeat(500) + "e"],
];
const TYPES = ["0", "0", "0", "5", "5", "5", "2", "2", "2", "1", "1", "\0", "3", "4", "6", "7", "S", "Z", "V", "D"];
const XATTRS: readonly (readonly [name: string, value: string])[] = [
  ["user.note", "x\0\n="],
  ["user.", ""],
  ["", "x"],
  ["user." + "n".repeat(250), "x"],
  ["user.n=m", "x"],
  ["user.large", "x".repeat(5000)],
  ["user.huge", "x".repeat(70000)],
  ["trusted.mine", "mine"],
  ["trusted.overlay.redirect", "/etc"],
  ["trusted.overlay.opaque", "y"],
  ["user.overlay.opaque", "y"],
  ["user.containers.override_stat", "0:0:4755"],
  ["security.capability", "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"],
  ["security.capability", "junk"],
  ["security.selinux", "system_u:object_r:bin_t:s0"],
  [
    "system.posix_acl_access",
    "\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x04\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff",
  ],
  [
    "system.posix_acl_default",
    "\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x04\0\x05\0\xff\xff\xff\xff\x20\0\x05\0\xff\xff\xff\xff",
  ],
  ["system.posix_acl_access", "junk"],
  ["system.posix_acl_default", "junk"],
  ["unknown.name", "x"],
];
const TIMES = [
  "0",
  "1.5",
  "-1.25",
  "-0.5",
  "1e9",
  "",
  "4294967296.999999999",
  "999999999999999.5",
  "9".repeat(16),
  "x",
];
const NUMBERS = [
  "0",
  "1",
  "4294967294",
  "4294967295",
  "4294967296",
  "9007199254740993",
  "-1",
  "",
  "0x10",
  "99".repeat(20),
];

/** What names and targets of an archive may be about. */
export interface Surroundings {
  /** Absolute path of a directory outside the root that must not change, with a file `secret` and a directory `inner`. */
  outside: string;
}

function name(random: Random): string {
  const roll = random.below(20);
  if (roll < 15) return random.pick(NAMES);
  return roll < 18 ? random.pick(WHITEOUTS) : random.pick(STRANGE);
}

function target(random: Random, { outside }: Surroundings): string {
  const targets = [
    ...[
      "a",
      "b",
      "a/b",
      "b/a",
      ".",
      "..",
      "../..",
      "/",
      "/a",
      "/b",
      "../a",
      "../b",
      "./a",
      "a/b/c",
      "nowhere",
      "",
      "a/",
    ],
    ...["../outside", "../outside/secret", "../../outside/inner", "../../../../../outside", "../../../outside/secret"],
    ...[
      outside,
      `${outside}/secret`,
      `${outside}/inner`,
      "/proc/self/root",
      "/proc/self/cwd",
      "/proc/self/fd/1",
      "/etc",
    ],
    ...["t".repeat(101), "t".repeat(4095), "t".repeat(4096), ".wh.a"],
  ];
  // Mostly the first few, which meet the other entries.
  return random.oneIn(3) ? random.pick(targets) : targets[random.below(17)]!;
}

function pax(random: Random, surroundings: Surroundings): Record<string, string> {
  const records: Record<string, string> = {};
  const count = 1 + random.below(3);
  for (let i = 0; i < count; i++) {
    const [xattr, value] = random.pick(XATTRS);
    const choices: readonly (readonly [string, string])[] = [
      [`SCHILY.xattr.${xattr}`, value],
      [`SCHILY.xattr.${xattr}`, value],
      ["path", name(random)],
      ["linkpath", target(random, surroundings)],
      ["mtime", random.pick(TIMES)],
      ["size", random.pick(NUMBERS)],
      ["uid", random.pick(NUMBERS)],
      ["gid", random.pick(NUMBERS)],
      ["GNU.sparse.major", "1"],
      ["comment", "x".repeat(random.below(2000))],
    ];
    const [key, said] = random.pick(choices);
    records[key] = said;
  }
  return records;
}

function item(random: Random, surroundings: Surroundings): TarItem {
  const type = random.pick(TYPES);
  const made: TarItem = {
    path: name(random),
    type,
    mode: random.pick([0o644, 0o755, 0o700, 0, 0o7777, 0o4755, 0o2775]),
  };
  if (type === "1" || type === "2") made.link = target(random, surroundings);
  if (type === "3" || type === "4") [made.major, made.minor] = random.pick([[0, 0], [1, 3], [4095, 1048575], [0, 1]]);
  if (type === "0" || random.oneIn(10)) made.data = "x".repeat(random.pick([0, 0, 1, 5, 511, 512, 513, 1500]));
  if (random.oneIn(4)) made.uid = made.gid = random.pick([1, 50, 65534, 2097151]);
  if (random.oneIn(4)) made.mtime = random.pick([1, 1e9, 0o77777777777]);
  if (random.oneIn(5)) made.pax = pax(random, surroundings);
  if (random.oneIn(40)) made.size = random.pick([1, 512, 1 << 20, 0o77777777777]);
  if (random.oneIn(40)) made.magic = random.pick(["ustar  \0", "", "ustar\0\0\0", "junkjunk"]);
  if (random.oneIn(60)) made.prefix = random.pick(["a", "..", "/", "p".repeat(155)]);
  if (random.oneIn(60)) {
    made.raw = { [random.pick([100, 108, 116, 124, 136])]: base256(BigInt(random.below(1 << 30)) - 5n, 8) };
  }
  return made;
}

function items(random: Random, surroundings: Surroundings): TarItem[] {
  const list: TarItem[] = [];
  const count = 1 + random.below(12);
  for (let i = 0; i < count; i++) {
    const made = item(random, surroundings);
    if (made.path.length > 100 || random.oneIn(30)) list.push(gnuLong("L", made.path));
    if (made.link !== undefined && (made.link.length > 100 || random.oneIn(30))) list.push(gnuLong("K", made.link));
    if (random.oneIn(60)) {
      list.push({ path: "global", type: "g", data: "30 mtime=1350244992.023960108\n" });
    }
    list.push(made);
  }
  return list;
}

/** One archive. */
export function grammarArchive(random: Random, surroundings: Surroundings): Uint8Array<ArrayBuffer> {
  const body = Buffer.from(tarBody(items(random, surroundings)));
  return new Uint8Array(Buffer.concat([body, Buffer.alloc(random.oneIn(30) ? 512 : 1024)]));
}
