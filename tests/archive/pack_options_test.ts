// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import type { PackOptions } from "../../lib/archive/pack.ts";
import { StorageError, type StorageErrorCode } from "../../lib/errors.ts";
import { packFile, unpackFile } from "./_engine.ts";
import { readArchive, type Seen } from "./_read_archive.ts";

const NEEDS = [needsRoot, ...["bash", "setfattr", "python3", "tar"].map(needsProgram)];

/** A directory that `script` filled. */
async function madeBy(script: string, directory: TempDir): Promise<string> {
  const tree = await directory.mkdir("tree");
  await Deno.chmod(tree, 0o755);
  await runOk("bash", ["-ec", script], { cwd: tree });
  return tree;
}

/** What Python makes of each entry of an archive, one object a member. */
async function members(archive: string): Promise<{ name: string; mtime: number; pax: Record<string, string> }[]> {
  const script = `
import json, sys, tarfile
archive = tarfile.open(sys.argv[1], encoding="latin1", errors="strict")
print(json.dumps([{"name": m.name, "mtime": m.mtime, "pax": m.pax_headers} for m in archive]))`;
  return JSON.parse((await runOk("python3", ["-c", script, archive])).stdout);
}

/** The entries that are no directories, as `path` or `path -> target`. */
function names(entries: readonly Seen[]): string[] {
  return entries.filter(({ type }) => type !== "5").map(({ path, link }) => link === "" ? path : `${path} -> ${link}`);
}

const MAPS: PackOptions = {
  idMaps: {
    uidMaps: [{ containerId: 0, hostId: 0, size: 100 }],
    gidMaps: [{ containerId: 0, hostId: 0, size: 100 }],
  },
};

/** Each makes one thing that cannot be archived, `d/bad`, beside others that can. */
const FAULTS: readonly {
  what: string;
  script: string;
  path: string;
  code: StorageErrorCode;
  reason: string;
  options?: PackOptions;
}[] = [
  {
    what: 'a file with "=" in the name of an attribute',
    script: "echo bad >d/bad; setfattr -n user.a=b -v x d/bad",
    path: "d/bad",
    code: "not_supported",
    reason: "user.a=b",
  },
  {
    what: 'a directory with "=" in the name of an attribute',
    script: "mkdir d/bad; echo lost >d/bad/inside; setfattr -n user.a=b -v x d/bad",
    path: "d/bad",
    code: "not_supported",
    reason: "user.a=b",
  },
  {
    what: 'a file whose name begins with ".wh."',
    script: "echo bad >d/.wh.bad",
    path: "d/.wh.bad",
    code: "not_supported",
    reason: ".wh.",
  },
  {
    what: "a file of an owner whom the id maps do not know",
    script: "echo bad >d/bad; chown 100:5 d/bad",
    path: "d/bad",
    code: "invalid_argument",
    reason: "100",
    options: MAPS,
  },
  {
    what: "a link of a group that the id maps do not know",
    script: "ln -s bad d/bad; chown -h 5:100 d/bad",
    path: "d/bad",
    code: "invalid_argument",
    reason: "100",
    options: MAPS,
  },
  {
    what: "a directory that overlayfs moved",
    script: "mkdir d/bad; setfattr -n trusted.overlay.redirect -v /elsewhere d/bad",
    path: "d/bad",
    code: "not_supported",
    reason: "redirect_dir",
  },
];

for (const { what, script, path, code, reason, options } of FAULTS) {
  const good = "mkdir d; echo a >a; echo b >d/b; echo z >d/z; echo y >y; ln d/b linked; ";

  testNeeding(NEEDS, `pack() fails for ${what}, and names it`, async () => {
    await using directory = await TempDir.make();
    const tree = await madeBy(good + script, directory);
    const error = assertThrows(() => packFile(tree, directory.join("a.tar"), options), StorageError);
    assertEquals(error.code, code, error.message);
    assertStringIncludes(error.message, `"${path}`);
    assertStringIncludes(error.message, reason);
  });

  testNeeding(NEEDS, `pack() with skipErrors leaves out ${what}, and only that`, async () => {
    await using directory = await TempDir.make();
    const tree = await madeBy(good + script, directory);
    const result = packFile(tree, directory.join("a.tar"), { ...options, skipErrors: true });
    assertEquals(result.skipped.map((skipped) => skipped.path), [path]);
    assertStringIncludes(result.skipped[0]!.reason, reason);
    unpackFile(directory.join("a.tar"), directory.join("copy"));
    await assertSameTree(directory.join("copy"), tree, {
      ignore: (name) => name === path,
      // The directory had one name more.
      withoutRoot: true,
    });
  });
}

