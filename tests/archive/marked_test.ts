// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { StorageError } from "../../lib/errors.ts";
import { needsFuseOverlayfs, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { unpackFile } from "./_engine.ts";
import { type TarItem, tarOf } from "./_tar_of.ts";

const NEEDS = [needsRoot, needsFuseOverlayfs];

async function namesBelow(tree: string): Promise<string[]> {
  const { stdout } = await runOk("find", [tree, "-mindepth", "1", "-printf", "%P\n"]);
  return stdout.split("\n").filter((name) => name !== "").sort();
}

/** Unpacks `items` for a mount program over the layer that `script` makes; what is then on disk, and what is seen. */
async function overlaid(script: string, items: readonly TarItem[]): Promise<{ stored: string[]; seen: string[] }> {
  await using directory = await TempDir.make();
  for (const name of ["lower", "upper", "merged"]) await directory.mkdir(name);
  await runOk("bash", ["-ec", script], { cwd: directory.join("lower") });
  await Deno.writeFile(directory.join("a.tar"), tarOf(items));
  const upper = directory.join("upper");
  unpackFile(directory.join("a.tar"), upper, { target: "marked", lowerDirs: [directory.join("lower")] });
  const stored = await namesBelow(upper);
  const merged = directory.join("merged");
  await runOk("fuse-overlayfs", ["-o", `lowerdir=${upper}:${directory.join("lower")}`, merged]);
  return { stored, seen: await namesBelow(merged) };
}

const CASES: readonly [name: string, script: string, items: readonly TarItem[], stored: string[], seen: string[]][] = [
  ["a whiteout stays a file", "touch f g", [{ path: ".wh.f" }], [".wh.f"], ["g"]],
  ["a whiteout hides a directory", "mkdir -p d/e; touch g", [{ path: ".wh.d" }], [".wh.d"], ["g"]],
  ["a whiteout twice is one", "touch f", [{ path: ".wh.f" }, { path: ".wh.f" }], [".wh.f"], []],
  ["a name before its whiteout stays", "touch f", [{ path: "f" }, { path: ".wh.f" }], ["f"], ["f"]],
  ["a name after its whiteout comes back", "touch f", [{ path: ".wh.f" }, { path: "f" }], ["f"], ["f"]],
  [
    "a directory before its whiteout is opaque",
    "mkdir d; touch d/old",
    [{ path: "d/new" }, { path: ".wh.d" }],
    ["d", "d/.wh..wh..opq", "d/new"],
    ["d", "d/new"],
  ],
  [
    "a directory after its whiteout is opaque",
    "mkdir d; touch d/old",
    [{ path: ".wh.d" }, { path: "d/", type: "5" }, { path: "d/new" }],
    ["d", "d/.wh..wh..opq", "d/new"],
    ["d", "d/new"],
  ],
  [
    "an implied directory after its whiteout is opaque",
    "mkdir d; touch d/old",
    [{ path: ".wh.d" }, { path: "d/new" }],
    ["d", "d/.wh..wh..opq", "d/new"],
    ["d", "d/new"],
  ],
  [
    "a directory that replaces a file after a whiteout is opaque",
    "mkdir d; touch d/old",
    [{ path: ".wh.d" }, { path: "d" }, { path: "d/", type: "5" }],
    ["d", "d/.wh..wh..opq"],
    ["d"],
  ],
  [
    "an opaque directory shows nothing from below",
    "mkdir d; touch d/old",
    [{ path: "d/new" }, { path: "d/.wh..wh..opq" }],
    ["d", "d/.wh..wh..opq", "d/new"],
    ["d", "d/new"],
  ],
  ["a link joins a file below", "mkdir d; touch d/f", [{ path: "l", type: "1", link: "d/f" }], ["d", "d/f", "l"], [
    "d",
    "d/f",
    "l",
  ]],
];

for (const [name, script, items, stored, seen] of CASES) {
  testNeeding(NEEDS, `unpack() for a mount program: ${name}`, async () => {
    assertEquals(await overlaid(script, items), { stored, seen });
  });
}

const HIDDEN: readonly [name: string, script: string, items: readonly TarItem[]][] = [
  ["deletes itself", "touch f", [{ path: ".wh.f" }, { path: "l", type: "1", link: "f" }]],
  ["deletes the directory of itself", "mkdir d; touch d/f", [{ path: ".wh.d" }, { path: "l", type: "1", link: "d/f" }]],
  ["has in an opaque directory", "mkdir d; touch d/f", [
    { path: "d/.wh..wh..opq" },
    { path: "l", type: "1", link: "d/f" },
  ]],
  ["has below a marker", "touch f .wh.f", [{ path: "l", type: "1", link: "f" }]],
];

for (const [name, script, items] of HIDDEN) {
  Deno.test(`unpack() for a mount program makes no link to what the archive ${name}`, async () => {
    await using directory = await TempDir.make();
    const [lower, upper] = [await directory.mkdir("lower"), await directory.mkdir("upper")];
    await runOk("bash", ["-ec", script], { cwd: lower });
    await Deno.writeFile(directory.join("a.tar"), tarOf(items));
    const options = { target: "marked", lowerDirs: [lower] } as const;
    const error = assertThrows(() => unpackFile(directory.join("a.tar"), upper, options), StorageError);
    assertEquals(error.code, "invalid_archive");
  });
}
