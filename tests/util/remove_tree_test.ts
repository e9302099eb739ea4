// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { SyscallError } from "../../ffi/errno.ts";
import { AT_FDCWD, Fd, mkdirat, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import { removeSmallTree, removeTree } from "../../lib/util/remove_tree.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

function remove(directory: string, name: string): void {
  using parent = new Fd(openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY));
  removeTree(parent.fd, name);
}

Deno.test("removeTree() removes everything, and follows no link", async () => {
  await using directory = await TempDir.make();
  const script =
    `mkdir -p keep tree/a/b/c; echo x >keep/file; ln -s ../keep tree/link; ln -s ../../keep/file tree/a/file
    mkfifo tree/pipe; for i in $(seq 2000); do : >tree/a/b/$i; done; touch "$(printf 'tree/\\377')"`;
  await runOk("bash", ["-ec", script], { cwd: directory.path });
  remove(directory.path, "tree");
  remove(directory.path, "tree");
  assertEquals(await namesIn(directory.path), ["keep"]);
  assertEquals(await namesIn(directory.join("keep")), ["file"]);
  await Deno.symlink("keep", directory.join("link"));
  remove(directory.path, "link");
  assertEquals(await namesIn(directory.path), ["keep"]);
});

Deno.test("removeTree() removes what is nested 5000 levels deep", async () => {
  await using directory = await TempDir.make();
  let parent = new Fd(openat(AT_FDCWD, directory.path, O_RDONLY | O_DIRECTORY));
  for (let depth = 0; depth < 5000; depth++) {
    using above = parent;
    mkdirat(above.fd, "d", 0o755);
    parent = new Fd(openat(above.fd, "d", O_RDONLY | O_DIRECTORY));
  }
  parent[Symbol.dispose]();
  remove(directory.path, "d");
  assertEquals(await namesIn(directory.path), []);
});

testNeeding([needsRoot], "removeTree() does not enter a file system that is mounted below", async () => {
  await using directory = await TempDir.make();
  const mounted = await directory.mkdir("tree/deep/mounted");
  await runOk("mount", ["-t", "tmpfs", "tmpfs", mounted]);
  await Deno.writeTextFile(`${mounted}/precious`, "x");
  const error = assertThrows(() => remove(directory.path, "tree"), SyscallError);
  assert(["EBUSY", "EXDEV"].includes(error.code), error.code);
  assertEquals(await namesIn(mounted), ["precious"]);
});

Deno.test("removeTree() of a tree that others remove at the same time succeeds for all", async () => {
  await using directory = await TempDir.make();
  await runOk("bash", ["-ec", "mkdir -p tree/{1..40}/{1..20}/deep"], { cwd: directory.path });
  const script = `import { removeTree } from "${new URL("../../lib/util/remove_tree.ts", import.meta.url)}";
    import { AT_FDCWD, openat } from "${new URL("../../ffi/file.ts", import.meta.url)}";
    const fd = openat(AT_FDCWD, ${JSON.stringify(directory.path)}, 0);
    await Deno.stdout.write(new Uint8Array(1));
    await Deno.stdin.read(new Uint8Array(1));
    removeTree(fd, "tree");`;
  await Deno.writeTextFile(directory.join("remove.ts"), script);
  const args = ["run", "--no-lock", "--allow-all", directory.join("remove.ts")];
  const removers = [1, 2, 3].map(() =>
    new Deno.Command(Deno.execPath(), { args, stdin: "piped", stdout: "piped" }).spawn()
  );
  const ready = removers.map(({ stdout }) => stdout.getReader());
  for (const reader of ready) await reader.read();
  await Promise.all(removers.map(({ stdin }) => stdin.close()));
  for (const reader of ready) await reader.cancel();
  assertEquals((await Promise.all(removers.map(({ status }) => status))).map(({ code }) => code), [0, 0, 0]);
  assertEquals(await namesIn(directory.path), ["remove.ts"]);
});

Deno.test("removeSmallTree() removes few names and small files, and tells of what is left", async () => {
  await using directory = await TempDir.make();
  const script = `mkdir -p few/a/b many/a large outside; echo x >few/a/b/file; ln -s ../../outside few/link
    for i in $(seq 9); do : >outside/$i; : >many/a/$i; done; head -c 100000 /dev/zero >large/file; : >file`;
  await runOk("bash", ["-ec", script], { cwd: directory.path });
  using parent = new Fd(openat(AT_FDCWD, directory.path, O_RDONLY | O_DIRECTORY));
  const remove = (name: string): boolean => removeSmallTree(parent.fd, name, 4);
  assertEquals(["few", "many", "large", "file", "none"].map(remove), [true, false, false, false, false]);
  assertEquals(await namesIn(directory.path), ["file", "large", "many", "outside"]);
  assertEquals(await namesIn(directory.join("large")), ["file"]);
  assertEquals((await namesIn(directory.join("outside"))).length, 9);
  assert((await namesIn(directory.join("many/a"))).length >= 9 - 4);
});
