// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree, readTree } from "../_helpers/tree.ts";
import { unpackFile } from "./_engine.ts";

const NEEDS = [needsRoot, ...["tar", "bsdtar", "python3", "bash", "setfattr", "setfacl"].map(needsProgram)];

/** What the oldest format can say as well, but for `newer`. */
const PLAIN = `
  set -e
  mkdir -p dir/sub empty; echo content >dir/file; : >dir/sub/nothing; head -c 70000 /dev/urandom >big
  ln dir/file second; ln -s ../dir/file empty/symlink; chmod 6750 big; chmod 1777 empty
  chown -h 1000:1001 dir/sub/nothing empty/symlink
`;
const NEWER = `
  mkfifo fifo; mknod null c 1 3; mknod disk b 8 17
  mkdir -p "$(printf 'd%.0s' $(seq 90))/$(printf 'e%.0s' $(seq 60))"
  echo n >"$(printf 'd%.0s' $(seq 90))/$(printf 'e%.0s' $(seq 60))/$(printf 'f%.0s' $(seq 90))"
`;
const NEWEST = `
  echo l >"$(printf 'x%.0s' $(seq 255))"; ln -s "$(printf 't%.0s' $(seq 200))" long; echo far >far; chown 4000000:3000000 far
  echo q >"$(printf 'not-utf8-\\377')"
`;
const OLD_TIMES = "find . -depth -exec touch -h -d '2001-02-03 04:05:06 UTC' {} +";

function python(format: string): string[] {
  const script = "import sys, tarfile\n" +
    `t = tarfile.open(sys.argv[2], 'w', format=tarfile.${format}_FORMAT)\n` +
    "t.add(sys.argv[1], '.')\n" +
    "t.close()\n";
  return ["python3", "-c", script];
}

const WRITERS: readonly [name: string, command: readonly string[], tree: string][] = [
  ["tar --format=v7", ["tar", "--format=v7"], PLAIN],
  ["tar --format=oldgnu", ["tar", "--format=oldgnu"], PLAIN + NEWER + NEWEST],
  ["tar --format=gnu", ["tar", "--format=gnu"], PLAIN + NEWER + NEWEST],
  ["tar --format=gnu --label", ["tar", "--format=gnu", "--label=volume"], PLAIN],
  ["tar --format=pax --label", ["tar", "--format=pax", "--label=volume"], PLAIN],
  ["tar --format=gnu --incremental", ["tar", "--format=gnu", "--incremental"], PLAIN],
  ["tar --format=ustar", ["tar", "--format=ustar"], PLAIN + NEWER],
  ["tar --format=pax", ["tar", "--format=pax"], PLAIN + NEWER + NEWEST],
  ["bsdtar --format=v7", ["bsdtar", "--format=v7"], PLAIN],
  ["bsdtar --format=gnutar", ["bsdtar", "--format=gnutar"], PLAIN + NEWER + NEWEST],
  ["bsdtar --format=ustar", ["bsdtar", "--format=ustar"], PLAIN + NEWER],
  ["bsdtar --format=pax", ["bsdtar", "--format=pax"], PLAIN + NEWER + NEWEST],
  ["Python's USTAR_FORMAT", python("USTAR"), PLAIN + NEWER],
  ["Python's GNU_FORMAT", python("GNU"), PLAIN + NEWER + NEWEST],
  ["Python's PAX_FORMAT", python("PAX"), PLAIN + NEWER + NEWEST],
];

async function write(command: readonly string[], tree: string, archive: string): Promise<void> {
  const [program, ...args] = command;
  const rest = program === "python3" ? [tree, archive] : ["-C", tree, "-cf", archive, "."];
  await runOk(program!, [...args, ...rest]);
}

for (const [name, command, script] of WRITERS) {
  testNeeding(NEEDS, `unpack() makes of ${name} the tree that was packed, as GNU tar does`, async () => {
    await using directory = await TempDir.make();
    const [tree, archive] = [await directory.mkdir("tree"), directory.join("a.tar")];
    await runOk("bash", ["-c", `${script}\n${OLD_TIMES}`], { cwd: tree });
    await write(command, tree, archive);
    unpackFile(archive, directory.join("ours"));
    await assertSameTree(directory.join("ours"), tree);
    const theirs = await directory.mkdir("theirs");
    await runOk("tar", ["-C", theirs, "-xpf", archive, "--same-owner", "--numeric-owner"]);
    // GNU tar forgets a directory's time where it makes a hard link in it late.
    const withoutTimes = async (path: string): Promise<unknown[]> =>
      (await readTree(path)).map((entry) => ({ ...entry, mtime: entry.type === "d" ? "" : entry.mtime }));
    assertEquals(await withoutTimes(directory.join("ours")), await withoutTimes(theirs));
  });
}

