// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { fileURLToPath } from "node:url";
import { assertGreater } from "@std/assert";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import type { TarItem } from "../archive/_tar_of.ts";
import { Host } from "./_hostile_case.ts";

const SWAPPER = fileURLToPath(new URL("./_swapper.ts", import.meta.url));
const APPLIES = 300;
const MOST_APPLIES = 20 * APPLIES;

const NOTE = { "SCHILY.xattr.trusted.note": "hostile" };
const LAST = [...Array(20).keys()];

/** What is applied again and again, while another process exchanges `d` with a link to `../outside`. */
const ARCHIVES: readonly (readonly [what: string, items: readonly TarItem[]])[] = [
  ["files and directories in it are made", [
    ...LAST.map((i): TarItem => ({ path: `d/new${i}`, data: "x", mode: 0o6777, uid: 7, pax: NOTE })),
    ...LAST.map((i): TarItem => ({ path: `d/made${i}/x`, data: "x" })),
  ]],
  ["names of the host's are written, linked and deleted in it", [
    { path: "d/secret", data: "overwritten", mode: 0o777, uid: 7 },
    { path: "d/inner/", type: "5", mode: 0o7777, uid: 7, pax: NOTE },
    { path: "d/inner/deep", data: "overwritten" },
    { path: "d/.wh.secret" },
    { path: "d/.wh.inner" },
    { path: "d/.wh..wh..opq" },
    { path: "d/inner", data: "a file" },
    { path: "d/link", type: "1", link: "d/secret" },
  ]],
  ["modes, owners and times are set of it", [
    ...LAST.map((): TarItem => ({ path: "d/", type: "5", mode: 0o7700, uid: 7, gid: 7, mtime: 1, pax: NOTE })),
    { path: "d/.wh..wh..opq" },
  ]],
  ["devices and links replace it", [
    { path: "d", type: "6", mode: 0o777, uid: 7, mtime: 1 },
    { path: "d/", type: "5", mode: 0o7007, mtime: 1 },
    { path: "d", type: "3", major: 1, minor: 3, mode: 0o7777, mtime: 1 },
    { path: "d", type: "5", mode: 0o7070, mtime: 1 },
    { path: "d/x", data: "x" },
  ]],
];

for (const [what, items] of ARCHIVES) {
  testNeeding([needsRoot], `unpack() stays inside while another process swaps a directory and ${what}`, async () => {
    await using host = await Host.make();
    const [directory, link] = [`${host.root}/d`, `${host.root}/l`];
    await Deno.mkdir(directory);
    await Deno.symlink("../outside", link);
    await using swapper = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-lock", "--allow-all", SWAPPER, host.root, "d", "l"],
      stdin: "piped",
    }).spawn();
    try {
      await isSwapping(directory);
      let failures = 0;
      // A busy machine may need more of them until the two meet.
      for (let i = 0; i < APPLIES || (failures === 0 && i < MOST_APPLIES); i++) {
        // Names that change in its hands may make it fail; they must not make it leave.
        if (host.unpack(items) !== undefined) failures++;
        if (!await isLink(link)) await isLink(directory) || await relink(link);
        host.assertUntouched();
      }
      assertGreater(failures, 0, "nothing was swapped in the unpacker's hands");
    } finally {
      await swapper.stdin.close();
      await swapper.status;
    }
  });
}

async function isLink(path: string): Promise<boolean> {
  try {
    return (await Deno.lstat(path)).isSymlink;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The unpacker may have taken the link for what it was to replace. */
async function relink(path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch(() => {});
  await Deno.symlink("../outside", path).catch(() => {});
}

/** Waits until the other process is at work. */
async function isSwapping(directory: string): Promise<void> {
  while (!await isLink(directory)) await new Promise((resolve) => setTimeout(resolve, 1));
}
