// SPDX-License-Identifier: Apache-2.0

/** Long work asked for over HTTP: how it is watched and ended, and what becomes of it when its client goes away. */

import { assert, assertEquals } from "@std/assert";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { StoreApi } from "../../lib/agent/api.ts";
import { Observation } from "../../lib/agent/observation.ts";
import { ObservedDriver } from "../../lib/agent/observed_driver.ts";
import { AgentServer } from "../../lib/agent/server.ts";
import { WorkQueues } from "../../lib/agent/work_queue.ts";
import type { RemoveOptions } from "../../lib/drivers/driver.ts";
import { SILENT } from "../../lib/log.ts";
import { connect, openDriver } from "../../mod.ts";
import { ApiAgent } from "./_api_agent.ts";
import { RawConnection } from "./_raw_http.ts";
import { until } from "./_until.ts";

const NEEDS = [needsRoot, needsOverlay];
const ARCHIVE = tarOf([{ path: "file", data: "x".repeat(100_000) }]);

interface Report {
  state: string;
  result?: unknown;
  error?: { code: string };
}

/** Sends the head of a request that names its job. */
async function begin(api: ApiAgent, verb: string, path: string, job: string, length = 0): Promise<RawConnection> {
  const connection = await RawConnection.open(api.socket);
  const headers = ["Host: lamina", `Lamina-Job: ${job}`, `Content-Length: ${length}`];
  await connection.send(`${verb} ${path} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`);
  return connection;
}

testNeeding(NEEDS, "a job tells how it is, is ended by its name, and by a client that goes away", async (test) => {
  await using directory = await TempDir.make();
  await using api = await ApiAgent.start(directory, { args: ["--jobs", "1"] });
  for (const id of ["base", "large"]) await api.ok("POST", "/v1/layers", { id });
  // More than pipes and sockets hold.
  await runOk("dd", ["if=/dev/zero", `of=${api.home}/large/diff/large`, "bs=1M", "count=64", "status=none"]);
  const report = async (job: string): Promise<Report> => await api.ok("GET", `/v1/jobs/${job}`) as Report;
  const isApplying = async (): Promise<boolean> => (await namesIn(`${api.home}/base`)).includes(".lamina-applying");

  await test.step("a diff that is ended breaks off, and its job says why", async () => {
    using diff = await begin(api, "GET", "/v1/layers/large/diff", "diff-to-end");
    await diff.connection.read(new Uint8Array(100));
    assertEquals((await report("diff-to-end")).state, "running");
    const ended = await api.ok("DELETE", "/v1/jobs/diff-to-end") as Report;
    assertEquals([ended.state, ended.error?.code], ["failed", "aborted"]);
    while (await diff.connection.read(new Uint8Array(1 << 20)).catch(() => null) !== null);
  });

  await test.step("an apply that is ended is answered, and leaves the layer empty", async () => {
    using apply = await begin(api, "PUT", "/v1/layers/base/diff", "apply-to-end", ARCHIVE.length);
    await apply.send(ARCHIVE.subarray(0, 600));
    await until(isApplying);
    using waiting = await begin(api, "GET", "/v1/layers/large/size", "size-to-wait");
    await until(async () => (await api.ok("GET", "/v1/jobs") as Report[]).some(({ state }) => state === "queued"));
    await api.ok("DELETE", "/v1/jobs/apply-to-end");
    assertEquals((await apply.answer())?.status, 503);
    assertEquals(await isApplying(), false);
    assertEquals((await waiting.answer())?.status, 200);
    assertEquals((await report("size-to-wait")).result, 64 * 1024 * 1024);
  });

  await test.step("clients that go away give their turns back", async () => {
    const apply = await begin(api, "PUT", "/v1/layers/base/diff", "apply-to-leave", ARCHIVE.length);
    await apply.send(ARCHIVE.subarray(0, 600));
    await until(isApplying);
    apply[Symbol.dispose]();
    const diff = await begin(api, "GET", "/v1/layers/large/diff", "diff-to-leave");
    await diff.connection.read(new Uint8Array(100));
    diff[Symbol.dispose]();
    await until(async () => (await report("apply-to-leave")).state === "failed");
    await until(async () => (await report("diff-to-leave")).state === "failed");
    assertEquals(await isApplying(), false);
    const applied = await api.call("PUT", "/v1/layers/base/diff", ARCHIVE);
    assertEquals(applied?.status, 200, new TextDecoder().decode(applied?.body));
    const whole = await api.call("GET", "/v1/layers/large/diff");
    assert(whole?.isWhole && whole.body.length > 64 * 1024 * 1024);
  });
});

/** Counts how many removals run at once. */
class CountingDriver extends ObservedDriver {
  #running = 0;
  most = 0;

  override async remove(id: string, options?: RemoveOptions): Promise<void> {
    this.most = Math.max(this.most, ++this.#running);
    await super.remove(id, options);
    this.#running--;
  }
}

testNeeding(NEEDS, "removals take turns with each other, and wait for no other job", async () => {
  await using directory = await TempDir.make();
  const runRoot = directory.join("run");
  await using store = await openDriver({ root: directory.join("root"), runRoot });
  const driver = new CountingDriver(store, () => {});
  const queues = new WorkQueues(2);
  const socket = `${runRoot}/lamina.sock`;
  const open = (): Promise<CountingDriver> => Promise.resolve(driver);
  const api = new StoreApi({ socket, open, queues, observation: new Observation(), logger: SILENT });
  await using undo = new AsyncDisposableStack();
  const server = await AgentServer.listen([api]);
  undo.defer(async () => void await server.stop(1000));
  const client = undo.use(await connect({ socket }));
  const ids = Array.from({ length: 10 }, (_, i) => `layer${i}`);
  for (const id of ids) await client.create(id);

  const { signal } = new AbortController();
  using _first = await queues.others.enter(signal);
  using _second = await queues.others.enter(signal);
  await Promise.all(ids.map((id) => client.remove(id)));
  assertEquals(await Array.fromAsync(client.layers()), []);
  assert(driver.most <= 2, `${driver.most} at once`);
  assertEquals(queues.removals.running, 0);
});
