// SPDX-License-Identifier: Apache-2.0

/** The command line with `--socket`: what it prints and how it ends is the same, whoever opened the store. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { isMountPoint, mountPointsBelow } from "../_helpers/mount_points.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runBytes } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { laminaCommand, runLamina } from "../cli/_run_lamina.ts";
import { EXIT } from "../../lib/cli/exit_code.ts";
import { connect, isStorageError, openDriver } from "../../mod.ts";
import { ApiAgent } from "./_api_agent.ts";

const NEEDS = [needsRoot, needsOverlay];

/** Commands that change nothing, well or not. */
const QUERIES: readonly (readonly string[])[] = [
  ["ls", "--json"],
  ["inspect", "job", "--json"],
  ["inspect", "none"],
  ["size", "jo"],
  ["size", "jbo"],
  ["du", "b"],
  ["rm", "jo"],
  ["exists", "base"],
  ["changes", "job", "--tree"],
  ["diff", "job", "--summary"],
  ["size", "job", "--parent", ""],
  ["tree", "--size", "--json"],
  ["du"],
  ["du", "job", "--json"],
  ["du", "none"],
  ["info", "--json"],
  ["create", "base"],
  ["create", "new", "--parent", "none"],
  ["mount", "job", "-o", "upperdir=/etc"],
  ["remap", "none", "--uid-map", "0:1000:1"],
  ["diff", "job", "--digest"],
];

testNeeding(NEEDS, "each command answers by the agent as it does on the store itself", async (test) => {
  await using directory = await TempDir.make();
  await using api = await ApiAgent.start(directory);
  const store = ["--root", directory.join("root"), "--run-root", directory.join("run")];
  const agent = ["--socket", api.socket];
  const archive = directory.join("base.tar");
  await Deno.writeFile(
    archive,
    tarOf([{ path: "etc/motd", data: "hello\n" }, { path: "big", data: "x".repeat(300_000) }]),
  );
  const ok = async (where: readonly string[], ...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await runLamina([...where, ...args]);
    assertEquals(code, EXIT.ok, stderr);
    return stdout;
  };

  await test.step("layers come from a file and from a pipe", async () => {
    assertMatch(
      await ok(agent, "apply", "base", archive, "--digest"),
      /^diff-id sha256:\w{64}\narchive sha256:\w{64}\n$/,
    );
    const piped = await runLamina([...agent, "apply", "piped", "--json"], { input: await Deno.readFile(archive) });
    assertEquals((JSON.parse(piped.stdout) as { entries: number }).entries, 2);
    await ok(store, "create", "job", "--parent", "base", "--read-write");
  });

  await test.step("a mount of one is counted by the other", async () => {
    const path = (await ok(agent, "mount", "job")).trimEnd();
    assertEquals((await ok(store, "mount", "job")).trimEnd(), path);
    await Deno.writeTextFile(`${path}/etc/new`, "12345");
    await Deno.remove(`${path}/big`);
    await ok(agent, "unmount", "job");
    assert(isMountPoint(path));
    await ok(agent, "unmount", "job");
    assert(!isMountPoint(path));
  });

  for (const args of QUERIES) {
    await test.step(args.join(" "), async () => {
      const run = async (where: readonly string[]): Promise<unknown> => {
        const [program, ...first] = laminaCommand();
        return await runBytes(program, [...first, ...where, ...args]);
      };
      assertEquals(await run(agent), await run(store));
    });
  }

  await test.step("an archive that is no good leaves no layer", async () => {
    await Deno.writeTextFile(archive, "no archive");
    const { code, stderr } = await runLamina([...agent, "apply", "bad", archive]);
    assertEquals(code, EXIT.badInput, stderr);
    assertEquals((await runLamina([...store, "apply", "bad", archive])).stderr, stderr);
    assertEquals(await ok(agent, "ls"), "base\njob\npiped\n");
  });

  await test.step("whole layers go in and out", async () => {
    const file = directory.join("job.tar");
    for (const where of [agent, store]) {
      const name = where === agent ? "by-agent" : "itself";
      await ok(where, "export", "job", "-o", file);
      await ok(where, "import", name, file);
      await ok(where, "squash", "job", `${name}-above-base`, "--parent", "base");
      assertEquals(await ok(store, "changes", name), "A /etc\nA /etc/motd\nA /etc/new\n");
      assertEquals(await ok(store, "changes", `${name}-above-base`), await ok(store, "changes", "job"));
      assertEquals((await runLamina([...where, "squash", "base", "new", "--parent", "job"])).code, EXIT.badInput);
      assertEquals((await runLamina([...where, "import", "new", "/etc/hostname"])).code, EXIT.badInput);
      await ok(where, "rm", name, `${name}-above-base`);
    }
    assertEquals(await ok(agent, "ls"), "base\njob\npiped\n");
  });

  await test.step("layers go by either", async () => {
    assertEquals(await ok(agent, "rm", "base", "job", "--json"), '{"removed":["job","base"]}\n');
    assertEquals(await ok(store, "rm", "piped"), "");
    assertEquals(await ok(agent, "ls"), "");
  });
});

