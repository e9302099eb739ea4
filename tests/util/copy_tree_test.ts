// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import { copyTree, type CopyTreeMode } from "../../lib/util/copy_tree.ts";
import { DirectControl } from "../../lib/util/work_control.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsProgram, needsRoot, type Requirement, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";

const TREE = `
  mkdir -p tree/dir/deep tree/empty; cd tree
  echo content >file; chmod 4755 file; echo x >dir/other; chown 7:8 dir/other; ln dir/other dir/deep/same
  printf x >"$(printf 'bytes\\377')"
  ln -s ../nowhere dir/link; chown -h 3:4 dir/link; ln dir/link link; mkfifo -m 622 pipe; mknod null c 1 3; mknod disk b 7 200
  mknod gone c 0 0; ln gone dir/gone
  setfattr -n trusted.overlay.opaque -v y dir; setfattr -n user.note -v a file; setfattr -h -n trusted.t -v b dir/link
  setfacl -m u:5:rw file; setfacl -d -m u:6:rwx dir; setfacl -m u:6:rwx dir; setcap cap_net_raw+ep dir/other
  truncate -s 300M sparse; printf end | dd of=sparse conv=notrunc bs=1 seek=200000000 status=none; truncate -s 5k hole
  chown 9:10 empty; chmod 1777 empty
  find . -exec touch -h -d @1000000000.123456789 {} +`;

const NEEDS: Requirement[] = [
  needsRoot,
  ...["setfattr", "setfacl", "setcap"].map((program) => needsProgram(program)),
];

/** Copies `tree` of the directory to `copy`. */
async function copy(directory: TempDir, mode: CopyTreeMode, control?: DirectControl): Promise<void> {
  await directory.mkdir("copy");
  using from = new Fd(openat(AT_FDCWD, directory.join("tree"), O_RDONLY | O_DIRECTORY));
  using to = new Fd(openat(AT_FDCWD, directory.join("copy"), O_RDONLY | O_DIRECTORY));
  copyTree(from.fd, to.fd, mode, control);
}

for (const mode of ["copy", "link"] as const) {
  testNeeding(NEEDS, `copyTree() by ${mode} keeps all that a tree has, marks of overlayfs included`, async () => {
    await using directory = await TempDir.make();
    await runOk("bash", ["-ec", TREE], { cwd: directory.path });
    const before = Deno.umask(0o077);
    try {
      await copy(directory, mode);
    } finally {
      Deno.umask(before);
    }
    await assertSameTree(directory.join("tree"), directory.join("copy"));
    // The listing leaves the marks out.
    const { stdout } = await runOk("getfattr", ["--only-values", "-n", "trusted.overlay.opaque", "copy/dir"], {
      cwd: directory.path,
    });
    assertEquals(stdout, "y");
  });
}

testNeeding(NEEDS, "copyTree() keeps holes, and makes files of its own", async () => {
  await using directory = await TempDir.make();
  await runOk("bash", ["-ec", TREE], { cwd: directory.path });
  await copy(directory, "copy");
  assert((await Deno.stat(directory.join("copy/sparse"))).blocks! < 1000);
  await Deno.writeTextFile(directory.join("copy/file"), "changed");
  assertEquals(await Deno.readTextFile(directory.join("tree/file")), "content\n");
});

testNeeding([needsRoot], "copyTree() by link takes no file but the directories", async () => {
  await using directory = await TempDir.make();
  await runOk("bash", ["-ec", "mkdir -p tree/dir; echo x >tree/dir/file; ln -s x tree/link"], { cwd: directory.path });
  await copy(directory, "link");
  for (const name of ["dir/file", "link"]) {
    const [tree, linked] = [
      await Deno.lstat(directory.join("tree", name)),
      await Deno.lstat(directory.join("copy", name)),
    ];
    assertEquals(linked.ino, tree.ino, name);
  }
});

testNeeding([needsRoot], "copyTree() copies a file that can take no further name, once for all its names", async () => {
  await using directory = await TempDir.make();
  // ext4 allows 65000 names.
  const script = `mkdir tree more; echo x >tree/first; ln tree/first tree/second
    python3 - <<'EOF'
import errno, os
try:
    for i in range(140000): os.link("tree/first", f"more/{i}")
    print("unlimited")
except OSError as e:
    assert e.errno == errno.EMLINK, e
EOF`;
  const { stdout } = await runOk("bash", ["-ec", script], { cwd: directory.path });
  await copy(directory, "link");
  await assertSameTree(directory.join("tree"), directory.join("copy"), { withoutRoot: true });
  const [tree, first, second] = await Promise.all(
    ["tree/first", "copy/first", "copy/second"].map((name) => Deno.stat(directory.join(name))),
  );
  assertEquals(first!.ino, second!.ino);
  if (stdout === "") assert(first!.ino !== tree!.ino);
});

testNeeding([needsRoot], "copyTree() leaves sockets behind", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("tree");
  using _listener = Deno.listen({ transport: "unix", path: directory.join("tree/socket") });
  for (const mode of ["copy", "link"] as const) {
    await copy(directory, mode);
    assertEquals(await namesIn(directory.join("copy")), []);
    await Deno.remove(directory.join("copy"), { recursive: true });
  }
});

Deno.test("copyTree() ends when it is told to", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("tree/dir");
  const aborted = new DirectControl(AbortSignal.abort(), undefined);
  await assertFails(copy(directory, "copy", aborted), "aborted");
});
