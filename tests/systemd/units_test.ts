// SPDX-License-Identifier: Apache-2.0

/** The units, as systemd reads them and as it runs them. */

import { assertEquals, assertMatch, assertNotEquals, assertStringIncludes } from "@std/assert";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run, runOk, type RunResult } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { callJson, callRaw, RawConnection } from "../agent/_raw_http.ts";
import { until } from "../agent/_until.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { Manager, needsSystemd, UNITS } from "./_manager.ts";

const ANALYZE = [needsProgram("systemd-analyze")];
const RUN = [needsRoot, needsOverlay, needsSystemd];
const SOCKET = "/run/docker/plugins/lamina.sock";

/** Much of what systemd counts would hide mounts from dockerd; so it does not get better than this. */
const EXPOSURE_TENTHS = 45;

async function verify(directory: TempDir, edit: (unit: string) => string): Promise<RunResult> {
  for (const name of ["lamina.service", "lamina-mount@.service"]) {
    // The executable has to be there.
    const unit = (await Deno.readTextFile(`${UNITS}/${name}`)).replaceAll("/usr/local/bin/lamina", "/bin/true");
    await Deno.writeTextFile(directory.join(name), edit(unit));
  }
  const units = ["lamina.service", "lamina-mount@.service"].map((name) => directory.join(name));
  return await run("systemd-analyze", ["verify", "--man=no", "--recursive-errors=no", ...units]);
}

testNeeding(ANALYZE, "systemd-analyze verify finds nothing wrong with the units", async () => {
  await using directory = await TempDir.make();
  assertEquals(await verify(directory, (unit) => unit), { code: 0, stdout: "", stderr: "" });
  const misspelt = await verify(directory, (unit) => unit.replace("KillMode", "KilMode"));
  assertNotEquals(misspelt.code, 0);
  assertStringIncludes(misspelt.stderr, "Unknown key 'KilMode'");
});

for (const name of ["lamina.service", "lamina-mount@.service"]) {
  testNeeding(ANALYZE, `systemd-analyze security: ${name} is exposed no more than it has to be`, async () => {
    const words = ["security", "--offline=true", `--threshold=${EXPOSURE_TENTHS}`, "--no-pager", `${UNITS}/${name}`];
    const { code, stdout } = await run("systemd-analyze", words);
    assertEquals(code, 0, stdout);
  });
}

/** What dockerd asks of the agent that systemd started. */
async function ok(manager: Manager, method: string, fields: unknown): Promise<Record<string, unknown>> {
  const answer = await callJson(manager.path(SOCKET), `GraphDriver.${method}`, fields);
  assertEquals(answer.status, 200, JSON.stringify(answer.fields));
  return answer.fields;
}

/** Starts the service and has it mount a layer; where. */
async function startWithContainer(manager: Manager): Promise<string> {
  await manager.ok("start", "lamina.service");
  await ok(manager, "Init", { Home: "/var/lib/docker/lamina", Opts: null, UIDMaps: null, GIDMaps: null });
  await ok(manager, "Create", { ID: "base", Parent: "" });
  const archive = tarOf([
    { path: "bin/", type: "5", mode: 0o1777 },
    { path: "bin/su", data: "x", mode: 0o4755, uid: 1000, gid: 1000 },
    { path: "bin/mail", data: "x", mode: 0o2755, gid: 8 },
    { path: "bin/ping", data: "x", mode: 0o755, pax: { "SCHILY.xattr.security.capability": CAP_NET_RAW } },
    { path: "disk", type: "4", mode: 0o600, major: 8, minor: 1 },
    { path: "tty", type: "3", mode: 0o666, major: 5, minor: 0 },
    { path: ".wh.gone" },
  ]);
  await ok(manager, "Create", { ID: "second", Parent: "base" });
  const applied = await callRaw(manager.path(SOCKET), "GraphDriver.ApplyDiff?id=second&parent=base", archive);
  assertEquals(applied.status, 200, new TextDecoder().decode(applied.body));
  await ok(manager, "CreateReadWrite", { ID: "container", Parent: "second" });
  return (await ok(manager, "Get", { ID: "container" }))["Dir"] as string;
}

/** As capabilities(7) has it on disk, revision 2: cap_net_raw=ep. */
const CAP_NET_RAW = "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

