// SPDX-License-Identifier: Apache-2.0

/** What lamina's own API tells: what it is, what happens, and what has happened. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { StoreApi } from "../../lib/agent/api.ts";
import { EventFeed } from "../../lib/agent/events.ts";
import { Counter, Histogram, metricsText } from "../../lib/agent/metrics.ts";
import { Observation } from "../../lib/agent/observation.ts";
import { openapi } from "../../lib/agent/openapi.ts";
import { WorkQueues } from "../../lib/agent/work_queue.ts";
import { SILENT } from "../../lib/log.ts";
import { ApiAgent, requestHead } from "./_api_agent.ts";
import { callJson, RawConnection } from "./_raw_http.ts";
import { withoutTimes } from "../_helpers/without_times.ts";

const NEEDS = [needsRoot, needsOverlay];
const decoder = new TextDecoder();
const ARCHIVE = tarOf([{ path: "file", data: "content\n" }]);

/** The lines of a stream that is read in the background. */
class Lines {
  readonly seen: Record<string, unknown>[] = [];

  constructor({ connection }: RawConnection) {
    void this.#read(connection).catch(() => {});
  }

  async #read(connection: Deno.UnixConn): Promise<void> {
    const chunk = new Uint8Array(64 * 1024);
    let rest = "";
    for (let length: number | null = 0; length !== null; length = await connection.read(chunk)) {
      const lines = (rest + decoder.decode(chunk.subarray(0, length))).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.startsWith("{")) this.seen.push(JSON.parse(line) as Record<string, unknown>);
    }
  }
}

testNeeding(NEEDS, "events and metrics hold what is done by each protocol, well or not", async () => {
  await using directory = await TempDir.make();
  await using api = await ApiAgent.start(directory);
  const { home, socket } = api;
  using listener = await RawConnection.open(socket);
  await listener.send(requestHead("GET", "/v1/events", 0));
  const events = new Lines(listener);
  while ((await metric(api, "lamina_event_listeners")) !== "1") await new Promise((resolve) => setTimeout(resolve, 10));

  await api.ok("POST", "/v1/layers", { id: "base" });
  assertEquals((await api.call("PUT", "/v1/layers/base/diff?digest=true", ARCHIVE))?.status, 200);
  assertEquals(await api.refusalOf("PUT", "/v1/layers/base/diff", ARCHIVE), "409 layer_not_empty");
  const diff = await api.call("GET", "/v1/layers/base/diff?parent=");
  await api.ok("POST", "/v1/layers", { id: "c", parent: "base", readWrite: true });
  await api.ok("POST", "/v1/layers/c/mount", {});
  assertEquals(await metric(api, `lamina_mounted_layers{home="${home}"}`), "1");
  await api.ok("DELETE", "/v1/layers/c/mount");
  // dockerd's protocol, on a home of its own.
  const docker = directory.join("docker/lamina");
  for (
    const [name, fields] of [["Init", { Home: docker }], ["Create", { ID: "d" }], ["Remove", { ID: "d" }]] as const
  ) {
    assertEquals((await callJson(api.agent.socket, `GraphDriver.${name}`, fields)).status, 200);
  }
  await api.ok("DELETE", "/v1/layers/c");

  const expected = [
    { event: "create", home, id: "base" },
    { event: "apply", home, id: "base", bytes: ARCHIVE.length },
    { event: "apply", home, id: "base", code: "layer_not_empty" },
    { event: "diff", home, id: "base", bytes: diff?.body.length },
    { event: "create", home, id: "c", parent: "base" },
    { event: "mount", home, id: "c" },
    { event: "unmount", home, id: "c" },
    { event: "create", home: docker, id: "d" },
    { event: "remove", home: docker, id: "d" },
    { event: "remove", home, id: "c" },
  ];
  while (events.seen.length < expected.length) await new Promise((resolve) => setTimeout(resolve, 10));
  for (const event of events.seen) {
    assertMatch(String(event["time"]), /^\d{4}-\d\d-\d\dT/);
    assert((event["seconds"] as number) > 0);
  }
  assertEquals(events.seen.map(({ time: _time, seconds: _seconds, ...event }) => event), expected);

  for (
    const [series, value] of [
      ['lamina_operations_total{operation="apply",outcome="ok"}', "1"],
      ['lamina_operations_total{operation="apply",outcome="failed"}', "1"],
      ['lamina_operations_total{operation="create",outcome="ok"}', "3"],
      ['lamina_operation_seconds_bucket{operation="apply",le="+Inf"}', "2"],
      ['lamina_operation_seconds_count{operation="mount"}', "1"],
      ['lamina_errors_total{code="layer_not_empty"}', "1"],
      ['lamina_archive_bytes_total{direction="in"}', String(ARCHIVE.length)],
      ['lamina_archive_bytes_total{direction="out"}', String(diff?.body.length)],
      [`lamina_layers{home="${home}"}`, "1"],
      [`lamina_mounted_layers{home="${home}"}`, "0"],
      ['lamina_jobs_running{kind="diff"}', "0"],
      ['lamina_jobs_queued{kind="other"}', "0"],
      ['lamina_jobs_queued{kind="remove"}', "0"],
    ] as const
  ) assertEquals(await metric(api, series), value, series);
  // Who listens keeps no agent from ending.
  assertEquals(await api.agent.stop(), 0);
});

