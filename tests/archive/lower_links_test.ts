// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { AT_FDCWD, Fd, O_RDONLY, openat } from "../../ffi/file.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { StorageError } from "../../lib/errors.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree, listTree, readTree } from "../_helpers/tree.ts";
import { unpackFile } from "./_engine.ts";
import { type TarItem, tarOf } from "./_tar_of.ts";

const NEEDS = [needsRoot, ...["bash", "setfattr", "setfacl", "setcap"].map(needsProgram)];

/** Unpacks `items` over the layers that the scripts fill, uppermost first; the upper directory. */
async function over(directory: TempDir, scripts: readonly string[], items: readonly TarItem[]): Promise<string> {
  const lowerDirs: string[] = [];
  for (const [i, script] of scripts.entries()) {
    const lower = await directory.mkdir(`lower-${i}`);
    await runOk("bash", ["-ec", script], { cwd: lower });
    lowerDirs.push(lower);
  }
  await Deno.writeFile(directory.join("a.tar"), tarOf(items));
  unpackFile(directory.join("a.tar"), directory.join("upper"), { lowerDirs });
  return directory.join("upper");
}

async function failureOf(scripts: readonly string[], items: readonly TarItem[]): Promise<StorageError> {
  await using directory = await TempDir.make();
  const upper = await directory.mkdir("upper");
  try {
    await over(directory, scripts, items);
  } catch (error) {
    if (error instanceof StorageError) return error;
    throw error;
  }
  throw new Error(`it was unpacked: ${(await listTree(upper)).join("\n")}`);
}

/** A link to `target`, and something else of the archive's. */
const linkTo = (target: string): TarItem[] => [{ path: "new", type: "1", link: target }, { path: "other", data: "x" }];

const RICH = `
  mkdir -p d/e; chmod 2750 d; chown 7:8 d; chmod 1701 d/e; chown 9:10 d/e
  head -c 3000000 /dev/urandom >d/e/f; chown 1000:1001 d/e/f; chmod 6751 d/e/f
  setfattr -n user.file -v 0x00ff0a d/e/f; setcap cap_net_raw+ep d/e/f; setfacl -m u:1234:rw d/e/f
  setfattr -n user.dir -v 1 d; setfattr -n trusted.dir -v 2 d/e; setfacl -d -m g:55:rx d/e; setfacl -m u:77:x d
  echo beside >d/e/beside
  touch -d '2001-02-03 04:05:06.123456789 UTC' d/e/f; touch -d '1999-01-01 00:00:00.5 UTC' d/e
  touch -d '1998-01-01 00:00:00.25 UTC' d`;

testNeeding(NEEDS, "a link to a file below copies it up with all that it has, and its directories", async () => {
  await using directory = await TempDir.make();
  const upper = await over(directory, [RICH], linkTo("d/e/f"));
  // The link is a name more of the file; nothing else of the directories comes along.
  const seen = { ignore: (path: string) => ["new", "other", "d/e/beside"].includes(path), withoutRoot: true };
  await assertSameTree(upper, directory.join("lower-0"), seen);
  const [file, link] = [await Deno.lstat(`${upper}/d/e/f`), await Deno.lstat(`${upper}/new`)];
  assertEquals([file.ino, file.nlink], [link.ino, 2]);
  assertEquals(await namesIn(`${upper}/d/e`), ["f"]);
});

testNeeding(NEEDS, "a file below is copied up once for all links to it", async () => {
  await using directory = await TempDir.make();
  const links = ["b", "x/c", "a"].map((path) => ({ path, type: "1", link: "f" }));
  const upper = await over(directory, ["echo content >f"], links);
  assertEquals((await Deno.lstat(`${upper}/f`)).nlink, 4);
  assertEquals(await Deno.readTextFile(`${upper}/x/c`), "content\n");
});

testNeeding(NEEDS, "a link to a sparse file below has its content", async () => {
  await using directory = await TempDir.make();
  const script = "truncate -s 20M f; echo middle | dd of=f bs=1M seek=10 conv=notrunc status=none; truncate -s 3M hole";
  const upper = await over(directory, [script], [...linkTo("f"), { path: "second", type: "1", link: "hole" }]);
  for (const [link, file] of [["new", "f"], ["second", "hole"]]) {
    await runOk("cmp", [`${upper}/${link}`, directory.join("lower-0", file!)]);
  }
});