testNeeding(
  RUN,
  "systemd runs the agent: all kinds of files, mounts that others see, and that outlive it",
  async () => {
    await using directory = await TempDir.make();
    await using manager = await Manager.start(directory);
    const merged = await startWithContainer(manager);
    const unit = "lamina.service";
    assertEquals(await manager.property(unit, "ActiveState"), "active");
    assertMatch(
      await manager.property(unit, "StatusText"),
      /^Serving lamina's API, graph driver plugin "lamina"; \d requests? at work$/,
    );

    const names = ["bin", "bin/su", "bin/mail", "disk", "tty"].map((name) => manager.path(`${merged}/${name}`));
    const { stdout } = await runOk("stat", ["--format=%F %a %u:%g %Hr:%Lr", ...names]);
    assertEquals(stdout.trim().split("\n"), [
      "directory 1777 0:0 0:0",
      "regular file 4755 1000:1000 0:0",
      "regular file 2755 0:8 0:0",
      "block special file 600 0:0 8:1",
      "character special file 666 0:0 5:0",
    ]);
    assertMatch((await manager.run("getcap", `${merged}/bin/ping`)).stdout, /cap_net_raw=ep$/m);

    assertEquals(await manager.isMounted(merged), true);
    const before = await manager.property(unit, "MainPID");
    await manager.ok("restart", unit);
    assertNotEquals(await manager.property(unit, "MainPID"), before);
    assertEquals(await manager.isMounted(merged), true);
    await manager.ok("stop", unit);
    assertEquals(await manager.property(unit, "Result"), "success");
    assertEquals(await manager.isMounted(merged), true);
    await manager.ok("start", unit);
    await ok(manager, "Put", { ID: "container" });
    assertEquals(await manager.isMounted(merged), false);
  },
);

testNeeding(RUN, "systemd ends an agent that hangs, and starts another one; mounts stay", async () => {
  await using directory = await TempDir.make();
  await using manager = await Manager.start(directory);
  await directory.mkdir("units/lamina.service.d");
  await Deno.writeTextFile(directory.join("units/lamina.service.d/test.conf"), "[Service]\nWatchdogSec=2\n");
  await manager.ok("daemon-reload");
  const merged = await startWithContainer(manager);
  // dockerd's home is what the next one finds here, and does not know yet.
  await manager.ok("restart", "lamina.service");
  // A file that is read at once, by a call that waits for a writer.
  const state = manager.path("/run/lamina/docker-plugin/lamina.json");
  await Deno.rename(state, `${state}.kept`);
  await runOk("mkfifo", [state]);
  {
    using connection = await RawConnection.open(manager.path(SOCKET));
    await connection.request("GraphDriver.Status", "{}");
    assertEquals(await connection.answer(), undefined);
  }
  await Deno.rename(`${state}.kept`, state);
  await until(async () => await manager.property("lamina.service", "ActiveState") === "active");
  assertEquals(await manager.property("lamina.service", "NRestarts"), "1");
  assertEquals(await manager.isMounted(merged), true);
  await ok(manager, "Put", { ID: "container" });
  assertEquals(await manager.isMounted(merged), false);
});

testNeeding(
  RUN,
  "lamina-mount@ shows the layers of its file at the place it is named after, and takes them down",
  async () => {
    await using directory = await TempDir.make();
    await using manager = await Manager.start(directory, 'printf "%s|" "$@" >>/run/words; echo >>/run/words');
    const conf = "/etc/lamina/mounts/srv/my app-1.conf";
    await manager.run("mkdir", "-p", "/etc/lamina/mounts/srv");
    await Deno.writeTextFile(manager.path(conf), "LAYERS=web base\nOPTIONS=--read-only --option index=off\n");
    const name = (await manager.run("systemd-escape", "--path", "/srv/my app-1")).stdout.trim();
    const unit = `lamina-mount@${name}.service`;
    await manager.ok("start", unit);
    assertEquals(await manager.property(unit, "ActiveState"), "active");
    await manager.ok("stop", unit);
    assertEquals((await Deno.readTextFile(manager.path("/run/words"))).trim().split("\n"), [
      "--quiet|mount|--at|/srv/my app-1|--read-only|--option|index=off|--|web|base|",
      "unmount|--at|/srv/my app-1|",
    ]);
  },
);
