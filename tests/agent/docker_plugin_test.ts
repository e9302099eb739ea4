// SPDX-License-Identifier: Apache-2.0

/**
 * Docker's graph driver plugin protocol, as dockerd speaks it: with an empty Host, on connections that stay open, and with
 * all it does not keep to.
 */

import { assert, assertEquals } from "@std/assert";
import { isMountPoint } from "../_helpers/mount_points.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run, runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { Agent } from "./_agent.ts";
import { DockerClient } from "./_docker_client.ts";
import { callRaw, RawConnection } from "./_raw_http.ts";

const NEEDS = [needsRoot, needsOverlay];
const BASE = [{ path: "dir/", type: "5", mode: 0o755 }, { path: "dir/file", data: "content\n" }];
const decoder = new TextDecoder();

/** Calls on one connection, one after the other, as dockerd does; answers as text. */
async function talk(socket: string, calls: readonly (readonly [target: string, body: unknown])[]): Promise<string[]> {
  using connection = await RawConnection.open(socket);
  const answers: string[] = [];
  for (const [target, body] of calls) {
    await connection.request(target, body === undefined ? "" : `${JSON.stringify(body)}\n`);
    const answer = await connection.answer();
    answers.push(`${answer?.status} ${decoder.decode(answer?.body)}`);
  }
  return answers;
}

testNeeding(NEEDS, "a container's life over one connection has the answers that dockerd reads", async () => {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory);
  const { home } = client;
  await client.layer("base", "", BASE);
  const rw = { ID: "c", Parent: "c-init", MountLabel: "", StorageOpt: null };
  const init = { ID: "c-init", Parent: "base" };
  const answers = await talk(client.agent.socket, [
    ["Plugin.Activate", undefined],
    ["GraphDriver.Init", { Home: home, Opts: null, UIDMaps: null, GIDMaps: null }],
    ["GraphDriver.Capabilities", {}],
    ["GraphDriver.CreateReadWrite", init],
    ["GraphDriver.CreateReadWrite", rw],
    ["GraphDriver.Exists", { ID: "c" }],
    ["GraphDriver.Exists", { ID: "d" }],
    ["GraphDriver.Get", { ID: "c" }],
    ["GraphDriver.GetMetadata", { ID: "c" }],
  ]);
  const lower = `${home}/c-init/diff:${home}/base/diff`;
  assertEquals(answers, [
    '200 {"Implements":["GraphDriver"]}',
    "200 {}",
    '200 {"Capabilities":{"ReproducesExactDiffs":false}}',
    "200 {}",
    "200 {}",
    '200 {"Exists":true}',
    '200 {"Exists":false}',
    `200 {"Dir":"${home}/c/merged"}`,
    `200 {"Metadata":{"LowerDir":"${lower}","MergedDir":"${home}/c/merged","UpperDir":"${home}/c/diff","WorkDir":"${home}/c/work"}}`,
  ]);
  await runOk("sh", ["-ec", "echo new >new; echo changed >dir/file; mkdir gone; rmdir gone"], {
    cwd: `${home}/c/merged`,
  });
  assertEquals(
    await talk(client.agent.socket, [
      ["GraphDriver.Changes", { ID: "c", Parent: "c-init" }],
      ["GraphDriver.DiffSize", { ID: "c", Parent: "c-init" }],
      ["GraphDriver.Put", { ID: "c" }],
      ["GraphDriver.Remove", { ID: "c" }],
      ["GraphDriver.Remove", { ID: "c-init" }],
      ["GraphDriver.Cleanup", {}],
    ]),
    [
      '200 {"Changes":[{"Path":"/dir","Kind":0},{"Path":"/dir/file","Kind":0},{"Path":"/new","Kind":1}]}',
      '200 {"Size":12}',
      "200 {}",
      "200 {}",
      "200 {}",
      "200 {}",
    ],
  );
});

testNeeding(NEEDS, "Status tells of lamina and of its driver, as rows", async () => {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory);
  const rows = (await client.ok("Status", {}))["Status"] as string[][];
  assert(rows.every((row) => row.length === 2 && row.every((text) => typeof text === "string")), String(rows));
  assertEquals(rows.slice(0, 2).map(([name]) => name), ["lamina", "Driver"]);
});

