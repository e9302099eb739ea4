// SPDX-License-Identifier: Apache-2.0

/**
 * What the manual says of `--json` is what the commands print: each is run, and fields are compared.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { JSON_ANSWERS, type JsonField } from "../../lib/cli/json_answers.ts";
import { COMMAND_NAMES, type CommandName } from "../../lib/cli/usage.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { makeBusyboxRootfs, NEEDS_BUSYBOX } from "./_busybox_rootfs.ts";
import { TestStore } from "./_run_lamina.ts";

/** Fields of `value` that are not documented, and documented ones that it lacks. */
function differences(value: unknown, prefix: string, fields: readonly JsonField[]): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => differences(item, prefix, fields));
  if (typeof value !== "object" || value === null) return [`${prefix}: no object`];
  const names = fields.map(([name]) => name);
  const missing = names
    .filter((name) => name.slice(0, name.lastIndexOf(".") + 1) === prefix && !name.endsWith("?"))
    .map((name) => name.slice(prefix.length))
    .filter((name) => !Object.hasOwn(value, name));
  const others = Object.entries(value).flatMap(([key, item]) => {
    const path = `${prefix}${key}`;
    const below = [`${path}.`, `${path}[].`].find((start) => names.some((name) => name.startsWith(start)));
    if (below !== undefined) return differences(item, below, fields);
    return names.includes(path) || names.includes(`${path}?`) ? [] : [`${path}: not documented`];
  });
  return [...missing.map((name) => `${prefix}${name}: not there`), ...others];
}

Deno.test("differences() finds what is documented and not there, and the reverse", () => {
  const fields: readonly JsonField[] = [["a", ""], ["b?", ""], ["c[].d", ""]];
  assertEquals(differences([{ a: 1, c: [{ d: 1 }] }, { a: null, b: 1, c: [] }], "", fields), []);
  assertEquals(differences({ c: [{ e: 1 }], f: 1 }, "", fields), [
    "a: not there",
    "c[].d: not there",
    "c[].e: not documented",
    "f: not documented",
  ]);
});

testNeeding([needsRoot, needsOverlay, ...NEEDS_BUSYBOX], "--json answers what the manual says", async () => {
  await using store = await TestStore.make();
  const archive = store.directory.join("base.tar");
  const busybox = await makeBusyboxRootfs(store.directory);
  const place = await store.directory.mkdir("place");
  await Deno.writeFile(archive, tarOf([{ path: "etc/motd", data: "hello\n" }]));
  /** In an order in which each has something to tell. */
  const lines: readonly (readonly [CommandName, ...string[]])[] = [
    ["apply", "base", archive, "--digest", "--manifest"],
    ["create", "job", "--parent", "base", "--read-write"],
    ["import", "rootfs", busybox],
    ["run", "rootfs", "--rm", "--json", "--", "/bin/busybox", "true"],
    ["export", "rootfs", "-o", store.directory.join("rootfs.tar")],
    ["squash", "rootfs", "squashed"],
    ["cp", "base:etc/motd", store.directory.join("motd")],
    ["mount", "job"],
    ["mount", "base", "--at", place],
    ["mounts"],
    ["unmount", "--at", place],
    ["unmount", "job"],
    ["ls"],
    ["tree", "--size"],
    ["inspect", "base"],
    ["exists", "base"],
    ["changes", "base", "--tree"],
    ["size", "base"],
    ["du"],
    ["diff", "base", "--digest", "-o", store.directory.join("out.tar")],
    ["diff", "base", "--summary"],
    ["info"],
    ["verify"],
    ["check"],
    ["cleanup"],
    ["remap", "job", "--uid-map", "0:0:100000"],
    ["rm", "job"],
    ["version"],
  ];
  // Its layers can be given to other ids.
  const env = { LAMINA_DRIVER: "containers-overlay" };
  const run = new Set<CommandName>();
  for (const [name, ...words] of lines) {
    const { isList = false, fields } = JSON_ANSWERS[name]!;
    // Behind the words of a program it would be its own.
    const answer = JSON.parse(await store.ok([name, "--json", ...words], { env })) as unknown;
    assertEquals([Array.isArray(answer), differences(answer, "", fields)], [isList, []], `${name} ${words.join(" ")}`);
    run.add(name);
  }
  const silent = COMMAND_NAMES.filter((name) => JSON_ANSWERS[name] === undefined);
  assertEquals([...run, ...silent].sort(), [...COMMAND_NAMES].sort());
});
