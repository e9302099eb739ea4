// SPDX-License-Identifier: Apache-2.0

/** How `lamina serve` takes its socket, and how it ends. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { isMountPoint } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { runLamina } from "../cli/_run_lamina.ts";
import { EXIT } from "../../lib/cli/exit_code.ts";
import { Agent } from "./_agent.ts";
import { ApiAgent } from "./_api_agent.ts";
import { DockerClient } from "./_docker_client.ts";
import { RawConnection } from "./_raw_http.ts";
import { until } from "./_until.ts";

const NEEDS = [needsRoot, needsOverlay];

/** Runs a second `lamina serve` to its end. */
async function serveOnce(directory: TempDir, pluginDir: string): Promise<{ code: number; stderr: string }> {
  const where = ["--run-root", directory.join("run2")];
  return await runLamina([...where, "serve", "--docker-plugin", "lamina", "--docker-plugin-dir", pluginDir]);
}

async function modeOf(path: string): Promise<string> {
  return (await runOk("stat", ["-c", "%a", path])).stdout.trim();
}

Deno.test("the socket is the owner's alone, in a directory that is too", async () => {
  await using directory = await TempDir.make();
  await using agent = await Agent.start(directory);
  assertEquals([await modeOf(agent.socket), await modeOf(directory.join("plugins"))], ["600", "700"]);
  assertEquals(await agent.stop(), EXIT.ok);
  assertEquals(await namesIn(directory.join("plugins")), []);
});

Deno.test("a directory that is there keeps its mode", async () => {
  await using directory = await TempDir.make();
  await directory.mkdir("plugins");
  await Deno.chmod(directory.join("plugins"), 0o755);
  await using agent = await Agent.start(directory);
  assertEquals([await modeOf(agent.socket), await modeOf(directory.join("plugins"))], ["600", "755"]);
});

Deno.test("a socket where nobody listens is replaced", async () => {
  await using directory = await TempDir.make();
  await using first = await Agent.start(directory);
  await first.kill();
  assertEquals(await namesIn(directory.join("plugins")), ["lamina.sock"]);
  await using _second = await Agent.start(directory);
});

Deno.test("a second agent on the same socket refuses to start, and says who holds it", async () => {
  await using directory = await TempDir.make();
  await using agent = await Agent.start(directory);
  const { code, stderr } = await serveOnce(directory, directory.join("plugins"));
  assertEquals(code, EXIT.refused);
  assertStringIncludes(stderr, `Cannot listen on ${agent.socket}: process ${agent.process.pid} listens there`);
  await using connection = await RawConnection.open(agent.socket);
  await connection.request("Plugin.Activate");
  assertEquals((await connection.answer())?.status, 200);
});

Deno.test("of agents that start at once on a dead socket one gets it, and stays reachable", async () => {
  await using directory = await TempDir.make();
  await using dead = await Agent.start(directory);
  await dead.kill();
  await using undo = new AsyncDisposableStack();
  const started = await Promise.allSettled(
    [1, 2, 3].map((number) => Agent.start(directory, { runRoot: `run${number}` })),
  );
  const agents = started.flatMap((result) => result.status === "fulfilled" ? [undo.use(result.value)] : []);
  // One that does not get it may have seen the other one answer, and end only now.
  await until(() => agents.filter(({ isRunning }) => isRunning).length <= 1);
  const log = await Deno.readTextFile(directory.join("agent.log"));
  assertEquals(log.match(/^lamina: error: Cannot listen on/gm)?.length, 2, log);
  using connection = await RawConnection.open(dead.socket);
  await connection.request("Plugin.Activate");
  assertEquals((await connection.answer())?.status, 200);
});

