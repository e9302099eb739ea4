// SPDX-License-Identifier: Apache-2.0

/**
 * Completion by real shells, with a `lamina` that lists two layers and notes how it was called.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { needsProgram, testNeeding } from "../_helpers/requires.ts";
import { run } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { runLamina } from "./_run_lamina.ts";

/** A line, what a shell makes of its last word (several: what it offers), and how `lamina` was asked for layers. */
type Case = readonly [line: string, offered: string[], asked?: string];

const CASES: readonly Case[] = [
  ["lamina mo", ["mount", "mounts"]],
  ["lamina --ro", ["--root"]],
  ["lamina rm job-1 b", ["base"], "ls"],
  ["lamina --root /x rm j", ["job-1"], "--root /x ls"],
  ["lamina rm --root /x --quiet j", ["job-1"], "--root /x ls"],
  ["lamina --driver overlay2 mou", ["mount", "mounts"]],
  ["lamina diff base --compress z", ["zstd"]],
  ["lamina diff base --summ", ["--summary"]],
  ["lamina changes base --tr", ["--tree"]],
  ["lamina tree --si", ["--size"]],
  ["lamina du j", ["job-1"], "ls"],
  ["lamina create x --parent b", ["base"], "ls"],
  ["lamina man rem", ["remap"]],
  ["lamina help opt", ["options"]],
  ["lamina completions z", ["zsh"]],
];

/** bash splits such a word. */
const ATTACHED: Case = ["lamina --root=/x rm j", ["job-1"], "--root=/x ls"];

/** The shell's script, and beside it the program that it asks. */
async function prepare(directory: TempDir, shell: string): Promise<{ script: string; env: Record<string, string> }> {
  const { stdout } = await runLamina(["completions", shell]);
  const script = directory.join("_lamina");
  await Deno.writeTextFile(script, stdout);
  const bin = await directory.mkdir("bin");
  const program = `#!/bin/sh\necho "$*" >> ${directory.join("asked")}\nprintf 'base\\njob-1\\n'\n`;
  await Deno.writeTextFile(`${bin}/lamina`, program, { mode: 0o755 });
  return { script, env: { PATH: `${bin}:${Deno.env.get("PATH")}` } };
}

/** How `lamina` was asked since the last time. */
async function askedIn(directory: TempDir): Promise<string | undefined> {
  const path = directory.join("asked");
  const asked = await Deno.readTextFile(path).catch(() => "");
  await Deno.writeTextFile(path, "");
  return asked.split("\n")[0] || undefined;
}

function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

/** A shell's script, and where it finds the program. */
type Prepared = Awaited<ReturnType<typeof prepare>>;

/** Completes the last of `words` in bash. */
async function completeInBash({ script, env }: Prepared, words: readonly string[]): Promise<string[]> {
  const program = `. ${script}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lamina; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, code, stderr } = await run("bash", ["-c", program, "bash", ...words], { env });
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  return linesOf(stdout);
}

testNeeding([needsProgram("bash")], "bash completes commands, options, layers, choices and files", async () => {
  await using directory = await TempDir.make();
  const bash = await prepare(directory, "bash");
  for (const [line, offered, asked] of CASES) {
    assertEquals(await completeInBash(bash, line.split(" ")), offered, line);
    assertEquals(await askedIn(directory), asked, line);
  }
  assertEquals(await completeInBash(bash, ["lamina", "mount", "x", "-o", ""]), []);
  assertEquals(await completeInBash(bash, ["lamina", "apply", "base", directory.join("bi")]), [
    directory.join("bin"),
  ]);
  // bash cuts words at "=".
  assertEquals(await completeInBash(bash, ["lamina", "--root", "=", "/x", "create", "--parent", "=", "b"]), [
    "base",
  ]);
  assertEquals(await askedIn(directory), "--root /x ls");
});

testNeeding([needsProgram("fish")], "fish completes commands, options, layers and choices", async () => {
  await using directory = await TempDir.make();
  const { script, env } = await prepare(directory, "fish");
  for (const [line, offered, asked] of [...CASES, ATTACHED]) {
    const { stdout, stderr } = await run("fish", ["-N", "-c", `source ${script}; complete -C '${line}'`], { env });
    assertEquals([linesOf(stdout).map((found) => found.split("\t")[0]).sort(), stderr], [offered, ""], line);
    const heard = await askedIn(directory);
    // fish looks for words also where it offers options.
    if (asked !== undefined) assertEquals(heard, asked, line);
  }
});

/** Types each line into an interactive zsh, presses Tab, and has it tell what the line is then. */
const ZSH = `
zmodload zsh/zpty
script=$1; shift
zpty z zsh -f -i
zpty -w z "PS1=; RPS1=; autoload -Uz compinit; compinit -u -D; source $script; bindkey '^I' complete-word"
zpty -w z "show() { print -r -- \\"<<\\$BUFFER>>\\"; BUFFER=; }; zle -N show; bindkey '^T' show; print ready-\\$((1 + 1))"
zpty -r -m z out '*ready-2*'
for line; do
  zpty -w -n z "$line"$'\\t\\x14'
  zpty -r -m z out '*<<*>>*'
  print -r -- "\${\${out##*<<}%%>>*}"
  lamina --end-of-line
done
zpty -d z
`;

testNeeding([needsProgram("zsh")], "zsh completes commands, options, layers and choices", async () => {
  await using directory = await TempDir.make();
  const { script, env } = await prepare(directory, "zsh");
  const cases: readonly Case[] = [...CASES, ATTACHED];
  const lines = cases.map(([line]) => line);
  const { stdout, code } = await run("timeout", ["60", "zsh", "-f", "-c", ZSH, "zsh", script, ...lines], { env });
  assertEquals(code, 0, stdout);
  // Of several it fills in what they have in common.
  const typed = cases.map(([line, offered]) => line.replace(/[^ ]*$/, offered[0]!));
  assertEquals(
    linesOf(stdout).filter((line) => line.startsWith("lamina")).map((line) => line.replace(/[= ]$/, "")),
    typed,
  );
  const asked = (await Deno.readTextFile(directory.join("asked"))).split("--end-of-line\n").slice(0, -1);
  assertEquals(asked.map((line) => line.trimEnd() || undefined), cases.map(([, , ask]) => ask));
});

for (const [shell, first] of [["bash", /^# lamina/], ["zsh", /^#compdef lamina\n/], ["fish", /^# lamina/]] as const) {
  testNeeding([needsProgram(shell)], `${shell} can read its completion script`, async () => {
    await using directory = await TempDir.make();
    const { script } = await prepare(directory, shell);
    assertMatch(await Deno.readTextFile(script), first);
    assertEquals(await run(shell, ["-n", script]), { code: 0, stdout: "", stderr: "" });
  });
}
