// SPDX-License-Identifier: Apache-2.0

/**
 * Programs in a user namespace of their own, as root there and without any privilege outside.
 *
 * @module
 */

import type { Requirement } from "./requires.ts";
import type { RunResult } from "./run.ts";

/**
 * Which ids there are inside: `single` is root alone, who is the caller, as an ordinary user gets it; `subordinate` are
 * 65,536, as /etc/subuid gives them.
 */
export type NamespaceIds = "single" | "subordinate";

const SUBORDINATE = "0 0 1\n1 100000 65535\n";

/** The test makes user namespaces, and maps ids into them. */
export const needsUserNamespaces: Requirement = { name: "user namespaces", missing: probe };

function probe(): string | undefined {
  if (Deno.uid() !== 0) return `needs root, to map ids into a user namespace; runs as user ${Deno.uid()}`;
  const { success, stderr } = new Deno.Command("unshare", { args: ["--user", "--mount", "true"] }).outputSync();
  return success ? undefined : `needs user namespaces: ${new TextDecoder().decode(stderr).trim()}`;
}

/** Runs `program` in a new user namespace and a new mount namespace; the exit code is the caller's to judge. */
export async function runInUserNamespace(
  ids: NamespaceIds,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<RunResult> {
  // It waits for its ids: without them the program would start as nobody.
  const wait = ["sh", "-c", 'read -r _ && exec "$@"', "sh"];
  await using child = new Deno.Command("unshare", {
    args: ["--user", "--mount", ...wait, program, ...args],
    env: { NO_COLOR: "1", ...env },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  await mapIds(child.pid, ids === "single" ? "0 0 1\n" : SUBORDINATE);
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("go\n"));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** The kernel takes the map once, and only when the process is in its own namespace. */
async function mapIds(pid: number, map: string): Promise<void> {
  const ours = await Deno.readLink("/proc/self/ns/user");
  while (await Deno.readLink(`/proc/${pid}/ns/user`) === ours) await new Promise((resolve) => setTimeout(resolve, 1));
  for (const kind of ["uid", "gid"]) await Deno.writeTextFile(`/proc/${pid}/${kind}_map`, map);
}
