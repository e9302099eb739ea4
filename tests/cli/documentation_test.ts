// SPDX-License-Identifier: Apache-2.0

/**
 * Command lines that README.md and docs/ show are ones that lamina understands.
 *
 * @module
 */

import { assert, assertGreater } from "@std/assert";
import { fileURLToPath } from "node:url";
import { parseCommandLine } from "../../lib/cli/args.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** From a prompt, a pipe, a substitution, `&&` or `||` on to what ends a command. */
const COMMAND_REGEXP = /(?:^[#$] |[|&(] ?|-- )lamina ([^|&)#\n]*)/g;

/** The words of each `lamina …` in the blocks that show a terminal. */
function commandsIn(markdown: string): string[][] {
  const blocks = [...markdown.matchAll(/^```console\n([\s\S]*?)^```/gm)].map(([, text]) => text!);
  const lines = blocks.flatMap((text) => text.split("\n")).filter((line) => /^[#$] /.test(line));
  const commands = lines.flatMap((line) => [...line.matchAll(COMMAND_REGEXP)].map(([, command]) => command!));
  return commands.map((command) =>
    command.replace(/ [<>].*$/, "").trim().split(/\s+/).map((word) => word.replace(/["']/g, ""))
  );
}

async function* documents(): AsyncGenerator<string> {
  yield "README.md";
  for await (const { name } of Deno.readDir(`${ROOT}docs`)) if (name.endsWith(".md")) yield `docs/${name}`;
}

Deno.test("every command line of README.md and docs is understood", async () => {
  let count = 0;
  for await (const file of documents()) {
    for (const words of commandsIn(await Deno.readTextFile(`${ROOT}${file}`))) {
      count++;
      try {
        parseCommandLine(words, () => undefined);
      } catch (error) {
        assert(false, `${file}: lamina ${words.join(" ")}: ${(error as Error).message}`);
      }
    }
  }
  // Else the blocks are not found any more.
  assertGreater(count, 60);
});

Deno.test("every file that README.md and docs link to is there", async () => {
  for await (const file of documents()) {
    const text = await Deno.readTextFile(`${ROOT}${file}`);
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)) {
      const path = fileURLToPath(new URL(target!, `file://${ROOT}${file}`));
      const isThere = await Deno.stat(path).then(() => true, () => false);
      assert(isThere, `${file} links to ${target}, which is not there`);
    }
  }
});