testNeeding(NEEDS, "pack() of a skipped file's other name has the content", async () => {
  await using directory = await TempDir.make();
  const tree = await madeBy("mkdir d; echo content >d/.wh.a; ln d/.wh.a d/b; ln d/.wh.a z", directory);
  const result = packFile(tree, directory.join("a.tar"), { skipErrors: true });
  assertEquals(result.skipped.map(({ path }) => path), ["d/.wh.a"]);
  assertEquals(names(readArchive(await Deno.readFile(directory.join("a.tar")))), ["d/b", "z -> d/b"]);
  unpackFile(directory.join("a.tar"), directory.join("copy"));
  assertEquals(await Deno.readTextFile(directory.join("copy/z")), "content\n");
});

testNeeding(NEEDS, "pack() skips every name of a file that fails under each", async () => {
  await using directory = await TempDir.make();
  const tree = await madeBy("echo bad >a; ln a b; ln a c; setfattr -n user.a=b -v x a; echo good >d", directory);
  const result = packFile(tree, directory.join("a.tar"), { skipErrors: true });
  assertEquals(result.skipped.map(({ path }) => path), ["a", "b", "c"]);
  assertEquals(names(readArchive(await Deno.readFile(directory.join("a.tar")))), ["d"]);
});

testNeeding(NEEDS, "pack() with skipErrors is still aborted, and not one file long", async () => {
  await using directory = await TempDir.make();
  const tree = await madeBy("mkdir -p d/e; echo a >d/e/a; echo b >d/e/b", directory);
  let ticks = 0;
  const control = {
    tick(): void {
      if (++ticks > 1) throw new StorageError("aborted", "The operation was aborted");
    },
  };
  const packing = (): unknown => packFile(tree, directory.join("a.tar"), { skipErrors: true, control });
  assertEquals(assertThrows(packing, StorageError).code, "aborted");
});

const TIMES = "echo a >a; mkdir d; echo b >d/b; ln -s a l; mkfifo p; " +
  "touch -h -d '2001-02-03 04:05:06.987654321 UTC' l; touch -d '1969-12-31 23:59:58.25 UTC' a; " +
  "touch -d '1970-01-01 00:00:00.5 UTC' p; touch -d '2020-01-01 00:00:00.999999999 UTC' d/b; " +
  "touch -d '1902-01-01 00:00:00.75 UTC' d; touch -d '2001-01-01 00:00:00.1 UTC' .";

testNeeding(NEEDS, "pack() with whole seconds cuts times down, also before 1970", async () => {
  await using directory = await TempDir.make();
  const tree = await madeBy(TIMES, directory);
  packFile(tree, directory.join("a.tar"), { times: "seconds" });
  const found = await members(directory.join("a.tar"));
  const times = Object.fromEntries(found.map(({ name, mtime }) => [name, mtime]));
  const expected = { ".": 978307200, a: -2, d: -2145916800, "d/b": 1577836800, l: 981173106, p: 0 };
  assertEquals(times, expected);
  // Only what a header cannot say, a time before 1970, takes a record.
  assertEquals(found.filter(({ pax }) => "mtime" in pax).map(({ name }) => name), ["a", "d"]);
  unpackFile(directory.join("a.tar"), directory.join("copy"));
  const listed = (await runOk("find", [".", "-printf", "%p %T@\n"], { cwd: directory.join("copy") })).stdout;
  assertEquals(
    listed.trim().split("\n").sort(),
    Object.entries(expected).map(([name, time]) => `${name === "." ? "." : `./${name}`} ${time}.0000000000`).sort(),
  );
});

