// SPDX-License-Identifier: Apache-2.0

/**
 * Holds the directions in which imports go, and a few other promises that a compiler does not check.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "./_helpers/std_assert.ts";
import {
  bareImports,
  cycles,
  type Import,
  importsOutOfFfi,
  listSources,
  type ModuleGraph,
  privateImports,
  readGraph,
  strayDependencies,
  wrongDirections,
} from "./_helpers/module_graph.ts";
import { TempDir } from "./_helpers/temp_dir.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");

/** Files over 400 lines that stay whole, each with its reason. */
const LONG_FILES: Readonly<Record<string, string>> = {};
const MOST_LINES = 400;

/** Who alone may use something. */
const SOLE_USERS: readonly { text: string; files: readonly string[]; instead: string }[] = [
  { text: "Deno.dlopen(", files: ["ffi/_libc.ts"], instead: "add the symbol to the table in ffi/_libc.ts" },
  {
    text: "Deno.exit(",
    // The latter is a process of its own.
    files: ["cli.ts", "lib/mount/mount_from_child.ts"],
    instead: "throw, and let cli.ts map the error to an exit number",
  },
  { text: "Deno.args", files: ["cli.ts"], instead: "take the arguments as a parameter" },
  {
    text: "nonblocking:",
    files: ["ffi/_beside_symbols.ts"],
    instead: "run the call in a Worker, or put it there if yes or no will do: errno of a nonblocking call is lost",
  },
];

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function listProgram(): Promise<string[]> {
  const top: string[] = [];
  for (const file of ["mod.ts", "cli.ts"]) if (await isFile(`${ROOT}/${file}`)) top.push(file);
  return [...top, ...await listSources(ROOT, "ffi"), ...await listSources(ROOT, "lib")];
}

let graph: Promise<ModuleGraph> | undefined;

function programGraph(): Promise<ModuleGraph> {
  return graph ??= listProgram().then((files) => readGraph(ROOT, files));
}

function assertNone(problems: readonly string[]): void {
  assert(problems.length === 0, `\n${problems.join("\n")}`);
}

Deno.test("imports go from cli and agent over drivers, archive and mount, util to ffi, never back", async () => {
  assertNone(wrongDirections(await programGraph()));
});

Deno.test("ffi imports nothing but its own files", async () => {
  assertNone(importsOutOfFfi(await programGraph()));
});

Deno.test("no circle of imports", async () => {
  assertNone(cycles(await programGraph()));
});

Deno.test("a _file.ts is imported from its own folder only", async () => {
  assertNone(privateImports(await programGraph()));
});

Deno.test("what mod.ts reaches uses no name of the import map", async () => {
  assertNone(bareImports(await programGraph(), "mod.ts"));
});

Deno.test("third-party specifiers stand in lib/deps.ts", async () => {
  assertNone(strayDependencies(await programGraph()));
});

Deno.test("no file of the program is longer than 400 lines", async () => {
  const problems: string[] = [];
  for (const file of [...await listProgram(), ...await listSources(ROOT, "bench")]) {
    const lines = (await Deno.readTextFile(`${ROOT}/${file}`)).split("\n").length - 1;
    if (lines > MOST_LINES && LONG_FILES[file] === undefined) {
      problems.push(`${file} has ${lines} lines: cut it by subject, or give a reason in LONG_FILES`);
    }
  }
  assertNone(problems);
});

for (const { text, files, instead } of SOLE_USERS) {
  Deno.test(`${text} is used ${files.length === 0 ? "nowhere" : `by ${files.join(", ")} alone`}`, async () => {
    const problems: string[] = [];
    for (const file of await listProgram()) {
      if (files.includes(file)) continue;
      if ((await Deno.readTextFile(`${ROOT}/${file}`)).includes(text)) {
        problems.push(`${file} uses ${text}: ${instead}`);
      }
    }
    assertNone(problems);
  });
}

/** A graph by hand: `"a.ts": ["b.ts"]`; what does not end in `.ts` is a specifier. */
function graphOf(files: Readonly<Record<string, readonly string[]>>): ModuleGraph {
  const toImport = (target: string): Import =>
    target.endsWith(".ts") ? { specifier: `./${target}`, file: target } : { specifier: target, file: undefined };
  return new Map(Object.entries(files).map(([file, imports]) => [file, imports.map(toImport)]));
}

