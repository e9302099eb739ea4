// SPDX-License-Identifier: Apache-2.0

/**
 * The command line without a store: help, versions, wrong words.
 *
 * @module
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { VERSION } from "../../lib/version.ts";
import { runLamina } from "./_run_lamina.ts";

Deno.test("help that was asked for goes to standard output", async () => {
  for (const args of [["--help"], ["help"], ["diff", "--help"], ["help", "diff"]]) {
    const { code, stdout, stderr } = await runLamina(args);
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
    assertStringIncludes(stdout, args.includes("diff") ? "Usage: lamina diff ID" : "Usage: lamina [OPTION]");
  }
});

Deno.test("the version is printed, in JSON too", async () => {
  assertEquals(await runLamina(["version"]), { code: 0, stdout: `lamina ${VERSION}\n`, stderr: "" });
  const { stdout } = await runLamina(["version", "--json"]);
  assertEquals((JSON.parse(stdout) as { version: string }).version, VERSION);
});

Deno.test("wrong words: message, hint and usage on standard error, exit number 2", async () => {
  assertEquals(await runLamina(["unmuont", "a"]), {
    code: 2,
    stdout: "",
    stderr: 'lamina: error: unknown command "unmuont"\n' +
      'lamina: hint: did you mean "unmount"?\n' +
      "usage: lamina [OPTION]... COMMAND [ARGUMENT]...\n" +
      "Try `lamina --help`.\n",
  });
  assertEquals(await runLamina(["size", "a", "--frob"]), {
    code: 2,
    stdout: "",
    stderr: 'lamina: error: unknown option "--frob" for "lamina size"\n' +
      "usage: lamina size ID [--parent ID] [--xattrs] [--content] [--uid-map C:H:N]...\n" +
      "       [--gid-map C:H:N]... [--map-user NAME]\n" +
      "Try `lamina size --help`.\n",
  });
});