testNeeding(
  NEEDS,
  "a diff is a tar that can be applied elsewhere, by a query that nobody escaped",
  async () => {
    await using directory = await TempDir.make();
    await using client = await DockerClient.start(directory);
    await client.layer("base", "", BASE);
    await client.ok("CreateReadWrite", { ID: "c", Parent: "base" });
    const merged = await client.get("c");
    await runOk("sh", ["-ec", "head -c 4000000 /dev/urandom >large; rm dir/file"], { cwd: merged });
    await client.ok("Create", { ID: "copy", Parent: "base" });

    using from = await RawConnection.open(client.agent.socket);
    using to = await RawConnection.open(client.agent.socket);
    await from.request("GraphDriver.Diff", '{"ID":"c","Parent":"base"}');
    await to.beginChunked("GraphDriver.ApplyDiff?id=copy&parent=base");
    const diff = await from.answer();
    for (let at = 0; at < diff!.body.length; at += 100_000) await to.chunk(diff!.body.subarray(at, at + 100_000));
    await to.chunk(new Uint8Array());
    const applied = await to.answer();
    assertEquals([diff?.status, diff?.isWhole, applied?.status], [200, true, 200]);
    assertEquals(decoder.decode(applied?.body), '{"Size":4000000}');

    const copy = await client.get("copy");
    await runOk("diff", ["-r", merged, copy]);
    const listed = await runOk("tar", ["-t"], { input: diff!.body });
    assertEquals(listed.stdout.split("\n").sort(), ["", "./", "dir/", "dir/.wh.file", "large"]);
  },
);

testNeeding(NEEDS, "a base layer's diff is all of it, without a parent or with an empty one", async () => {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory);
  await client.layer("base", "", BASE);
  for (const fields of ['{"ID":"base"}', '{"ID":"base","Parent":""}', '{"ID":"base","Parent":null}']) {
    const { status, body } = await callRaw(client.agent.socket, "GraphDriver.Diff", fields);
    assertEquals(status, 200);
    assertEquals((await runOk("tar", ["-xO", "dir/file"], { input: body })).stdout, "content\n");
  }
});

testNeeding(NEEDS, "a diff that cannot begin has a status, one that breaks later breaks the connection", async () => {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory);
  const refused = await callRaw(client.agent.socket, "GraphDriver.Diff", '{"ID":"none"}');
  assertEquals([refused.status, (JSON.parse(decoder.decode(refused.body)) as { Code: string }).Code], [
    404,
    "layer_not_found",
  ]);
  await client.ok("Create", { ID: "base" });
  const file = `${client.home}/base/diff/large`;
  await runOk("dd", ["if=/dev/zero", `of=${file}`, "bs=1M", "count=64", "status=none"]);
  using connection = await RawConnection.open(client.agent.socket);
  await connection.request("GraphDriver.Diff", '{"ID":"base"}');
  // Then nobody reads: the diff waits, in the file and long before its end.
  await connection.expect(1024 * 1024);
  await Deno.truncate(file, 32 * 1024 * 1024);
  const answer = await connection.answer();
  assertEquals([answer?.status, answer?.isWhole], [200, false]);
});

testNeeding(
  NEEDS,
  "an agent that starts again goes on without Init: home, options, maps and mounts are as they were",
  async () => {
    await using directory = await TempDir.make();
    await using first = await DockerClient.start(directory);
    const map = [{ "container_id": 0, "host_id": 100_000, "size": 65_536 }];
    await first.init({ Opts: ["overlay2.max_depth=2"], UIDMaps: map, GIDMaps: map });
    await first.layer("base", "", BASE);
    await first.ok("CreateReadWrite", { ID: "c", Parent: "base" });
    const merged = await first.get("c");
    await first.get("c");
    assertEquals(await first.agent.stop(), 0);
    assert(isMountPoint(merged));

    await using second = new DockerClient(await Agent.start(directory), first.home);
    await second.layer("more", "base", [{ path: "new", data: "x" }]);
    const { stdout } = await runOk("stat", [
      "-c",
      "%u:%g",
      `${second.home}/more/diff/new`,
      `${second.home}/base/diff/dir`,
    ]);
    assertEquals(stdout, "100000:100000\n100000:100000\n");
    await second.ok("Create", { ID: "third", Parent: "more" });
    assertEquals(await second.fails("Create", { ID: "fourth", Parent: "third" }), "max_depth_exceeded");
    await second.ok("Put", { ID: "c" });
    assert(isMountPoint(merged), "one of two users is left");
    await second.ok("Put", { ID: "c" });
    assert(!isMountPoint(merged), "nobody is left");
  },
);

testNeeding(NEEDS, "an agent that was killed leaves mounts and counts as they were", async () => {
  await using directory = await TempDir.make();
  await using first = await DockerClient.start(directory);
  await first.layer("base", "", BASE);
  await first.ok("CreateReadWrite", { ID: "c", Parent: "base" });
  const merged = await first.get("c");
  await first.agent.kill();
  await using second = new DockerClient(await Agent.start(directory), first.home);
  assertEquals(await second.get("c"), merged);
  await second.ok("Put", { ID: "c" });
  assert(isMountPoint(merged));
  await second.ok("Put", { ID: "c" });
  assert(!isMountPoint(merged));
});