/** Users whom the host has no names for, and one whom it has. */
const WITH_ATTRIBUTES = `
  set -e
  mkdir d d/sub; echo x >f; echo y >d/named; ln -s f link
  setfattr -n user.note -v 0x00ff0a3d00 f; setfattr -n user.empty f; setfattr -n user.dir -v 0x41 d
  setfattr -n trusted.both -v text f; setfattr -n 'user.with=sign%41' -v v f
  setfattr -n trusted.link -v l -h link
  setfacl -m u:54321:rw,g:54322:r f; setfacl -m u:54321:rwx d/sub
  setfacl -d -m u:54323:rwx,g:54322:r-x d
`;
const NAMED = "setfacl -m u:daemon:r,g:54322:rw d/named";

const WITH_ALL: readonly (readonly string[])[] = [
  ["tar", "--format=pax", "--acls", "--xattrs", "--xattrs-include=*"],
  ["bsdtar", "--format=pax", "--acls", "--xattrs"],
  ["bsdtar", "--format=pax", "--acls", "--xattrs", "--options=xattrheader=ALL"],
  ["bsdtar", "--format=pax", "--acls", "--xattrs", "--options=xattrheader=SCHILY"],
  ["bsdtar", "--format=pax", "--acls", "--xattrs", "--options=xattrheader=LIBARCHIVE"],
];

for (const command of WITH_ALL) {
  // Alone, bsdtar's SCHILY records do not tell an encoded name from a plain one.
  const isAmbiguous = command.at(-1) === "--options=xattrheader=SCHILY";
  testNeeding(NEEDS, `unpack() takes attributes and ACLs from ${command.join(" ")}`, async () => {
    await using directory = await TempDir.make();
    const [tree, archive] = [await directory.mkdir("tree"), directory.join("a.tar")];
    const script = `${WITH_ATTRIBUTES}\n${NAMED}\n${isAmbiguous ? "setfattr -x user.with=sign%41 f" : ""}`;
    await runOk("bash", ["-c", script], { cwd: tree });
    await write(command, tree, archive);
    const { droppedXattrs } = unpackFile(archive, directory.join("ours"));
    assertEquals(droppedXattrs, []);
    await assertSameTree(directory.join("ours"), tree);
  });
}

testNeeding(NEEDS, "unpack() takes ACLs of numbers from tar --acls, which writes text alone", async () => {
  await using directory = await TempDir.make();
  const [tree, archive] = [await directory.mkdir("tree"), directory.join("a.tar")];
  await runOk("bash", ["-c", WITH_ATTRIBUTES], { cwd: tree });
  await write(["tar", "--format=pax", "--acls", "--no-xattrs"], tree, archive);
  assertEquals(unpackFile(archive, directory.join("ours")).droppedXattrs, []);
  const acls = async (path: string): Promise<string> =>
    (await runOk("getfacl", ["-R", "-n", "-p", "."], { cwd: path })).stdout;
  assertEquals(await acls(directory.join("ours")), await acls(tree));
  assert((await acls(tree)).includes("default:user:54323:rwx"));
});

testNeeding(NEEDS, "unpack() reports an ACL that tells users by their names alone", async () => {
  await using directory = await TempDir.make();
  const [tree, archive] = [await directory.mkdir("tree"), directory.join("a.tar")];
  await runOk("bash", ["-c", `mkdir d; echo x >d/named; ${NAMED}`], { cwd: tree });
  await write(["tar", "--format=pax", "--acls", "--no-xattrs"], tree, archive);
  assertEquals(unpackFile(archive, directory.join("ours")).droppedXattrs, [
    { name: "SCHILY.acl.access", reason: "not_supported" },
  ]);
  const named = (await readTree(directory.join("ours"))).find(({ path }) => path === "d/named");
  assertEquals(named?.xattrs, []);
});
