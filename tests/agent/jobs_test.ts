// SPDX-License-Identifier: Apache-2.0

/** Long work: how much of it runs at once, what waits, and what becomes of work whose client went away. */

import { assert, assertEquals } from "@std/assert";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { WorkQueue } from "../../lib/agent/work_queue.ts";
import { StorageError } from "../../lib/errors.ts";
import { DockerClient } from "./_docker_client.ts";
import { RawConnection } from "./_raw_http.ts";
import { until } from "./_until.ts";

const NEEDS = [needsRoot, needsOverlay];
const ARCHIVE = tarOf([{ path: "file", data: "x".repeat(100_000) }]);

/** An apply of which the first bytes are on their way. */
async function beginApply(client: DockerClient, id: string): Promise<RawConnection> {
  await client.ok("Create", { ID: id });
  const connection = await RawConnection.open(client.agent.socket);
  await connection.beginChunked(`GraphDriver.ApplyDiff?id=${id}&parent=`);
  await connection.chunk(ARCHIVE.subarray(0, 512));
  return connection;
}

async function endApply(connection: RawConnection): Promise<number | undefined> {
  await connection.chunk(ARCHIVE.subarray(512));
  await connection.chunk(new Uint8Array());
  return (await connection.answer())?.status;
}

async function isApplying(client: DockerClient, id: string): Promise<boolean> {
  return (await namesIn(`${client.home}/${id}`)).includes(".lamina-applying");
}

testNeeding(
  NEEDS,
  "with one job at a time an apply waits for the one before, a diff and short calls for neither",
  async () => {
    await using directory = await TempDir.make();
    await using client = await DockerClient.start(directory, { args: ["--jobs", "1"] });
    await client.layer("base", "", [{ path: "file", data: "content\n" }]);
    using first = await beginApply(client, "first");
    await until(() => isApplying(client, "first"));
    using second = await beginApply(client, "second");
    await second.chunk(ARCHIVE.subarray(512));
    await second.chunk(new Uint8Array());

    await client.ok("CreateReadWrite", { ID: "c", Parent: "base" });
    await client.get("c");
    using diff = await RawConnection.open(client.agent.socket);
    await diff.request("GraphDriver.Diff", '{"ID":"base"}');
    assertEquals((await diff.answer())?.isWhole, true);
    await client.ok("Put", { ID: "c" });

    assertEquals(await namesIn(`${client.home}/second/diff`), []);
    assertEquals(await isApplying(client, "second"), false, "two applies at once");
    assertEquals(await endApply(first), 200);
    assertEquals((await second.answer())?.status, 200);
  },
);

testNeeding(
  [...NEEDS, needsProgram("curl")],
  "diffs that are applied meanwhile come through, however few jobs run at once",
  async () => {
    await using directory = await TempDir.make();
    await using client = await DockerClient.start(directory, { args: ["--jobs", "1"] });
    await client.ok("Create", { ID: "base" });
    await runOk("dd", ["if=/dev/urandom", `of=${client.home}/base/diff/large`, "bs=1M", "count=8", "status=none"]);
    const ids = ["a", "b", "c"];
    for (const ID of ids) await client.ok("Create", { ID });
    const post = `curl -sS --unix-socket "$0" -X POST http://lamina`;
    const pipes = ids.map((id) =>
      runOk("sh", [
        "-ec",
        `${post}/GraphDriver.Diff -d '{"ID":"base"}' | ${post}/GraphDriver.ApplyDiff?id=${id}"&parent=" -T -`,
        client.agent.socket,
      ])
    );
    const size = String(8 * 1024 * 1024);
    for (const { stdout } of await Promise.all(pipes)) assertEquals(stdout, `{"Size":${size}}`);
  },
);

testNeeding(NEEDS, "a client that goes away gives its turn back, and leaves no half layer", async () => {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory, { args: ["--jobs", "1"] });
  const applying = await beginApply(client, "gone");
  await until(() => isApplying(client, "gone"));
  const waiting = await beginApply(client, "waiting");
  applying[Symbol.dispose]();
  await until(async () => !await isApplying(client, "gone"));
  assertEquals(await namesIn(`${client.home}/gone/diff`), []);
  await until(() => isApplying(client, "waiting"));
  waiting[Symbol.dispose]();
  using next = await beginApply(client, "next");
  assertEquals(await endApply(next), 200);

  await runOk("dd", ["if=/dev/zero", `of=${client.home}/next/diff/large`, "bs=1M", "count=64", "status=none"]);
  for (let i = 0; i < 3; i++) {
    using reader = await RawConnection.open(client.agent.socket);
    await reader.request("GraphDriver.Diff", '{"ID":"next"}');
    assert(await reader.connection.read(new Uint8Array(1000)) !== null);
  }
  using reader = await RawConnection.open(client.agent.socket);
  await reader.request("GraphDriver.Diff", '{"ID":"next"}');
  assertEquals((await reader.answer())?.isWhole, true);
});

testNeeding(NEEDS, "Remove ends an apply to its layer", async () => {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory);
  using applying = await beginApply(client, "a");
  await until(() => isApplying(client, "a"));
  await client.ok("Remove", { ID: "a" });
  assertEquals((await applying.answer())?.status, 503);
  assertEquals(await namesIn(client.home), ["l"]);
});

Deno.test("WorkQueue: the first that came is the first that gets its turn; who gives up loses none", async () => {
  const queue = new WorkQueue(1);
  const { signal } = new AbortController();
  const giveUp = new AbortController();
  const order: string[] = [];
  const enter = async (name: string, end: AbortSignal): Promise<void> => {
    using _turn = await queue.enter(end);
    order.push(name);
    await Promise.resolve();
  };
  const held = await queue.enter(signal);
  const waiting = [enter("a", signal), enter("b", giveUp.signal), enter("c", signal)];
  assertEquals(queue.length, 3);
  giveUp.abort();
  const failed = await waiting[1]!.catch((error: unknown) => error);
  assert(failed instanceof StorageError && failed.code === "aborted");
  held[Symbol.dispose]();
  held[Symbol.dispose]();
  await Promise.all([waiting[0], waiting[2]]);
  assertEquals(order, ["a", "c"]);
  assertEquals(queue.length, 0);
});