Deno.test("wrongDirections() finds each import that goes the wrong way, and only those", () => {
  const problems = wrongDirections(graphOf({
    "mod.ts": ["lib/drivers/driver.ts", "lib/drivers/overlay2.ts"],
    "cli.ts": ["lib/cli/args.ts", "ffi/mount.ts"],
    "lib/cli/args.ts": ["lib/drivers/registry.ts", "lib/archive/header.ts"],
    "lib/drivers/overlay2.ts": ["lib/archive/pack.ts", "lib/cli/args.ts"],
    "lib/archive/pack.ts": ["lib/errors.ts", "lib/drivers/driver.ts"],
    "lib/mount/mount.ts": ["ffi/mount.ts", "lib/archive/pack.ts"],
    "lib/util/lock_file.ts": ["ffi/process.ts", "lib/layer_id.ts"],
    "ffi/mount.ts": ["ffi/_libc.ts", "lib/errors.ts"],
    "lib/errors.ts": ["ffi/errno.ts", "lib/util/lock_file.ts"],
    "tests/a_test.ts": ["ffi/_libc.ts"],
  }));
  assertEquals(problems.map((problem) => problem.slice(0, problem.indexOf(":"))), [
    "mod.ts imports lib/drivers/overlay2.ts",
    "cli.ts imports ffi/mount.ts",
    "lib/cli/args.ts imports lib/archive/header.ts",
    "lib/drivers/overlay2.ts imports lib/cli/args.ts",
    "lib/archive/pack.ts imports lib/drivers/driver.ts",
    "lib/mount/mount.ts imports lib/archive/pack.ts",
    "lib/util/lock_file.ts imports lib/layer_id.ts",
    "ffi/mount.ts imports lib/errors.ts",
    "lib/errors.ts imports lib/util/lock_file.ts",
  ]);
});

Deno.test("cycles() finds a circle and names the way round", () => {
  const found = cycles(graphOf({ "lib/a.ts": ["lib/b.ts"], "lib/b.ts": ["lib/c.ts"], "lib/c.ts": ["lib/b.ts"] }));
  assertEquals(found.length, 1);
  assert(found[0]!.startsWith("lib/b.ts -> lib/c.ts -> lib/b.ts"));
});

Deno.test("privateImports(), bareImports(), strayDependencies() and importsOutOfFfi() find what they are for", () => {
  const wrong = graphOf({
    "mod.ts": ["lib/mount/_probe.ts"],
    "lib/mount/_probe.ts": ["@std/path", "node:path"],
    "lib/mount/mount.ts": ["lib/mount/_probe.ts", "npm:zod@4"],
    "lib/unreached.ts": ["@std/path"],
    "lib/deps.ts": ["npm:zod@4"],
    "ffi/mount.ts": ["node:os"],
    "tests/a_test.ts": ["lib/mount/_probe.ts"],
  });
  assertEquals(privateImports(wrong).length, 1);
  assertEquals(bareImports(wrong, "mod.ts").length, 1);
  assertEquals(strayDependencies(wrong).length, 1);
  assertEquals(importsOutOfFfi(wrong).length, 1);
});

Deno.test("readGraph() sees types, re-exports and dynamic imports, and no comments", async () => {
  await using directory = await TempDir.make();
  await Deno.mkdir(directory.join("lib"));
  await Deno.writeTextFile(directory.join("deno.json"), "{}");
  await Deno.writeTextFile(
    directory.join("lib/a.ts"),
    `// import "./comment.ts"\nexport * from "./b.ts";\nimport type { C } from "./c.ts";\n` +
      `export const d = () => import("./d.ts");\nexport const text = 'import "./e.ts"';\nexport type X = C;\n`,
  );
  for (const name of ["b", "d"]) await Deno.writeTextFile(directory.join(`lib/${name}.ts`), "export {};\n");
  await Deno.writeTextFile(directory.join("lib/c.ts"), "export type C = 1;\n");
  const found = await readGraph(directory.path, ["lib/a.ts"]);
  assertEquals(found.get("lib/a.ts")?.map(({ file }) => file).sort(), ["lib/b.ts", "lib/c.ts", "lib/d.ts"]);
});
