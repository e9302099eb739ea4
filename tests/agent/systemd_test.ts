// SPDX-License-Identifier: Apache-2.0

/** What the agent tells systemd, and what it takes from it. */

import { assert, assertEquals, assertLess, assertStringIncludes, assertThrows } from "@std/assert";
import "../_helpers/warm_libc.ts";
import { needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run, runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { laminaCommand } from "../cli/_run_lamina.ts";
import { refusePassedSockets, type Service, Systemd } from "../../lib/agent/systemd.ts";
import { EXIT } from "../../lib/cli/exit_code.ts";
import { isStorageError } from "../../lib/errors.ts";
import { SILENT } from "../../lib/log.ts";
import { Agent } from "./_agent.ts";
import { DockerClient } from "./_docker_client.ts";
import { type Message, NotifySocket } from "./_notify_socket.ts";
import { RawConnection } from "./_raw_http.ts";
import { until } from "./_until.ts";

const NEEDS = [needsProgram("python3")];
const FACES = `lamina's API, graph driver plugin "lamina"`;
const READY = `READY=1\nSTATUS=Serving ${FACES}; 0 requests at work`;

/** A command that runs the agent as systemd would. */
function underSystemd(socket: string, ...more: readonly string[]): { wrapper: string[] } {
  return { wrapper: ["env", `NOTIFY_SOCKET=${socket}`, ...more] };
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function gaps(messages: readonly Message[]): number[] {
  return messages.slice(1).map(({ at }, i) => at - messages[i]!.at);
}

for (
  const [what, nameIn] of [
    ["a path", (directory: TempDir): string => directory.join("notify")],
    ["an abstract name", (): string => `@lamina-test-${crypto.randomUUID()}`],
  ] as const
) {
  testNeeding(NEEDS, `systemd hears READY, STATUS and STOPPING at ${what}`, async () => {
    await using directory = await TempDir.make();
    await using systemd = await NotifySocket.open(nameIn(directory));
    await using agent = await Agent.start(directory, {
      ...underSystemd(systemd.name, "WATCHDOG_PID=1", "WATCHDOG_USEC=1000"),
      args: ["--grace", "7"],
    });
    await until(() => systemd.messages.length === 1);
    assertEquals(await agent.stop(), EXIT.ok);
    await until(() => systemd.count("STOPPING=1") === 1);
    // Nothing of a watchdog: another process was meant. The grace, and some time to clear away.
    assertEquals(systemd.messages.map(({ text }) => text), [
      READY,
      "STOPPING=1\nSTATUS=Waiting for 0 requests to end; mounts stay\nEXTEND_TIMEOUT_USEC=12500000",
    ]);
  });
}

testNeeding(NEEDS, "WATCHDOG comes in time while the agent answers, and not when its socket is gone", async () => {
  await using directory = await TempDir.make();
  await using systemd = await NotifySocket.open(directory.join("notify"));
  await using agent = await Agent.start(directory, underSystemd(systemd.name, "WATCHDOG_USEC=2000000"));
  await until(() => systemd.count("WATCHDOG=1") === 3);
  for (const gap of gaps(systemd.messages.filter(({ text }) => text === "WATCHDOG=1"))) {
    assert(gap > 900, `a beat after ${gap} ms`);
    assertLess(gap, 2000);
  }
  await Deno.remove(agent.socket);
  // What was on its way.
  await sleep(500);
  const before = systemd.count("WATCHDOG=1");
  await sleep(2000);
  assertEquals(systemd.count("WATCHDOG=1"), before);
});

testNeeding([...NEEDS, needsRoot], "no WATCHDOG while the event loop hangs, and again when it goes on", async () => {
  await using directory = await TempDir.make();
  await using systemd = await NotifySocket.open(directory.join("notify"));
  await using agent = await Agent.start(directory, underSystemd(systemd.name, "WATCHDOG_USEC=400000"));
  await until(() => systemd.count("WATCHDOG=1") === 2);
  // A file that is read at once, by a call that waits for a writer.
  const state = `${await directory.mkdir("run/docker-plugin")}/lamina.json`;
  await runOk("mkfifo", [state]);
  using connection = await RawConnection.open(agent.socket);
  await connection.request("GraphDriver.Status", "{}");
  await sleep(500);
  const before = systemd.count("WATCHDOG=1");
  await sleep(1000);
  assertEquals(systemd.count("WATCHDOG=1"), before);
  (await Deno.open(state, { write: true })).close();
  await until(() => systemd.count("WATCHDOG=1") > before + 1);
  // Nothing was written: no home is noted.
  assertEquals((await connection.answer())?.status, 409);
});

testNeeding([...NEEDS, needsRoot], "STATUS follows the work, and WATCHDOG goes on while it ends", async () => {
  await using directory = await TempDir.make();
  await using systemd = await NotifySocket.open(directory.join("notify"));
  await using client = await DockerClient.start(directory, {
    ...underSystemd(systemd.name, "WATCHDOG_USEC=400000"),
    args: ["--grace", "1"],
  });
  await client.ok("Create", { ID: "half" });
  using connection = await RawConnection.open(client.agent.socket);
  await connection.beginChunked("GraphDriver.ApplyDiff?id=half&parent=");
  await connection.chunk(new Uint8Array(512).fill(120));
  await until(() =>
    systemd.count(`STATUS=Serving ${FACES}; 1 request at work`) === 1 &&
    systemd.count("WATCHDOG=1") > 0
  );
  assertEquals(await client.agent.stop(), EXIT.ok);
  await until(() => systemd.count("STOPPING=1") === 1);
  const stopping = systemd.messages.findIndex(({ text }) => text.startsWith("STOPPING=1"));
  assertStringIncludes(systemd.messages[stopping]!.text, "STATUS=Waiting for 1 request to end; mounts stay");
  await until(() => systemd.messages.slice(stopping).some(({ text }) => text === "WATCHDOG=1"));
});

for (const [why, name] of [["nobody listens there", "/nowhere/notify"], ["that is no socket's name", "vsock:2:1"]]) {
  Deno.test(`the agent serves all the same, and warns once, when systemd cannot be told: ${why}`, async () => {
    await using directory = await TempDir.make();
    await using agent = await Agent.start(directory, underSystemd(name!, "WATCHDOG_USEC=100000"));
    await until(async () => (await agent.log()).includes("systemd cannot be told"));
    await sleep(300);
    assertEquals(await agent.stop(), EXIT.ok);
    assertEquals((await agent.log()).match(/systemd cannot be told/g)?.length, 1);
  });
}

/** A service that answers when it likes to. */
class FakeService implements Service {
  answer: "yes" | "no" | "never" = "no";
  asked = 0;

  describe(): string {
    return "fake";
  }

  answers(signal: AbortSignal): Promise<boolean> {
    this.asked++;
    if (this.answer !== "never") return Promise.resolve(this.answer === "yes");
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  }
}

testNeeding(NEEDS, "no READY before the service answers, no WATCHDOG while a call is stuck", async () => {
  await using directory = await TempDir.make();
  await using socket = await NotifySocket.open(directory.join("notify"));
  const env = new Map([["NOTIFY_SOCKET", socket.name], ["WATCHDOG_USEC", "200000"], ["HOME", "/root"]]);
  using systemd = Systemd.fromEnvironment(env, SILENT);
  assertEquals([...env.keys()], ["HOME"]);
  const service = new FakeService();
  const ready = systemd.ready(service);
  await until(() => service.asked >= 3);
  assertEquals(socket.messages, []);
  service.answer = "yes";
  await ready;
  await until(() => socket.count("WATCHDOG=1") === 2);
  service.answer = "never";
  await sleep(200);
  const [before, asked] = [socket.count("WATCHDOG=1"), service.asked];
  await until(() => service.asked >= asked + 3);
  assertEquals(socket.count("WATCHDOG=1"), before);
  service.answer = "yes";
  await until(() => socket.count("WATCHDOG=1") > before);
  assertEquals(socket.messages[0]!.text, "READY=1\nSTATUS=fake");
});

testNeeding(NEEDS, "one that stops before it is ready never says READY", async () => {
  await using directory = await TempDir.make();
  await using socket = await NotifySocket.open(directory.join("notify"));
  using systemd = Systemd.fromEnvironment(new Map([["NOTIFY_SOCKET", socket.name]]), SILENT);
  const service = new FakeService();
  const ready = systemd.ready(service);
  await until(() => service.asked > 0);
  await systemd.stopping(service, 1);
  service.answer = "yes";
  await ready;
  await until(() => socket.messages.length > 0);
  assertEquals(socket.messages.map(({ text }) => text), ["STOPPING=1\nSTATUS=fake\nEXTEND_TIMEOUT_USEC=1000"]);
});

Deno.test("an agent that systemd passes sockets to refuses to start, and opens none", async () => {
  await using directory = await TempDir.make();
  const where = ["--run-root", directory.join("run"), "serve", "--docker-plugin", "lamina"];
  const words = [...laminaCommand(), ...where, "--docker-plugin-dir", directory.join("plugins")];
  const passing = 'LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=lamina:api exec "$@"';
  const { code, stderr } = await run("sh", ["-c", passing, "sh", ...words]);
  assertEquals(code, EXIT.notSupported);
  assertStringIncludes(stderr, "Cannot listen on the sockets that systemd passed (lamina:api): LISTEN_FDS=2");
  assertEquals(await Array.fromAsync(Deno.readDir(directory.path)), []);
});

Deno.test("sockets that were passed to another process are none of ours", () => {
  refusePassedSockets(new Map([["LISTEN_PID", "1"], ["LISTEN_FDS", "1"]]));
  refusePassedSockets(new Map([["LISTEN_PID", `${Deno.pid}`], ["LISTEN_FDS", "0"]]));
  const error = assertThrows(() => refusePassedSockets(new Map([["LISTEN_PID", `${Deno.pid}`], ["LISTEN_FDS", "1"]])));
  assert(isStorageError(error, "not_supported"));
});
