// SPDX-License-Identifier: Apache-2.0

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { commandHelp, exitHelp, generalHelp, optionsHelp, shortUsage } from "../../lib/cli/help.ts";
import { EXIT } from "../../lib/cli/exit_code.ts";
import { parseCommandLine } from "../../lib/cli/args.ts";
import { COMMAND_NAMES, COMMANDS, DRIVER_CHOICES, GLOBAL_OPTIONS, optionsOf } from "../../lib/cli/usage.ts";
import { DEFAULT_ROOT, DEFAULT_RUN_ROOT, DRIVER_NAMES } from "../../lib/drivers/registry.ts";

function assertFits(text: string): void {
  const lines = text.split("\n");
  assert(lines.length <= 41, `${lines.length - 1} lines do not fit a screen of 40`);
  for (const line of lines) assert(line.length <= 80, `longer than 80 columns: ${line}`);
}

Deno.test("generalHelp() fits one screen and leaves nothing out", () => {
  const text = generalHelp();
  assertFits(text);
  for (const name of COMMAND_NAMES) assertMatch(text, new RegExp(`^[A-Z ].*\\b${name}[ ,]`, "m"));
  for (const { name } of GLOBAL_OPTIONS) assertMatch(text, new RegExp(`--${name}[ ,\n]`));
  for (const name of ["LAMINA_ROOT", "LAMINA_RUN_ROOT", "LAMINA_DRIVER"]) assertStringIncludes(text, name);
});

Deno.test("optionsHelp() tells of all options of all commands, exitHelp() of all exit numbers", () => {
  assertFits(optionsHelp());
  for (const { name } of GLOBAL_OPTIONS) assertMatch(optionsHelp(), new RegExp(`--${name} .*`));
  for (const { help } of GLOBAL_OPTIONS) assertStringIncludes(optionsHelp(), help);
  assertFits(exitHelp());
  for (const number of Object.values(EXIT)) assertMatch(exitHelp(), new RegExp(`^ *${number}  `, "m"));
});

Deno.test("generalHelp() names the defaults that the library has", () => {
  assertStringIncludes(generalHelp(), `LAMINA_ROOT, ${DEFAULT_ROOT})`);
  assertStringIncludes(generalHelp(), `LAMINA_RUN_ROOT, ${DEFAULT_RUN_ROOT})`);
  assertEquals([...DRIVER_CHOICES].sort(), [...DRIVER_NAMES].sort());
});

for (const name of COMMAND_NAMES) {
  Deno.test(`commandHelp("${name}") has synopsis, options and an example`, () => {
    const text = commandHelp(name);
    assertFits(text);
    assertStringIncludes(text, `Usage: lamina ${name}`);
    for (const option of COMMANDS[name].options) assertStringIncludes(text, `--${option.name} `);
    assertStringIncludes(text, `Example: ${COMMANDS[name].example}`);
  });

  Deno.test(`the options of ${name} have different names`, () => {
    const names = optionsOf(name).flatMap(({ name, short }) => short === undefined ? [name] : [name, short]);
    assertEquals(names.length, new Set(names).size);
  });
}

Deno.test("the examples can be parsed", () => {
  for (const name of COMMAND_NAMES) {
    const [, words] = /lamina ([^&|>)]*)/.exec(COMMANDS[name].example) ?? [];
    const { command } = parseCommandLine(words!.trim().split(" "), () => undefined);
    assertEquals<string>(command.kind, name);
  }
});

Deno.test("shortUsage() marks what may be left out and what may be repeated", () => {
  assertStringIncludes(shortUsage("rm"), "usage: lamina rm ID... [--force]\n");
  assertStringIncludes(
    shortUsage("mount"),
    "usage: lamina mount ID... [--at DIR] [--read-only] [--label LABEL]\n       [-o OPTION]... [--uid-map C:H:N]... [--gid-map C:H:N]...\n",
  );
  assertStringIncludes(shortUsage("apply"), "usage: lamina apply ID [FILE|-] [--parent ID] [--allow-missing-end]");
});

Deno.test("shortUsage() breaks a long line between options", () => {
  assertEquals(
    shortUsage("create"),
    "usage: lamina create ID [--parent ID] [--read-write] [--template ID]\n" +
      "       [--size SIZE] [--uid-map C:H:N]... [--gid-map C:H:N]... [--map-user NAME]\n" +
      "Try `lamina create --help`.\n",
  );
});

Deno.test("shortUsage() is that of the command where there is one", () => {
  assertEquals(shortUsage("ls"), "usage: lamina ls\nTry `lamina ls --help`.\n");
  assertEquals(shortUsage(undefined), "usage: lamina [OPTION]... COMMAND [ARGUMENT]...\nTry `lamina --help`.\n");
});
