// SPDX-License-Identifier: Apache-2.0

/**
 * What a layer changes, for people: `changes --tree` and `diff --summary`.
 *
 * @module
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { drawChanges } from "../../lib/cli/commands/changes.ts";
import { summaryLines, summaryOf } from "../../lib/cli/diff_summary.ts";
import type { Change } from "../../lib/drivers/driver.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run } from "../_helpers/run.ts";
import { laminaCommand, TestStore } from "./_run_lamina.ts";

const CHANGES: readonly Change[] = [
  { path: "/etc", kind: "modify", type: "directory", sizeBytes: 0 },
  { path: "/etc/hosts", kind: "delete" },
  { path: "/etc/motd", kind: "modify", type: "file", sizeBytes: 4 },
  { path: "/new", kind: "add", type: "directory", sizeBytes: 0 },
  { path: "/new/big", kind: "add", type: "file", sizeBytes: 3_000_000 },
  { path: "/new/link", kind: "add", type: "symlink", sizeBytes: 3 },
  { path: "/new/pipe", kind: "add", type: "fifo", sizeBytes: 0 },
];

Deno.test("drawChanges() puts each change below its directory", () => {
  const lines = drawChanges(CHANGES).map(({ guides, text }) => guides + text);
  assertEquals(lines, [
    "/",
    "├── C etc",
    "│   ├── D hosts",
    "│   └── C motd",
    "└── A new",
    "    ├── A big",
    "    ├── A link",
    "    └── A pipe",
  ]);
  assertEquals(drawChanges([]), []);
  assertEquals(drawChanges([{ path: `/${"x".repeat(50)}`, kind: "add" }], 20)[1]!.text, `A ${"x".repeat(13)}…`);
});

Deno.test("summaryOf() counts paths by what was done and what they are", () => {
  const summary = summaryOf(CHANGES);
  assertEquals(summary.deleted, { paths: 1 });
  assertEquals(summary.changed, { paths: 2, files: 1, directories: 1, symlinks: 0, others: 0, sizeBytes: 4 });
  assertEquals(summary.added, { paths: 4, files: 1, directories: 1, symlinks: 1, others: 1, sizeBytes: 3_000_003 });
  assertEquals(summaryLines(summary), [
    "         PATHS  FILES  DIRECTORIES  LINKS  OTHERS     SIZE",
    "  added      4      1            1      1       1  3.00 MB",
    "changed      2      1            1      0       0      4 B",
    "deleted      1      -            -      -       -        -",
    "",
    "The largest:",
    "3.00 MB  A /new/big",
    "    4 B  C /etc/motd",
    "    3 B  A /new/link",
  ]);
  const many = Array.from(
    { length: 30 },
    (_, i): Change => ({ path: `/${i}`, kind: "add", type: "file", sizeBytes: i }),
  );
  assertEquals(summaryOf(many).largest.map(({ sizeBytes }) => sizeBytes), [29, 28, 27, 26, 25, 24, 23, 22, 21, 20]);
});

/** A store in which the layer `job` adds a link of two names and a symbolic one, and changes and deletes a file. */
async function makeJob(): Promise<TestStore> {
  const store = await TestStore.make();
  const tree = await store.directory.mkdir("rootfs/etc").then(() => store.directory.join("rootfs"));
  for (const name of ["motd", "hosts"]) await Deno.writeTextFile(`${tree}/etc/${name}`, "hello\n");
  const archive = store.directory.join("rootfs.tar");
  await run("tar", ["-C", tree, "-cf", archive, "."]);
  await store.ok(["apply", "base", archive]);
  await store.ok(["create", "job", "--parent", "base", "--read-write"]);
  const path = (await store.ok(["mount", "job"])).trimEnd();
  await Deno.writeTextFile(`${path}/etc/new\x1b[31m`, "12345");
  await Deno.link(`${path}/etc/new\x1b[31m`, `${path}/etc/same`);
  await Deno.symlink("same", `${path}/etc/soft`);
  await Deno.writeTextFile(`${path}/etc/motd`, "goodbye\n");
  await Deno.remove(`${path}/etc/hosts`);
  await store.ok(["unmount", "job"]);
  return store;
}

testNeeding(
  [needsRoot, needsOverlay, needsProgram("tar"), needsProgram("script")],
  "changes are a tree, in colours on a terminal and nowhere else",
  async () => {
    await using store = await makeJob();
    const plain = [
      "/",
      "└── C etc",
      "    ├── D hosts",
      "    ├── C motd",
      "    ├── A new\\x1b[31m",
      "    ├── A same",
      "    └── A soft",
      "",
    ];
    assertEquals((await store.ok(["changes", "job", "--tree"], { env: { NO_COLOR: "" } })).split("\n"), plain);
    const onTerminal = async (env: Record<string, string>): Promise<string[]> => {
      const words = [...laminaCommand(), ...store.options, "--quiet", "changes", "job", "--tree"];
      const quoted = words.map((word) => `'${word}'`).join(" ");
      const { stdout } = await run("script", ["-qec", `stty cols 80; ${quoted}`, "/dev/null"], { env });
      return stdout.replaceAll("\r\n", "\n").split("\n");
    };
    const green = (text: string): string => `\x1b[32m${text}\x1b[39m`;
    assertEquals(await onTerminal({ NO_COLOR: "" }), [
      "/",
      "└── \x1b[33mC etc\x1b[39m",
      "    ├── \x1b[31mD hosts\x1b[39m",
      "    ├── \x1b[33mC motd\x1b[39m",
      `    ├── ${green("A new\\x1b[31m")}`,
      `    ├── ${green("A same")}`,
      `    └── ${green("A soft")}`,
      "",
    ]);
    assertEquals(await onTerminal({ NO_COLOR: "1" }), plain);
    assertEquals(
      await store.json(["changes", "job", "--tree"]),
      await store.json(["changes", "job"]),
    );
  },
);

testNeeding([needsRoot, needsOverlay, needsProgram("tar")], "diff --summary tells what a diff would hold", async () => {
  await using store = await makeJob();
  const added = { paths: 3, files: 2, directories: 0, symlinks: 1, others: 0, sizeBytes: 9 };
  const changed = { paths: 2, files: 1, directories: 1, symlinks: 0, others: 0, sizeBytes: 8 };
  const largest = [
    { path: "/etc/motd", kind: "modify", sizeBytes: 8 },
    { path: "/etc/new\x1b[31m", kind: "add", sizeBytes: 5 },
    { path: "/etc/soft", kind: "add", sizeBytes: 4 },
  ];
  const summary = { id: "job", added, changed, deleted: { paths: 1 }, largest };
  assertEquals(await store.json(["diff", "job", "--summary"]), summary);
  assertEquals(await store.ok(["size", "job"]), `${added.sizeBytes + changed.sizeBytes}\n`);
  // The bytes and the paths that go into the archive: all that is seen in it, without the root.
  const whole = await store.json(["diff", "job", "--summary", "--parent", ""]) as typeof summary;
  assertEquals([whole.changed.paths, whole.added.paths, whole.added.sizeBytes], [0, 5, 17]);
  assertStringIncludes(await store.ok(["diff", "job", "--summary"]), "\n5 B  A /etc/new\\x1b[31m\n");
  const { code, stderr } = await store.lamina(["diff", "job", "--summary", "-o", "file"]);
  assertEquals([code, stderr.split("\n")[0]], [
    2,
    "lamina: error: --summary and --output exclude each other: there is no archive",
  ]);
});
