// SPDX-License-Identifier: Apache-2.0

/**
 * How the words of the everyday commands are read.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import { parseCommandLine } from "../../lib/cli/args.ts";
import type { Command } from "../../lib/cli/command.ts";
import { UsageError } from "../../lib/cli/usage_error.ts";

function parse(line: string): Command {
  return parseCommandLine(line.split(" "), () => undefined).command;
}

const RUN = {
  kind: "run",
  id: "a",
  program: ["ls"],
  remove: false,
  commit: undefined,
  readOnly: false,
  label: undefined,
  options: [],
} as const;
const EXPORT = {
  kind: "export",
  id: "a",
  output: "-",
  compression: undefined,
  times: undefined,
  digest: false,
} as const;
const IMPORT = {
  kind: "import",
  id: "a",
  file: "f",
  parent: undefined,
  digest: false,
  manifest: false,
  limits: {},
} as const;
const OUT = { kind: "cp", direction: "out", layer: { id: "a", path: "/b" }, host: "c" } as const;

const CASES: readonly [line: string, command: Command][] = [
  ["run a ls", RUN],
  ["run a --rm -- ls --rm -l", { ...RUN, remove: true, program: ["ls", "--rm", "-l"] }],
  ["run --commit b a -o nodev,noexec --label l ls", { ...RUN, commit: "b", options: ["nodev,noexec"], label: "l" }],
  ["run a --read-only ls", { ...RUN, readOnly: true }],
  ["export a", EXPORT],
  ["export a -o f --compress zstd --times seconds --digest", {
    ...EXPORT,
    output: "f",
    compression: "zstd",
    times: "seconds",
    digest: true,
  }],
  ["import a f", IMPORT],
  ["import a - --parent b --manifest --digest --limit bytes=1k", {
    ...IMPORT,
    file: "-",
    parent: "b",
    manifest: true,
    digest: true,
    limits: { bytes: 1024 },
  }],
  ["squash a b", { kind: "squash", id: "a", newId: "b", parent: undefined }],
  ["squash a b --parent c", { kind: "squash", id: "a", newId: "b", parent: "c" }],
  ["cp a:/b c", OUT],
  ["cp a:b c", { ...OUT, layer: { id: "a", path: "b" } }],
  ["cp a: -", { ...OUT, layer: { id: "a", path: "" }, host: "-" }],
  ["cp a:b:c -", { ...OUT, layer: { id: "a", path: "b:c" }, host: "-" }],
  ["cp image:1:/b c", { ...OUT, layer: { id: "image:1", path: "/b" } }],
  ["cp ./c:d a:/b", { ...OUT, direction: "in", host: "./c:d" }],
  ["cp - a:/b", { ...OUT, direction: "in", host: "-" }],
];

for (const [line, command] of CASES) {
  Deno.test(`parseCommandLine() reads: lamina ${line}`, () => {
    assertEquals(parse(line), command);
  });
}

const WRONG_CASES: readonly [line: string, message: string, hint?: string][] = [
  ["run a", '"lamina run" needs CMD'],
  ["run a ls -l", 'unknown option "-l" for "lamina run"', "a program with options of its own stands behind --"],
  ["run a --rm --commit b ls", "--rm and --commit exclude each other"],
  ["run a --commit b --read-only ls", "--commit and --read-only exclude each other"],
  [
    "run --socket /s a ls",
    '"lamina run" does not go by an agent: it works in the layer\'s mount itself',
    "leave --socket out, as root; commands with and without it may work on one store at once",
  ],
  ["export a --json", "--json needs -o FILE: standard output holds the archive"],
  ["import a", '"lamina import" needs FILE|-'],
  [
    "import a f --limit files=1",
    '--limit knows entries, bytes, sizeBytes, pathLength, depth, xattrBytes, not "files"',
  ],
  ["squash a", '"lamina squash" needs NEW'],
  ["cp a:b", '"lamina cp" needs TO'],
  ["cp a:b - --json", "--json needs a path: standard output holds the archive"],
  [
    "cp a b",
    "one of the two has to be in a layer: ID:PATH",
    "a path of the host with a colon is told by a slash before it: ./a:b",
  ],
  ["cp :b c", "one of the two has to be in a layer: ID:PATH"],
  [
    "cp a:b c:d",
    "one of the two has to be a path of the host",
    "from layer to layer: lamina cp a:b - | lamina cp - c:d",
  ],
];

for (const [line, message, hint] of WRONG_CASES) {
  Deno.test(`parseCommandLine() refuses: lamina ${line}`, () => {
    const error = assertThrows(() => parse(line), UsageError, message);
    assertEquals(error.message, message);
    if (hint !== undefined) assertEquals(error.hint, hint);
  });
}
