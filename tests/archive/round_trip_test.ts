// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run, runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { packFile, unpackFile } from "./_engine.ts";

/** A tree with everything that a root file system has, made by the programs that make such things. */
async function buildTree(root: string): Promise<void> {
  await Deno.mkdir(root);
  const script = `
    set -e
    mkdir -p etc/deep/er usr/bin empty 'with space' "$(printf 'l%.0s' $(seq 100))" "$(printf 'n%.0s' $(seq 200))/$(printf 'm%.0s' $(seq 200))"
    echo content >etc/file; ln etc/file etc/second; ln etc/file usr/third; ln -s ../etc/file usr/symlink; ln -s /abs/olute empty/dangling
    ln -s "$(printf 't%.0s' $(seq 150))" usr/long-target; ln usr/long-target usr/linked-symlink
    head -c 300000 /dev/urandom >usr/bin/big; : >usr/bin/nothing; head -c 512 /dev/zero >usr/bin/one-block
    echo s >usr/bin/setuid; chown 1000:1001 usr/bin/setuid; chmod 6755 usr/bin/setuid
    mkdir sticky; chmod 1777 sticky; mkdir setgid; chgrp 50 setgid; chmod 2775 setgid; echo x >setgid/inside; chgrp 0 setgid/inside
    echo far >usr/far; chown 4000000:3000000 usr/far
    mkfifo pipe; mknod null c 1 3; mknod disk b 8 1; chmod 640 null
    echo q >"$(printf 'not-utf8-\\377\\200')"; echo ü >"ümläut"
    echo n >"$(printf 'n%.0s' $(seq 200))/$(printf 'm%.0s' $(seq 200))/leaf"
    echo l >"$(printf 'x%.0s' $(seq 255))"
    setfattr -n user.note -v 0x00ff0a3d00 etc/deep; setfattr -n user.empty etc/file; setfattr -n trusted.mine -v mine usr/symlink || true
    setcap cap_net_raw+ep usr/bin/big
    setfacl -m u:1234:rw etc/file; setfacl -d -m g:55:rx etc/deep; echo late >etc/deep/er/after-acl; setfacl -b etc/deep/er/after-acl
    chmod 000 etc/deep/er
    touch -h -d '2001-02-03 04:05:06.123456789' usr/symlink etc/deep empty usr/bin/big
    touch -d '1969-12-31 23:59:58.25 UTC' usr/bin/nothing
    touch -d '1999-01-01 UTC' usr/bin/one-block .
  `;
  await runOk("bash", ["-c", script], { cwd: root });
}

const NEEDS = [needsRoot, ...["tar", "setfattr", "setfacl", "setcap", "bash"].map(needsProgram)];
const TAR_ALL = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls"];

testNeeding(NEEDS, "unpack() makes of GNU tar's pax archive the tree that was packed", async () => {
  await using directory = await TempDir.make();
  const [tree, archive] = [directory.join("tree"), directory.join("a.tar")];
  await buildTree(tree);
  await runOk("tar", ["-C", tree, "--format=pax", "--xattrs", "--xattrs-include=*", "-cf", archive, "."]);
  const result = unpackFile(archive, directory.join("copy"));
  assert(result.entries > 30);
  await assertSameTree(tree, directory.join("copy"));
});

testNeeding(NEEDS, "unpack() reads the GNU format, with long names, as GNU tar does", async () => {
  await using directory = await TempDir.make();
  const [tree, archive] = [directory.join("tree"), directory.join("a.tar")];
  await buildTree(tree);
  await runOk("tar", ["-C", tree, "--format=gnu", "-cf", archive, "."]);
  unpackFile(archive, directory.join("ours"));
  await Deno.mkdir(directory.join("theirs"));
  await runOk("tar", ["-C", directory.join("theirs"), "-xpf", archive, "--same-owner", "--numeric-owner"]);
  await assertSameTree(directory.join("theirs"), directory.join("ours"));
});

testNeeding(NEEDS, "pack() and unpack() are each other's inverse, and the bytes are the same each time", async () => {
  await using directory = await TempDir.make();
  const [tree, first, second] = [directory.join("tree"), directory.join("1.tar"), directory.join("2.tar")];
  await buildTree(tree);
  packFile(tree, first);
  unpackFile(first, directory.join("copy"));
  await assertSameTree(tree, directory.join("copy"));
  packFile(directory.join("copy"), second);
  assertEquals(await Deno.readFile(first), await Deno.readFile(second));
});

testNeeding(NEEDS, "pack() writes what GNU tar finds no difference in, and extracts to the same tree", async () => {
  await using directory = await TempDir.make();
  const [tree, archive, theirs] = [directory.join("tree"), directory.join("a.tar"), directory.join("theirs")];
  await buildTree(tree);
  packFile(tree, archive);
  const { code, stdout, stderr } = await run("tar", ["-C", tree, ...TAR_ALL, "-df", archive]);
  assertEquals([code, stdout, stderr], [0, "", ""]);
  await Deno.mkdir(theirs);
  // tar(1) restores default ACLs too early when it is told to; the attributes themselves carry them as well.
  await runOk("tar", ["-C", theirs, "-xpf", archive, "--same-owner", "--numeric-owner"]);
  await assertSameTree(tree, theirs, { ignore: (path) => path.startsWith("etc") || path.startsWith("usr") });
});

testNeeding(
  [...NEEDS, needsProgram("bsdtar"), needsProgram("python3")],
  "pack() writes what bsdtar and Python read",
  async () => {
    await using directory = await TempDir.make();
    const [tree, archive] = [directory.join("tree"), directory.join("a.tar")];
    await buildTree(tree);
    const { entries } = packFile(tree, archive);
    const listed = await runOk("bsdtar", ["-tf", archive], { env: { LC_ALL: "C.UTF-8" } });
    assertEquals(listed.stdout.trimEnd().split("\n").length, entries);
    const script = "import sys, tarfile; print(len(tarfile.open(sys.argv[1]).getmembers()))";
    assertEquals((await runOk("python3", ["-c", script, archive])).stdout.trim(), String(entries));
  },
);

testNeeding([needsRoot], "pack() of an untouched directory is exactly 1024 zero bytes", async () => {
  await using directory = await TempDir.make();
  await Deno.mkdir(directory.join("empty"));
  await Deno.chmod(directory.join("empty"), 0o755);
  packFile(directory.join("empty"), directory.join("a.tar"));
  assertEquals(await Deno.readFile(directory.join("a.tar")), new Uint8Array(1024));
});
