// SPDX-License-Identifier: Apache-2.0

/**
 * Ids that are shortened, or mistyped.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import type { Command } from "../../lib/cli/command.ts";
import type { Context } from "../../lib/cli/context.ts";
import { EXIT } from "../../lib/cli/exit_code.ts";
import { withLayerIds } from "../../lib/cli/layer_ids.ts";
import { Output } from "../../lib/cli/output.ts";
import { UsageError } from "../../lib/cli/usage_error.ts";
import { StorageError } from "../../lib/errors.ts";
import type { GraphDriver, LayerInfo } from "../../lib/drivers/driver.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { makeBusyboxRootfs, NEEDS_BUSYBOX } from "./_busybox_rootfs.ts";
import { TestStore } from "./_run_lamina.ts";

/** What is asked of a store that holds `ids`, and the context of a command on it. */
function contextOf(ids: readonly string[]): { asked: string[]; context: Context } {
  const asked: string[] = [];
  const driver: Pick<GraphDriver, "exists" | "layers"> = {
    exists(id: string): Promise<boolean> {
      asked.push(`exists ${id}`);
      return Promise.resolve(ids.includes(id));
    },
    async *layers(): AsyncGenerator<LayerInfo> {
      asked.push("layers");
      for (const id of ids) yield { id, parent: undefined, depth: 0, mounted: false, createdAt: undefined };
    },
  };
  const context: Pick<Context, "openDriver" | "settings" | "output"> = {
    openDriver: () => Promise.resolve(driver as GraphDriver),
    settings: { dockerRoot: undefined } as Context["settings"],
    output: new Output({ json: false, quiet: true, verbose: false }),
  };
  return { asked, context: context as Context };
}

function inspect(id: string): Command {
  return { kind: "inspect", id };
}

Deno.test("a whole id is looked up once, and wins over longer ones; the store is not listed for it", async () => {
  const { asked, context } = contextOf(["job", "job-1", "job-2"]);
  assertEquals(await withLayerIds(inspect("job"), context), inspect("job"));
  assertEquals(asked, ["exists job"]);
});

Deno.test("the beginning of one id is that id; the beginning of several is none", async () => {
  const ids = ["base", ...Array.from({ length: 7 }, (_, i) => `job-${i}`)];
  const { context } = contextOf(ids);
  assertEquals(await withLayerIds(inspect("b"), context), inspect("base"));
  const error = await assertRejects(() => withLayerIds(inspect("jo"), context), UsageError);
  assertEquals(error.message, '7 layers have ids that begin with "jo"');
  assertEquals(error.hint, 'did you mean "job-0", "job-1", "job-2", "job-3", "job-4" or one of 2 more?');
});

Deno.test("commands that make a layer, remove it, or ask whether it is there, take words as they are", async () => {
  const { asked, context } = contextOf(["base"]);
  const commands: Command[] = [
    { kind: "exists", id: "ba" },
    { kind: "rm", ids: ["ba"], force: true },
    {
      kind: "create",
      id: "ba",
      parent: undefined,
      readWrite: false,
      template: undefined,
      size: undefined,
      idMaps: undefined,
    },
  ];
  for (const command of commands) assertEquals(await withLayerIds(command, context), command);
  assertEquals(asked, []);
});

Deno.test("what is written in takes the beginning of an id that a program made, and of no other", async () => {
  const made = "0123456789abcdef".repeat(4);
  const { context } = contextOf([made, `${made.replaceAll("0", "f")}-init`, "0-job"]);
  const unmount = (id: string): Command => ({ kind: "unmount", id, force: false });
  assertEquals(await withLayerIds(unmount("01"), context), unmount(made));
  const error = await assertRejects(() => withLayerIds(unmount("0-j"), context), StorageError);
  assertEquals([error.code, error.hint], ["layer_not_found", 'it has to be a whole id: did you mean "0-job"?']);
});

testNeeding([needsRoot, needsOverlay], "ids may be shortened, but not where a layer is lost by it", async () => {
  await using store = await TestStore.make();
  for (const id of ["base-1", "base-2", "sha-0123456789abcdef"]) await store.ok(["create", id]);
  const outcome = async (...args: string[]): Promise<[code: number, stderr: string]> => {
    const { code, stderr } = await store.lamina(args);
    return [code, stderr.split("\nusage:")[0]!.trimEnd()];
  };
  assertEquals(await store.lamina(["size", "sha"]), {
    code: 0,
    stdout: "0\n",
    stderr: "sha is sha-0123456789abcdef\n",
  });
  assertEquals(await store.ok(["create", "job", "--parent", "sha-0"]), "");
  assertEquals(
    await store.json(["--quiet", "inspect", "j"]).then((layer) => (layer as { parent: string }).parent),
    "sha-0123456789abcdef",
  );
  assertEquals((await store.ok(["mount", "jo", "--read-only"])).endsWith("/job/merged\n"), true);
  for (const command of ["mount", "unmount"]) {
    assertEquals(await outcome(command, "jo"), [
      EXIT.notFound,
      'lamina: error: There is no layer "jo"\nlamina: hint: it has to be a whole id: did you mean "job"?',
    ]);
  }
  assertEquals(await store.ok(["unmount", "job"]), "");
  assertEquals(await outcome("changes", "base"), [
    EXIT.usage,
    'lamina: error: 2 layers have ids that begin with "base"\nlamina: hint: did you mean "base-1", "base-2"?',
  ]);
  assertEquals(await outcome("changes", "bsae-1"), [
    EXIT.notFound,
    'lamina: error: There is no layer "bsae-1"\nlamina: hint: did you mean "base-1"?',
  ]);
  assertEquals(await outcome("inspect", "nothing-like-it"), [
    EXIT.notFound,
    'lamina: error: Cannot inspect layer "nothing-like-it": there is no such layer\n' +
    "lamina: hint: `lamina ls` lists the layers of the store",
  ]);
  for (const [command, verb] of [[["rm"], "remove"], [["remap", "--uid-map", "0:0:1"], "remap"]] as const) {
    assertEquals(await outcome(...command, "sha"), [
      EXIT.notFound,
      `lamina: error: Cannot ${verb} layer "sha": there is no such layer\n` +
      'lamina: hint: it has to be a whole id: did you mean "sha-0123456789abcdef"?',
    ]);
  }
  assertEquals(await outcome("rm", "--force", "sha"), [EXIT.ok, ""]);
  assertEquals(await outcome("exists", "sha"), [EXIT.failed, ""]);
  assertEquals(await store.ok(["ls"]), "base-1\nbase-2\njob\nsha-0123456789abcdef\n");
});

testNeeding(
  [needsRoot, needsOverlay, ...NEEDS_BUSYBOX],
  "a program runs in the layer that a shortened id means",
  async () => {
    await using store = await TestStore.make();
    await store.ok(["import", "rootfs-1", await makeBusyboxRootfs(store.directory)]);
    const { code, stdout, stderr } = await store.lamina(["run", "roo", "--rm", "--", "/bin/busybox", "echo", "here"]);
    assertEquals({ code, stdout, stderr }, { code: 0, stdout: "here\n", stderr: "roo is rootfs-1\n" });
  },
);