testNeeding(NEEDS, "pack() keeps times to the nanosecond unless told otherwise", async () => {
  await using directory = await TempDir.make();
  const tree = await madeBy(TIMES, directory);
  for (const options of [{}, { times: "full" }] as const) {
    packFile(tree, directory.join("a.tar"), options);
    await Deno.mkdir(directory.join("theirs"));
    await runOk("tar", ["-xpf", directory.join("a.tar")], { cwd: directory.join("theirs") });
    await assertSameTree(directory.join("theirs"), tree);
    await Deno.remove(directory.join("theirs"), { recursive: true });
  }
});

testNeeding(NEEDS, "pack() gives out attributes of the wanted namespaces only", async () => {
  await using directory = await TempDir.make();
  const tree = await madeBy(
    "echo f >f; mkdir d; ln -s f l; for n in f d; do setfattr -n user.a -v 1 $n; setfattr -n trusted.b -v 2 $n; done; " +
      "setfattr -h -n trusted.b -v 3 l; setfattr -n user.root -v 4 .; setfattr -n trusted.root -v 5 .; " +
      "setfattr -n security.capability -v 0x0000000200200000000000000000000000000000 f",
    directory,
  );
  const keysWith = async (options: PackOptions): Promise<Record<string, string[]>> => {
    packFile(tree, directory.join("a.tar"), options);
    const found = await members(directory.join("a.tar"));
    return Object.fromEntries(found.map(({ name, pax }) => [
      name,
      Object.keys(pax).filter((key) => key.startsWith("SCHILY.xattr.")).map((key) => key.slice(13)).sort(),
    ]));
  };
  const user = { ".": ["user.root"], d: ["user.a"], f: ["user.a"], l: [] };
  const trusted = { ".": ["trusted.root"], d: ["trusted.b"], f: ["trusted.b"], l: ["trusted.b"] };
  const none = { ".": [], d: [], f: [], l: [] };
  assertEquals(await keysWith({ xattrs: ["user"] }), user);
  assertEquals(await keysWith({ xattrs: ["trusted"] }), trusted);
  assertEquals(await keysWith({ xattrs: ["security"] }), { ...none, f: ["security.capability"] });
  assertEquals(await keysWith({ xattrs: [] }), none);
  const all = await keysWith({});
  assertEquals(all["f"], ["security.capability", "trusted.b", "user.a"]);
  assertEquals(all["."], ["trusted.root", "user.root"]);
});

testNeeding(NEEDS, "pack() finds a directory opaque also where no attribute goes out", async () => {
  await using directory = await TempDir.make();
  const tree = await madeBy("mkdir d; setfattr -n trusted.overlay.opaque -v y d", directory);
  packFile(tree, directory.join("a.tar"), { xattrs: [] });
  assertEquals(names(readArchive(await Deno.readFile(directory.join("a.tar")))), ["d/.wh..wh..opq"]);
});

testNeeding(NEEDS, "pack() makes the same bytes of a tree made in another order on another file system", async () => {
  await using directory = await TempDir.make();
  const make = `
    mkdir -p d/e; touch d/B d/a d/b; echo content >d/e/x; ln d/e/x d/hard; ln -s e d/l; mkfifo d/p; mknod d/n c 1 3
    for i in $(seq 200); do echo $i >d/file-$i; done
    setfattr -n trusted.b -v 2 d/a; setfattr -n trusted.a -v 1 d/a; setfattr -n trusted.c -v 3 d/a`;
  const other = `
    mkdir d; for i in $(seq 200 -1 1); do echo $i >d/file-$i; done
    mknod d/n c 1 3; echo content >d/hard; mkdir d/e; touch d/gone; ln d/hard d/e/x; mkfifo d/p; ln -s e d/l
    touch d/b d/a d/B; rm d/gone; for n in c a b; do setfattr -n trusted.$n -v $(echo $n | tr abc 123) d/a; done`;
  const times = "; find . -exec touch -h -d '2001-02-03 04:05:06.123456789 UTC' {} +";
  const tree = await madeBy(make + times, directory);
  const tmpfs = await directory.mkdir("tmpfs");
  await runOk("mount", ["-t", "tmpfs", "tmpfs", tmpfs]);
  await Deno.mkdir(`${tmpfs}/tree`);
  await Deno.chmod(`${tmpfs}/tree`, 0o755);
  await runOk("bash", ["-ec", other + times], { cwd: `${tmpfs}/tree` });
  const unsorted = await Promise.all(
    [tree, `${tmpfs}/tree`].map(async (path) => (await runOk("ls", ["-fR", "."], { cwd: path })).stdout),
  );
  assert(unsorted[0] !== unsorted[1], "the two file systems list the names in the same order: the test shows nothing");
  packFile(tree, directory.join("1.tar"));
  packFile(`${tmpfs}/tree`, directory.join("2.tar"));
  assertEquals(await Deno.readFile(directory.join("1.tar")), await Deno.readFile(directory.join("2.tar")));
});