const SPECIAL: readonly [what: string, script: string, type: string][] = [
  ["symbolic link", "ln -s /nowhere s; chown -h 5:6 s; setfattr -h -n trusted.a -v 1 s", "l"],
  ["fifo", "mkfifo -m 640 s; chown 5:6 s", "p"],
  ["character device", "mknod -m 604 s c 1 3; chown 5:6 s", "c"],
  ["block device", "mknod -m 604 s b 8 1", "b"],
];

for (const [what, script, type] of SPECIAL) {
  testNeeding(NEEDS, `a link to a ${what} below copies that up`, async () => {
    await using directory = await TempDir.make();
    const upper = await over(directory, [`${script}; touch -h -d '2001-02-03 04:05:06.5 UTC' s`], linkTo("s"));
    const [original] = await readTree(directory.join("lower-0"), { withoutRoot: true });
    assertEquals(original!.type, type);
    const copies = (await readTree(upper, { withoutRoot: true })).filter(({ path }) => path !== "other");
    assertEquals(copies.map((entry) => ({ ...entry, path: "s", linkOf: "" })), [original!, original!]);
    assertEquals(copies.map(({ linkOf }) => linkOf), ["", "new"]);
  });
}

testNeeding(
  NEEDS,
  "a link finds the file of the nearest layer, and what the archive itself brings before that",
  async () => {
    await using directory = await TempDir.make();
    const upper = await over(
      directory,
      ["echo near >f; mkdir d; echo near >d/other", "echo far >f; mkdir d; echo far >d/g; echo far >own"],
      [
        { path: "own", data: "own\n" },
        ...["f", "d/g", "own"].map((link, i) => ({ path: `new-${i}`, type: "1", link })),
      ],
    );
    const read = (path: string): Promise<string> => Deno.readTextFile(`${upper}/${path}`);
    assertEquals([await read("new-0"), await read("new-1"), await read("new-2")], ["near\n", "far\n", "own\n"]);
  },
);

testNeeding(
  NEEDS,
  "a link into a directory that the archive brings itself leaves that as the archive says",
  async () => {
    await using directory = await TempDir.make();
    const items = [{ path: "d/", type: "5", mode: 0o711, uid: 3, mtime: 99 }, ...linkTo("d/f")];
    const upper = await over(directory, ["mkdir -m 755 d; echo x >d/f"], items);
    const { mode, uid, mtime } = await Deno.stat(`${upper}/d`);
    assertEquals([mode! & 0o7777, uid, mtime!.getTime()], [0o711, 3, 99_000]);
  },
);

const HIDE = "setfattr -n trusted.overlay.opaque -v y d";
const REFUSED: readonly [what: string, scripts: readonly string[], items: readonly TarItem[]][] = [
  ["a file that is nowhere", ["mkdir d"], linkTo("d/f")],
  ["a file that a nearer layer deleted", ["mknod f c 0 0", "echo x >f"], linkTo("f")],
  ["a file whose directory a nearer layer deleted", ["mknod d c 0 0", "mkdir d; echo x >d/f"], linkTo("d/f")],
  ["a file whose directory a nearer layer replaced", ["echo d >d", "mkdir d; echo x >d/f"], linkTo("d/f")],
  ["a file behind a nearer layer's symbolic link", ["mkdir e; ln -s e d", "mkdir d; echo x >d/f"], linkTo("d/f")],
  ["a file that a nearer layer's opaque directory hides", [`mkdir d; ${HIDE}`, "mkdir d; echo x >d/f"], linkTo("d/f")],
  [
    "a file that an opaque directory further up hides",
    [`mkdir d; ${HIDE}`, "mkdir -p d/e; echo x >d/e/f"],
    linkTo("d/e/f"),
  ],
  ["a file that the archive deleted", ["echo x >f"], [{ path: ".wh.f" }, ...linkTo("f")]],
  ["a file whose directory the archive deleted", ["mkdir d; echo x >d/f"], [{ path: ".wh.d" }, ...linkTo("d/f")]],
  ["a file of a directory that the archive deleted and made again", ["mkdir d; echo x >d/f"], [
    { path: ".wh.d" },
    { path: "d/", type: "5", mode: 0o755 },
    ...linkTo("d/f"),
  ]],
  ["a file that the archive's opaque mark hides", ["mkdir d; echo x >d/f"], [
    { path: "d/.wh..wh..opq" },
    ...linkTo("d/f"),
  ]],
  ["a file whose directory the archive replaced", ["mkdir d; echo x >d/f"], [
    { path: "d", data: "file" },
    ...linkTo("d/f"),
  ]],
  ["a file whose directory the archive replaced by a link to nowhere", ["mkdir d; echo x >d/f"], [
    { path: "d", type: "2", link: "nowhere" },
    ...linkTo("d/f"),
  ]],
  ["a directory below", ["mkdir d"], linkTo("d")],
  ["the root", ["mkdir d"], linkTo("./")],
  ["a socket below", [
    `python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("f")'`,
  ], linkTo("f")],
];