const IN_THE_WAY: Readonly<Record<string, (path: string) => Promise<void>>> = {
  "a file": (path) => Deno.writeTextFile(path, "precious"),
  "a directory": (path) => Deno.mkdir(path),
  "a symbolic link": (path) => Deno.symlink("elsewhere", path),
};
for (const [what, make] of Object.entries(IN_THE_WAY)) {
  Deno.test(`${what} in the socket's place is refused, and stays`, async () => {
    await using directory = await TempDir.make();
    const path = `${await directory.mkdir("plugins")}/lamina.sock`;
    await make(path);
    const before = await runOk("stat", ["-c", "%F %i %s", path]);
    const { code, stderr } = await serveOnce(directory, directory.join("plugins"));
    assertEquals(code, EXIT.badInput);
    assertStringIncludes(stderr, `Cannot listen on ${path}: there is something else than a socket`);
    assertEquals(await runOk("stat", ["-c", "%F %i %s", path]), before);
  });
}

Deno.test("a place that is too long for a socket is refused by its name", async () => {
  await using directory = await TempDir.make();
  const { code, stderr } = await serveOnce(directory, directory.join("x".repeat(100)));
  assertEquals(code, EXIT.badInput);
  assertStringIncludes(stderr, "a socket's path has at most 106 bytes");
});

/** A layer whose archive is on its way: the first half of it has been sent. */
async function halfApplied(client: DockerClient): Promise<{ connection: RawConnection; rest: Uint8Array }> {
  await client.ok("Create", { ID: "half" });
  const archive = tarOf([{ path: "file", data: "x".repeat(1_000_000) }]);
  const connection = await RawConnection.open(client.agent.socket);
  await connection.beginChunked("GraphDriver.ApplyDiff?id=half&parent=");
  await connection.chunk(archive.subarray(0, 500_000));
  await until(async () => (await namesIn(`${client.home}/half`)).includes(".lamina-applying"));
  return { connection, rest: archive.subarray(500_000) };
}

testNeeding(NEEDS, "SIGTERM lets work end, takes no more, and leaves mounts", async () => {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory, { args: ["--grace", "60"] });
  await client.layer("base", "", [{ path: "file", data: "x" }]);
  await client.ok("CreateReadWrite", { ID: "c", Parent: "base" });
  const merged = await client.get("c");
  const { connection, rest } = await halfApplied(client);
  using _connection = connection;
  const stopped = client.agent.stop();
  await until(async () => (await namesIn(directory.join("plugins"))).length === 0);
  await connection.chunk(rest);
  await connection.chunk(new Uint8Array());
  const answer = await connection.answer();
  assertEquals(answer?.status, 200, new TextDecoder().decode(answer?.body));
  assertEquals(await stopped, EXIT.ok);
  assert(isMountPoint(merged));
});

testNeeding(NEEDS, "work that does not end in time after SIGTERM is cancelled, and leaves nothing half", async () => {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory, { args: ["--grace", "0"] });
  const { connection } = await halfApplied(client);
  using _connection = connection;
  using silent = await RawConnection.open(client.agent.socket);
  await silent.beginChunked("GraphDriver.ApplyDiff?id=none&parent=");
  using stalled = await RawConnection.open(client.agent.socket);
  await stalled.send('POST /GraphDriver.Remove HTTP/1.1\r\nHost:\r\nContent-Length: 13\r\n\r\n{"ID":');
  assertEquals(await client.agent.stop(), EXIT.ok);
  assertEquals((await connection.answer())?.status, 503);
  assertEquals(await namesIn(`${client.home}/half`), ["diff", "link"]);
  assertEquals(await namesIn(`${client.home}/half/diff`), []);
});

testNeeding(NEEDS, "a second signal ends the agent at once", async () => {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory, { args: ["--grace", "3600"] });
  const { connection } = await halfApplied(client);
  using _connection = connection;
  const stopped = client.agent.stop();
  await until(async () => (await client.agent.log()).includes("stopping"));
  client.agent.process.kill("SIGINT");
  assertEquals(await stopped, EXIT.aborted);
});

testNeeding(NEEDS, "an agent removes what one before it was removing when it was killed", async () => {
  await using directory = await TempDir.make();
  const left = "root/overlay2/.lamina-remove-LEFT";
  await Deno.mkdir(directory.join(`${left}/diff`), { recursive: true });
  await using api = await ApiAgent.start(directory);
  await api.ok("GET", "/v1/layers");
  await until(async () => !(await namesIn(api.home)).includes(".lamina-remove-LEFT"));
});