async function metric(api: ApiAgent, series: string): Promise<string | undefined> {
  const text = decoder.decode((await api.call("GET", "/metrics"))?.body);
  return text.split("\n").find((line) => line.startsWith(`${series} `))?.slice(series.length + 1);
}

testNeeding(NEEDS, "queries answer what the driver knows", async () => {
  await using directory = await TempDir.make();
  await using api = await ApiAgent.start(directory);
  const { home } = api;
  assertEquals(await api.ok("GET", "/v1/layers"), []);
  await api.ok("POST", "/v1/layers", { id: "base" });
  await api.call("PUT", "/v1/layers/base/diff", ARCHIVE);
  await api.ok("POST", "/v1/layers", { id: "c", parent: "base", readWrite: true });
  const { path } = await api.ok("POST", "/v1/layers/c/mount", {}) as { path: string };
  await Deno.writeTextFile(`${path}/new`, "12345");
  assertEquals(await api.ok("GET", "/v1/mounts"), [{ id: "c", path }]);
  assertEquals(withoutTimes(await api.ok("GET", "/v1/layers") as Record<string, unknown>[]), [
    { id: "base", parent: null, depth: 0, mounted: false },
    { id: "c", parent: "base", depth: 1, mounted: true },
  ]);
  const metadata = await api.ok("GET", "/v1/layers/c/metadata") as Record<string, unknown>;
  assertEquals(metadata["upperDir"], `${home}/c/diff`);
  const layer = { id: "c", parent: "base", depth: 1, mounted: true };
  const { createdAt: _, ...inspected } = await api.ok("GET", "/v1/layers/c") as Record<string, unknown>;
  assertEquals(inspected, { ...layer, ...metadata });
  assertEquals(await api.ok("GET", "/v1/layers/c/changes"), [{ path: "/new", kind: "add" }]);
  assertEquals(await api.ok("GET", "/v1/layers/c/size"), { id: "c", sizeBytes: 5 });
  assertEquals(await api.ok("GET", "/v1/layers/c/size?parent="), { id: "c", sizeBytes: 13 });
  assertEquals(decoder.decode((await api.call("GET", "/v1/layers/c/files?path=new"))?.body), "12345");
  await api.ok("POST", "/v1/cleanup");
  assertEquals(await api.ok("GET", "/v1/mounts"), []);
  const health = await api.ok("GET", "/v1/health") as Record<string, unknown>;
  assertEquals([health["status"], health["driver"], health["home"]], ["ok", "overlay2", home]);
});

Deno.test("a store that cannot be opened is no reason to end: each request says why", async () => {
  await using directory = await TempDir.make();
  await using api = await ApiAgent.start(directory, { args: ["--storage-opt", "nonsense=1"] });
  assertMatch(await api.refusalOf("GET", "/v1/health"), /^400 invalid_argument$/);
  assertEquals((await api.call("GET", "/metrics"))?.status, 200);
});

Deno.test("every route is described by the OpenAPI document, and nothing else is", () => {
  const api = new StoreApi({
    socket: "/none",
    open: () => Promise.reject(new Error("not to be opened")),
    queues: new WorkQueues(1),
    observation: new Observation(),
    logger: SILENT,
  });
  const { paths } = openapi("0") as { paths: Record<string, Record<string, unknown>> };
  const described = Object.entries(paths).map(([path, methods]) => [
    path,
    Object.keys(methods).filter((verb) => verb !== "parameters").map((verb) => verb.toUpperCase()).sort(),
  ]);
  const served = Object.entries(api.routes).map(([path, verbs]) => [path, Object.keys(verbs).sort()]);
  assertEquals(described, served);
});

const CREATED = { name: "create", home: "/home", id: "x".repeat(100), seconds: 0 } as const;

Deno.test("a listener that does not read is cut off, and keeps no other from hearing more", async () => {
  const feed = new EventFeed(1000);
  const [slow, quick] = [feed.listen().getReader(), feed.listen().getReader()];
  for (let i = 0; i < 20; i++) {
    feed.tell(CREATED);
    await quick.read();
  }
  assertEquals(feed.listeners, 1);
  const failure = await slow.read().then(() => slow.read()).catch((error: unknown) => error);
  assert(failure instanceof Error);
  assertStringIncludes(failure.message, "not read as fast");
  await quick.cancel();
  assertEquals(feed.listeners, 0);
});

Deno.test("metrics have Prometheus's text format", () => {
  const counter = new Counter("a_total", "Some.");
  counter.add({ of: 'a "quoted\\\n' });
  counter.add({ of: "b" }, 2.5);
  const histogram = new Histogram("b_seconds", "Others.", [0.1, 1]);
  for (const seconds of [0.05, 0.1, 0.5, 3]) histogram.observe({}, seconds);
  assertEquals(
    metricsText([counter, histogram]),
    `# HELP a_total Some.
# TYPE a_total counter
a_total{of="a \\"quoted\\\\\\n"} 1
a_total{of="b"} 2.5
# HELP b_seconds Others.
# TYPE b_seconds histogram
b_seconds_bucket{le="0.1"} 2
b_seconds_bucket{le="1"} 3
b_seconds_bucket{le="+Inf"} 4
b_seconds_sum 3.65
b_seconds_count 4
`,
  );
});