testNeeding(NEEDS, "an agent whose note of dockerd's home a power cut emptied waits for Init", async () => {
  await using directory = await TempDir.make();
  await using first = await DockerClient.start(directory);
  await first.layer("base", "", BASE);
  await first.agent.kill();
  const { stdout } = await runOk("find", [directory.path, "-path", "*/docker-plugin/*.json"]);
  await Deno.writeTextFile(stdout.trim(), "");
  await using second = new DockerClient(await Agent.start(directory), first.home);
  assertEquals(await second.fails("Exists", { ID: "base" }), "not_initialized");
  await second.init();
  assertEquals(await second.ok("Exists", { ID: "base" }), { Exists: true });
});

testNeeding(NEEDS, "Init may come again, with another home, and back; one that fails changes nothing", async () => {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory);
  await client.layer("base", "", BASE);
  await client.ok("CreateReadWrite", { ID: "c", Parent: "base" });
  const merged = await client.get("c");
  await client.init();
  assertEquals(await client.ok("Exists", { ID: "c" }), { Exists: true });

  await client.init({ Home: directory.join("data/1.1/lamina") });
  assertEquals(await client.ok("Exists", { ID: "c" }), { Exists: false });
  assertEquals(await client.fails("Init", { Home: client.home, Opts: ["overlay2.colour=red"] }), "invalid_argument");
  assertEquals(await client.fails("Init", { Home: "/proc/lamina" }), "system_error");
  assertEquals(await client.ok("Exists", { ID: "c" }), { Exists: false });

  await client.init();
  assertEquals(await client.ok("Exists", { ID: "c" }), { Exists: true });
  assert(isMountPoint(merged), "another home took the mounts of this one down");
  await client.ok("Put", { ID: "c" });
  assert(!isMountPoint(merged));
});

testNeeding(NEEDS, "a dockerd that was killed puts back once what it had got several times", async () => {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory);
  await client.layer("base", "", BASE);
  await client.ok("CreateReadWrite", { ID: "c", Parent: "base" });
  const merged = await client.get("c");
  await client.get("c");
  await client.get("c");
  await client.init();
  assert(isMountPoint(merged), "its container may still run");
  await client.ok("Put", { ID: "c" });
  assert(!isMountPoint(merged));
});

testNeeding(NEEDS, "what is said twice is done once: Create, Remove, Put", async () => {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory);
  await client.layer("base", "", BASE);
  for (const fields of [{ ID: "c", Parent: "base" }, { ID: "c", Parent: "base" }]) await client.ok("Create", fields);
  assertEquals(await client.fails("Create", { ID: "c" }), "layer_exists");
  assertEquals(await client.fails("Create", { ID: "base" }), "layer_exists");
  await client.ok("Put", { ID: "c" });
  await client.ok("Put", { ID: "never" });
  await client.ok("Remove", { ID: "c" });
  await client.ok("Remove", { ID: "c" });
  assertEquals(await client.ok("Exists", { ID: "base" }), { Exists: true });
});

testNeeding(NEEDS, "Remove takes a mount down that nobody put back, and keeps a parent", async () => {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory);
  await client.layer("base", "", BASE);
  await client.ok("CreateReadWrite", { ID: "c", Parent: "base" });
  const merged = await client.get("c");
  assertEquals(await client.fails("Remove", { ID: "base" }), "layer_in_use");
  await client.ok("Remove", { ID: "c" });
  assert(!isMountPoint(merged));
  assertEquals((await run("ls", [client.home])).stdout, "base\nl\n");
});

testNeeding(NEEDS, "an archive that breaks off, or is none, leaves the layer empty for another one", async () => {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory);
  await client.ok("Create", { ID: "base" });
  const target = "GraphDriver.ApplyDiff?id=base&parent=";
  const archive = tarOf([...BASE, { path: "more", data: "x".repeat(100_000) }]);
  {
    using connection = await RawConnection.open(client.agent.socket);
    await connection.beginChunked(target);
    await connection.chunk(archive.subarray(0, archive.length >> 1));
  }
  for (const body of [new Uint8Array(), archive.subarray(0, 1024), new TextEncoder().encode("{}\n")]) {
    const { status } = await callRaw(client.agent.socket, target, body);
    assert(status === 400 || status === 409, `${body.length} bytes: ${status}`);
  }
  await client.ok("Remove", { ID: "base" });
  await client.layer("base", "", BASE);
  // A tar has zeros behind its end, and whoever sends them wants to get rid of all.
  await client.ok("Create", { ID: "padded" });
  const padded = new Uint8Array(8_000_000);
  padded.set(tarOf(BASE));
  const { status, body } = await callRaw(client.agent.socket, "GraphDriver.ApplyDiff?id=padded&parent=", padded);
  assertEquals(`${status} ${decoder.decode(body)}`, '200 {"Size":8}');
  await client.ok("Cleanup", {});
});