for (const [what, scripts, items] of REFUSED) {
  testNeeding([...NEEDS, needsProgram("python3")], `a link to ${what} is invalid_archive`, async () => {
    const error = await failureOf(scripts, items);
    assertEquals(error.code, "invalid_archive", error.message);
  });
}

testNeeding(NEEDS, "a link out of the layer below is refused, and copies nothing", async () => {
  await using directory = await TempDir.make();
  await Deno.writeTextFile(directory.join("secret"), "secret");
  for (const link of ["../secret", "d/../../secret"]) {
    const unpacking = over(directory, ["mkdir -p d"], linkTo(link));
    const error = await unpacking.then(() => undefined, (error: StorageError) => error);
    assertEquals(error?.code, "unsafe_path");
  }
  assertEquals(await namesIn(directory.join("upper")), []);
});

testNeeding(NEEDS, "a file that is copied up counts against the limits", async () => {
  await using directory = await TempDir.make();
  const lower = await directory.mkdir("lower");
  await runOk("truncate", ["-s", "5M", "f"], { cwd: lower });
  await Deno.writeFile(directory.join("a.tar"), tarOf(linkTo("f")));
  const unpacking = (): unknown =>
    unpackFile(directory.join("a.tar"), directory.join("upper"), { lowerDirs: [lower], limits: { sizeBytes: 1e6 } });
  assertEquals(assertThrows(unpacking, StorageError).code, "limit_exceeded");
});

for (const work of ["worker", "in-place"] as const) {
  testNeeding(
    [...NEEDS, needsOverlay],
    `a driver's link to a file below shows both names in the mount (${work})`,
    async () => {
      await using directory = await TempDir.make();
      await using driver = await openDriver({ root: directory.join("root"), runRoot: directory.join("run"), work });
      const apply = async (id: string, parent: string | undefined, items: readonly TarItem[]): Promise<number> => {
        await driver.create(id, parent === undefined ? {} : { parent });
        await Deno.writeFile(directory.join(`${id}.tar`), tarOf(items));
        using archive = new Fd(openat(AT_FDCWD, directory.join(`${id}.tar`), O_RDONLY));
        return (await driver.applyDiff(id, archive)).sizeBytes;
      };
      await apply("base", undefined, [
        { path: "d/", type: "5", mode: 0o755, mtime: 1000 },
        { path: "d/f", data: "content", mode: 0o640, uid: 5, mtime: 2000 },
        { path: "d/deep", data: "stays", mtime: 3000 },
      ]);
      await apply("middle", "base", [
        { path: "d/", type: "5", mode: 0o755, mtime: 1000 },
        { path: "d/.wh.deep" },
        { path: "m", data: "m" },
      ]);
      const { upperDir: base } = await driver.getMetadata("base");
      const before = await listTree(base);
      assertEquals(await apply("top", "middle", linkTo("d/f")), "content".length + 1);
      assertEquals(await driver.diffSize("top"), "content".length + 1);
      assertEquals(await listTree(base), before);
      await driver.createReadWrite("job", { parent: "top" });
      {
        await using job = await driver.get("job");
        assertEquals(await Deno.readTextFile(`${job.path}/new`), "content");
        const [file, link] = [await Deno.lstat(`${job.path}/d/f`), await Deno.lstat(`${job.path}/new`)];
        assertEquals([file.ino, file.nlink, link.mode! & 0o7777, link.uid], [link.ino, 2, 0o640, 5]);
        assertEquals((await Deno.stat(`${job.path}/d`)).mtime!.getTime(), 1_000_000);
        assertEquals(await namesIn(`${job.path}/d`), ["f"]);
      }
      assertEquals(
        (await driver.changes("top")).map(({ path, kind }) => `${kind} ${path}`),
        ["add /new", "add /other"],
      );
      await driver.create("gone", { parent: "middle" });
      await Deno.writeFile(directory.join("gone.tar"), tarOf(linkTo("d/deep")));
      using archive = new Fd(openat(AT_FDCWD, directory.join("gone.tar"), O_RDONLY));
      const error = await driver.applyDiff("gone", archive).then(() => undefined, (error: StorageError) => error);
      assertEquals(error?.code, "invalid_archive");
      assertStringIncludes(error?.message ?? "", "d/deep");
      assertEquals(await namesIn((await driver.getMetadata("gone")).upperDir), []);
    },
  );
}