testNeeding(NEEDS, "upkeep by the agent prints and ends as it does on the store itself", async () => {
  await using directory = await TempDir.make();
  await using api = await ApiAgent.start(directory);
  const store = ["--root", directory.join("root"), "--run-root", directory.join("run")];
  const [place, archive] = [await directory.mkdir("place"), directory.join("base.tar")];
  await Deno.writeFile(archive, tarOf([{ path: "motd", data: "hello\n" }]));
  const prepare = [["apply", "base", archive, "--manifest"], ["create", "job", "--parent", "base", "--read-write"]];
  for (const args of prepare) assertEquals((await runLamina([...store, ...args])).code, EXIT.ok);

  const tellOf = async (
    where: readonly string[],
  ): Promise<[args: string, code: number, out: string, err: string][]> => {
    const told: [string, number, string, string][] = [];
    const run = async (...args: string[]): Promise<void> => {
      const { code, stdout, stderr } = await runLamina([...where, ...args]);
      told.push([args.join(" "), code, stdout, stderr]);
    };
    await run("mount", "job", "--at", place);
    await run("mount", "base", "--at", place);
    await run("unmount", "--at", place);
    await run("unmount", "--at", place);
    await run("unmount", "--at", "/proc");
    await Deno.writeTextFile(`${api.home}/base/link`, "");
    await run("check");
    await run("check", "--repair", "--json");
    await Deno.writeTextFile(`${api.home}/base/diff/motd`, "bye\n", { append: true });
    await run("verify");
    await run("verify", "job");
    await run("verify", "--record", "base");
    await run("mount", "base", "job", "--at", place, "--json");
    await Deno.mkdir(`${api.home}/.lamina-remove-OLD`);
    await run("cleanup", "--json");
    return told;
  };
  const told = await tellOf(store);
  assertEquals(told.map(([, code]) => code), [
    EXIT.ok,
    EXIT.refused,
    EXIT.ok,
    EXIT.failed,
    EXIT.badInput,
    EXIT.damaged,
    EXIT.ok,
    EXIT.damaged,
    EXIT.badInput,
    EXIT.ok,
    EXIT.ok,
    EXIT.ok,
  ]);
  assertEquals(await tellOf(["--socket", api.socket]), told);
  assertEquals(mountPointsBelow(directory.path), []);
});

Deno.test("without an agent, a command says where it looked", async () => {
  await using directory = await TempDir.make();
  const socket = directory.join("no.sock");
  const { code, stderr } = await runLamina(["--socket", socket, "ls"]);
  assertEquals(code, EXIT.failed);
  assertMatch(
    stderr,
    new RegExp(`^lamina: error: Cannot reach an agent on ${socket}: .*\nlamina: hint: .*lamina serve`),
  );
});

testNeeding(NEEDS, "many who use one store at once, by the agent and by themselves, get in nobody's way", async () => {
  await using directory = await TempDir.make();
  await using api = await ApiAgent.start(directory);
  const places = { root: directory.join("root"), runRoot: directory.join("run") };
  await using remote = await connect({ socket: api.socket });
  await using local = await openDriver(places);
  assertEquals([remote.name, remote.home], [local.name, local.home]);
  await local.create("base");
  const paths = new Set<string>();
  let taken = 0;
  const use = async (driver: typeof local, own: string): Promise<void> => {
    for (let i = 0; i < 10; i++) {
      await driver.createReadWrite(`${own}-${i}`, { parent: "base" });
      // One that both want.
      await driver.createReadWrite(`shared-${i}`, { parent: "base" }).catch((error: unknown) => {
        if (!isStorageError(error, "layer_exists")) throw error;
        taken++;
      });
      await using layer = await driver.get(`shared-${i}`);
      assert(isMountPoint(layer.path));
      paths.add(layer.path);
      await driver.remove(`${own}-${i}`);
    }
  };
  await Promise.all([use(remote, "a"), use(remote, "b"), use(local, "c"), use(local, "d")]);
  assertEquals([taken, paths.size], [30, 10]);
  for (const path of paths) assert(!isMountPoint(path));
  assertEquals((await Array.fromAsync(remote.layers())).length, 11);
});