testNeeding(NEEDS, "pack() of an empty directory is 1024 zero bytes with any options", async () => {
  await using directory = await TempDir.make();
  const tree = await madeBy("setfattr -n user.a -v 1 .", directory);
  for (const options of [{ times: "seconds", xattrs: ["trusted"], skipErrors: true, digest: true }] as const) {
    const result = packFile(tree, directory.join("a.tar"), options);
    assertEquals(await Deno.readFile(directory.join("a.tar")), new Uint8Array(1024));
    assertEquals([result.entries, result.bytes, result.skipped.length], [0, 1024, 0]);
  }
});

testNeeding(
  NEEDS,
  "names of attributes that are not UTF-8 come through an archive, and GNU tar reads them",
  async () => {
    await using directory = await TempDir.make();
    const tree = await madeBy("echo f >f; mkdir d; ln -s f l", directory);
    const set = `
import os
for name in (b"user.\\xff\\xc3", b"user.\\xc3\\xa4", b"user.a b"):
    for path in ("f", "d"): os.setxattr(path, name, b"\\x00\\xfe" + name)
os.setxattr("l", b"trusted.\\xff\\xc3", b"l", follow_symlinks=False)`;
    await runOk("python3", ["-c", set], { cwd: tree });
    packFile(tree, directory.join("a.tar"));
    unpackFile(directory.join("a.tar"), directory.join("copy"));
    await Deno.mkdir(directory.join("theirs"));
    const all = ["--xattrs", "--xattrs-include=*"];
    await runOk("tar", [...all, "-xpf", directory.join("a.tar")], { cwd: directory.join("theirs") });
    const dump = `
import os
for path in ("f", "d", "l"):
    names = os.listxattr(path, follow_symlinks=False)
    print(path, sorted((os.fsencode(n), os.getxattr(path, n, follow_symlinks=False)) for n in names))`;
    const [original, copy, theirs] = await Promise.all(
      ["tree", "copy", "theirs"].map(async (name) =>
        (await runOk("python3", ["-c", dump], { cwd: directory.join(name) })).stdout
      ),
    );
    assertStringIncludes(original!, "\\xff\\xc3");
    assertEquals(copy, original);
    assertEquals(theirs, original);
  },
);

testNeeding(
  NEEDS,
  "a part of a directory is packed without the directory, one name under another one if wanted",
  async () => {
    await using directory = await TempDir.make();
    const tree = await madeBy("mkdir -p d/e; echo 1 >d/f; ln d/f d/e/g; mkfifo p; ln -s d l; chmod 700 .", directory);
    const archive = directory.join("part.tar");
    const packed = async (part: PackOptions["part"]): Promise<string> => {
      packFile(tree, archive, { part });
      return (await runOk("tar", ["-tf", archive])).stdout;
    };
    assertEquals(await packed("content"), "d/\nd/e/\nd/e/g\nd/f\nl\np\n");
    assertEquals(await packed({ name: "d", as: "x" }), "x/\nx/e/\nx/e/g\nx/f\n");
    for (const name of ["l", "p"]) assertEquals(await packed({ name, as: "x" }), "x\n");
    assertThrows(() => packFile(tree, archive, { part: { name: "none", as: "x" } }), StorageError, "x");
  },
);
