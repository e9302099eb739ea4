// SPDX-License-Identifier: Apache-2.0

/**
 * Changes found from the upper directory alone, in the three cases that the drivers of 2017 and 2018 told wrong. What the
 * kernel makes of an operation on a real mount is compared with what it shows.
 */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { changes } from "../../lib/archive/changes.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const LOWER = `
  mkdir -p lower/dir/sub middle/dir
  echo 1 >lower/dir/one
  echo 2 >lower/dir/sub/two
  echo 3 >middle/dir/three
  echo 4 >lower/file
`;

/** Runs `script` in an overlay of two lower layers; lines as `docker diff` has them. */
async function changesBy(script: string): Promise<string[]> {
  await using directory = await TempDir.make();
  const mounted = `
    mkdir upper work merged
    mount -t overlay -o index=off,redirect_dir=off,metacopy=off,lowerdir=middle:lower,upperdir=upper,workdir=work none merged
    (cd merged; ${script})
    umount merged`;
  await runOk("sh", ["-ec", LOWER + mounted], { cwd: directory.path });
  const lowerDirs = [directory.join("middle"), directory.join("lower")];
  return changes(directory.join("upper"), lowerDirs).map(({ path, kind }) => `${kind} ${path}`);
}

const CASES: readonly [name: string, script: string, expected: string[]][] = [
  [
    "a directory that was emptied and filled again hides what the layers below have",
    "rm -r dir; mkdir dir; echo >dir/new",
    [
      "modify /dir",
      "add /dir/new",
      "delete /dir/one",
      "delete /dir/sub",
      "delete /dir/three",
    ],
  ],
  ["a directory made again as it was lists only what is gone", "rm -r dir; mkdir -p dir/sub; touch -r . dir dir/sub", [
    "modify /dir",
    "delete /dir/one",
    "modify /dir/sub",
    "delete /dir/sub/two",
    "delete /dir/three",
  ]],
  [
    "what comes back in it under its old name counts by what it is",
    "rm -r dir; mkdir dir; mkdir dir/one; echo >dir/sub",
    [
      "modify /dir",
      "modify /dir/one",
      "modify /dir/sub",
      "delete /dir/three",
    ],
  ],
  ["a file that became a directory is modified, and what is in it added", "rm file; mkdir file; echo >file/in", [
    "modify /file",
    "add /file/in",
  ]],
  ["a directory that became a file is modified, and nothing in it listed", "rm -r dir; echo >dir", ["modify /dir"]],
  ["a directory of which the owner alone changed is modified", "chown 7 dir", ["modify /dir"]],
  ["a directory of which the group alone changed is modified", "chgrp 8 dir/sub", ["modify /dir", "modify /dir/sub"]],
  ["a directory of which the mode alone changed is modified", "chmod 700 dir", ["modify /dir"]],
  ["a directory that was only touched is none", "touch -d @1 dir; chmod 755 dir", []],
];

for (const [name, script, expected] of CASES) {
  testNeeding([needsRoot, needsOverlay], `changes(): ${name}`, async () => {
    assertEquals(await changesBy(script), expected);
  });
}

testNeeding(
  [needsRoot],
  "changes() tells on request what paths are, hard links once, and never what lies outside",
  async () => {
    await using directory = await TempDir.make();
    const script = `
    mkdir -p lower/dir upper/dir upper/new; echo 1 >lower/dir/one; echo 2 >lower/gone
    echo 12345 >upper/new/file; ln upper/new/file upper/new/name; ln -s /etc/passwd upper/dir/link
    mkfifo upper/new/pipe; mknod upper/new/device c 1 3; mknod upper/gone c 0 0
    touch "upper/new/$(printf '\\377')"; ln -s /etc upper/outside`;
    await runOk("sh", ["-ec", script], { cwd: directory.path });
    const list = changes(directory.join("upper"), [directory.join("lower")], { details: true });
    assertEquals(list.map(({ path, kind, type, sizeBytes }) => `${kind} ${path} ${type} ${sizeBytes}`), [
      "modify /dir directory 0",
      "add /dir/link symlink 11",
      "delete /gone undefined undefined",
      "add /new directory 0",
      "add /new/device device 0",
      "add /new/file file 6",
      "add /new/name file 0",
      "add /new/pipe fifo 0",
      "add /new/\ufffd file 0",
      "add /outside symlink 4",
    ]);
  },
);
