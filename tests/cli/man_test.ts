// SPDX-License-Identifier: Apache-2.0

/**
 * Manual pages: complete, and such that a formatter has nothing to complain of.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ENVIRONMENT } from "../../lib/cli/environment.ts";
import { EXIT, EXIT_MEANINGS } from "../../lib/cli/exit_code.ts";
import { JSON_ANSWERS } from "../../lib/cli/json_answers.ts";
import { manPages } from "../../lib/cli/man_page.ts";
import { COMMAND_NAMES, type CommandName, COMMANDS, type CommandSpec, GLOBAL_OPTIONS } from "../../lib/cli/usage.ts";
import { needsProgram, testNeeding } from "../_helpers/requires.ts";
import { run } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { runLamina } from "./_run_lamina.ts";

/** A page as a reader sees it, wide enough that no line is broken, without ways to print bold. */
async function render(text: string): Promise<string> {
  const words = ["-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=2000n"];
  const { code, stdout, stderr } = await run("groff", words, { input: new TextEncoder().encode(text) });
  assertEquals([code, stderr], [0, ""]);
  // Some take the dash of an option for a minus sign.
  return stdout.replaceAll("\u2212", "-");
}

testNeeding(
  [needsProgram("groff")],
  "groff renders each page without a warning, and all of the tables is there",
  async () => {
    const pages = new Map<string, string>();
    for (const { file, text } of manPages()) pages.set(file, await render(text));
    assertEquals(pages.size, COMMAND_NAMES.length + 1);
    const main = pages.get("lamina.1")!;
    for (const name of COMMAND_NAMES) assertStringIncludes(main, `lamina-${name}(1)`);
    for (const { name, help } of GLOBAL_OPTIONS) {
      assertMatch(main, new RegExp(`^ +(-\\w, )?--${name}( |$)`, "m"));
      // What follows the first letter, which begins a sentence here.
      assertStringIncludes(main, help.slice(1));
    }
    for (const number of Object.values(EXIT)) {
      assertMatch(
        main,
        new RegExp(`^ +${number} +${EXIT_MEANINGS[number]}`, "m"),
      );
    }
    for (const [name] of ENVIRONMENT) assertStringIncludes(main, name);
    for (const name of COMMAND_NAMES) {
      const page = pages.get(`lamina-${name}.1`)!;
      const { summary, words, options, example, notes = "" }: CommandSpec = COMMANDS[name];
      for (const part of [`lamina-${name} - ${summary}`, example, notes]) {
        assertStringIncludes(
          page,
          part,
          part,
        );
      }
      const synopsis = page.split("\n").find((line) => line.trim().startsWith(`lamina ${name}`))!;
      for (const word of words) assertStringIncludes(synopsis, word.name);
      for (const option of options) {
        assertMatch(page, new RegExp(`^ +(-\\w, )?--${option.name}( |$)`, "m"));
        assertStringIncludes(synopsis, option.short === undefined ? `[--${option.name}` : `[-${option.short}`);
      }
      for (const [field] of JSON_ANSWERS[name]?.fields ?? []) assertStringIncludes(page, field.replace("?", ""));
    }
  },
);

Deno.test("the manual names each variable that the help names", () => {
  const names = ENVIRONMENT.map(([name]) => name);
  for (const { help } of GLOBAL_OPTIONS) {
    for (const [name] of help.matchAll(/LAMINA_\w+/g)) assert(names.includes(name), name);
  }
});

Deno.test("man prints a page, or writes all of them", async () => {
  await using directory = await TempDir.make();
  const pages = new Map(manPages().map(({ file, text }) => [file, text]));
  assertEquals(await runLamina(["man"]), { code: 0, stdout: pages.get("lamina.1")!, stderr: "" });
  assertEquals((await runLamina(["man", "mount"])).stdout, pages.get("lamina-mount.1")!);
  assertEquals(await runLamina(["man", "--all", directory.path]), { code: 0, stdout: "", stderr: "" });
  for await (const { name } of Deno.readDir(directory.path)) {
    assertEquals(await Deno.readTextFile(directory.join(name)), pages.get(name)!);
    pages.delete(name);
  }
  assertEquals([...pages.keys()], []);
  const outcome = async (...args: string[]): Promise<[code: number, line: string | undefined]> => {
    const { code, stderr } = await runLamina(["man", ...args]);
    return [code, stderr.split("\n")[1]];
  };
  assertEquals(await outcome("muont"), [EXIT.usage, 'lamina: hint: did you mean "mount"?']);
  assertEquals((await outcome("mount", "--all", directory.path))[0], EXIT.usage);
  assertEquals((await outcome("--all", directory.join("none")))[0], EXIT.badInput);
});

Deno.test("a page does not take text for requests", () => {
  const lines = manPages().flatMap(({ text }) => text.split("\n"));
  const requests = new Set(lines.filter((line) => /^[.']/.test(line)).map((line) => line.split(" ")[0]));
  assertEquals([...requests].sort(), ['.\\"', ".EE", ".EX", ".PP", ".SH", ".SS", ".TH", ".TP"].sort());
  // Names of commands are safe as names of files.
  for (const name of COMMAND_NAMES satisfies readonly CommandName[]) assertMatch(name, /^[a-z]+$/);
});
