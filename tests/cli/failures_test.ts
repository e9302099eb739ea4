// SPDX-License-Identifier: Apache-2.0

/**
 * Commands that fail: the exit number, what they say, and that the store stays as it was.
 *
 * @module
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { listTree } from "../_helpers/tree.ts";
import { TestStore } from "./_run_lamina.ts";

const NEEDS = [needsRoot, needsOverlay, needsProgram("tar"), needsProgram("getfattr")];

interface Failure {
  name: string;
  args: readonly string[];
  code: number;
  says: RegExp;
}

const FAILURES: readonly Failure[] = [
  { name: "a truncated tar", args: ["apply", "new", "truncated.tar"], code: 6, says: /it ends in the middle/ },
  { name: "a gzip with a bad checksum", args: ["apply", "new", "checksum.tar.gz"], code: 6, says: /gzip/ },
  { name: "an empty file", args: ["apply", "new", "empty"], code: 6, says: /empty/ },
  { name: "no tar at all", args: ["apply", "new", "noise"], code: 6, says: /no tar/ },
  { name: "a tar with ..", args: ["apply", "new", "dotdot.tar"], code: 6, says: /\.\./ },
  { name: "a bad tar for a layer that is there", args: ["apply", "void", "truncated.tar"], code: 6, says: /cut short/ },
  { name: "a file that is not there", args: ["apply", "new", "nofile"], code: 6, says: /no such file/ },
  { name: "a directory", args: ["apply", "new", "."], code: 6, says: /it is a directory/ },
  { name: "apply onto content", args: ["apply", "base", "good.tar"], code: 4, says: /base/ },
  {
    name: "apply onto another parent's layer",
    args: ["apply", "void", "good.tar", "--parent", "base"],
    code: 4,
    says: /it has no parent/,
  },
  {
    name: "apply onto a parent that is not there",
    args: ["apply", "new", "good.tar", "--parent", "x"],
    code: 3,
    says: /x/,
  },
  { name: "an unknown option", args: ["apply", "new", "good.tar", "--frob"], code: 2, says: /"--frob"/ },
  { name: "create of a layer that is there", args: ["create", "base"], code: 4, says: /base/ },
  { name: "create on a missing parent", args: ["create", "new", "--parent", "x"], code: 3, says: /x/ },
  { name: "create of an id with ..", args: ["create", "../new"], code: 6, says: /layer id/ },
  { name: "create of an empty id", args: ["create", ""], code: 6, says: /layer id/ },
  { name: "an unknown storage option", args: ["create", "new", "--storage-opt", "x=y"], code: 6, says: /x/ },
  { name: "rm of a missing layer", args: ["rm", "x"], code: 3, says: /no such layer/ },
  { name: "mount of a missing layer", args: ["mount", "x"], code: 3, says: /x/ },
  { name: "unmount of a missing layer", args: ["unmount", "x"], code: 3, says: /no such layer/ },
  { name: "inspect of a missing layer", args: ["inspect", "x"], code: 3, says: /no such layer/ },
  { name: "changes of a missing layer", args: ["changes", "x"], code: 3, says: /x/ },
  { name: "size of a missing layer", args: ["size", "x"], code: 3, says: /x/ },
  { name: "diff of a missing layer", args: ["diff", "x"], code: 3, says: /x/ },
  { name: "diff of a missing layer into a file", args: ["diff", "x", "-o", "out.tar"], code: 3, says: /x/ },
  {
    name: "diff into no directory",
    args: ["diff", "base", "-o", "no/out"],
    code: 6,
    says: /no such file or directory/,
  },
];

/** The archives that FAILURES name, in the directory `archives`. */
async function makeArchives(directory: string): Promise<void> {
  await Deno.mkdir(`${directory}/archives/content`, { recursive: true });
  const inside = (name: string): string => `${directory}/archives/${name}`;
  await Deno.writeTextFile(inside("content/file"), "x".repeat(100_000));
  await runOk("tar", ["-C", inside("content"), "-cf", inside("good.tar"), "."]);
  await runOk("tar", ["-C", inside("content"), "-cPf", inside("dotdot.tar"), "../content/file"]);
  await runOk("gzip", ["-k", inside("good.tar")]);
  const good = await Deno.readFile(inside("good.tar"));
  await Deno.writeFile(inside("truncated.tar"), good.subarray(0, 50_000));
  const packed = await Deno.readFile(inside("good.tar.gz"));
  packed[packed.length - 8]! ^= 0xff;
  await Deno.writeFile(inside("checksum.tar.gz"), packed);
  await Deno.writeFile(inside("empty"), new Uint8Array());
  await Deno.writeFile(inside("noise"), new Uint8Array(2048).fill(0x41));
}

testNeeding(NEEDS, "commands that fail say why, end with their number and leave everything as it was", async (test) => {
  await using store = await TestStore.make();
  const { directory } = store;
  await makeArchives(directory.path);
  const cwd = directory.join("archives");
  await store.ok(["apply", "base", "good.tar"], { cwd });
  await store.ok(["create", "void"]);
  const before = await listTree(directory.join("root"));
  const filesBefore = listNames(cwd);

  for (const { name, args, code, says } of FAILURES) {
    await test.step(name, async () => {
      const result = await store.lamina(args, { cwd });
      assertEquals({ code: result.code, stdout: result.stdout }, { code, stdout: "" }, result.stderr);
      assertMatch(result.stderr, /^lamina: error: /);
      assertMatch(result.stderr, says);
      assertEquals(/^ +at /m.test(result.stderr), false, "a stack was printed");
      assertEquals(await listWithoutTimes(directory.join("root")), withoutTimes(before));
      assertEquals(listNames(cwd), filesBefore);
    });
  }
});

function listNames(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
}

/** A directory in which something came and went has another time, which is no harm. */
function withoutTimes(lines: readonly string[]): string[] {
  return lines.map((line) => line.includes("type=d") ? line.replace(/ mtime=\S+/, "") : line);
}

async function listWithoutTimes(directory: string): Promise<string[]> {
  return withoutTimes(await listTree(directory));
}

testNeeding(NEEDS, "rm goes on after a failure and ends with the number of the first", async () => {
  await using store = await TestStore.make();
  await store.ok(["create", "a"]);
  await store.ok(["create", "b", "--parent", "a"]);
  await store.ok(["create", "c"]);
  const { code, stderr } = await store.lamina(["rm", "x", "a", "c"]);
  assertEquals(code, 3);
  assertEquals(stderr.match(/^lamina: error: /gm)?.length, 2);
  assertEquals(await store.ok(["ls"]), "a\nb\n");
});

testNeeding(NEEDS, "--verbose shows where an error comes from", async () => {
  await using store = await TestStore.make();
  const { code, stderr } = await store.lamina(["mount", "x", "--verbose"]);
  assertEquals(code, 3);
  assertStringIncludes(stderr, "StorageError: ");
  assertMatch(stderr, /^ +at /m);
});
