// SPDX-License-Identifier: Apache-2.0

/**
 * The command line without a store: help, versions, completions, wrong words.
 *
 * @module
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { needsProgram, testNeeding } from "../_helpers/requires.ts";
import { run } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
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

/** Completes the last of `words` in a real bash, with a `lamina` that lists two layers. */
async function completeInBash(directory: TempDir, words: readonly string[]): Promise<string[]> {
  const { stdout: script } = await runLamina(["completions", "bash"]);
  await Deno.mkdir(directory.join("bin"), { recursive: true });
  await Deno.writeTextFile(directory.join("bin/lamina"), "#!/bin/sh\necho \"$@\" >&2\nprintf 'base\\njob-1\\n'\n", {
    mode: 0o755,
  });
  const program = `${script}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lamina; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const env = { PATH: `${directory.join("bin")}:${Deno.env.get("PATH")}` };
  const { stdout, code, stderr } = await run("bash", ["-c", program, "bash", "lamina", ...words], { env });
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  return stdout.split("\n").filter((line) => line !== "");
}

testNeeding([needsProgram("bash")], "bash completes commands, options, layers, choices and files", async () => {
  await using directory = await TempDir.make();
  const cases: readonly [words: string[], completions: string[]][] = [
    [["mo"], ["mount", "mounts"]],
    [["--ro"], ["--root"]],
    [["--root", "/x", "rm", "j"], ["job-1"]],
    [["rm", "job-1", "b"], ["base"]],
    [["diff", "base", "--compress", ""], ["gzip", "zstd"]],
    [["create", "x", "--te"], ["--template"]],
    [["create", "x", "--parent", "b"], ["base"]],
    [["mount", "x", "-o", ""], []],
    [["apply", "base", directory.join("bi")], [directory.join("bin")]],
    [["completions", "z"], ["zsh"]],
    [["help", "ap"], ["apply"]],
  ];
  for (const [words, completions] of cases) {
    assertEquals(await completeInBash(directory, words), completions, words.join(" "));
  }
});

for (const [shell, first] of [["bash", /^# lamina/], ["zsh", /^#compdef lamina\n/], ["fish", /^# lamina/]] as const) {
  testNeeding([needsProgram(shell)], `${shell} can read its completion script`, async () => {
    await using directory = await TempDir.make();
    const { stdout, code } = await runLamina(["completions", shell]);
    assertEquals(code, 0);
    assertMatch(stdout, first);
    await Deno.writeTextFile(directory.join("script"), stdout);
    assertEquals(await run(shell, ["-n", directory.join("script")]), { code: 0, stdout: "", stderr: "" });
  });
}
