// SPDX-License-Identifier: Apache-2.0

/**
 * A real dockerd that keeps its layers in lamina, by its graph driver plugin protocol: what its users do, and what goes
 * wrong on hosts. All opinions on contents come from `docker` and from programs in containers.
 */

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { until } from "../agent/_until.ts";
import { containerLayer, makeImages } from "./_docker_images.ts";
import { NEEDS_DOCKERD } from "./_dockerd.ts";
import { PluginHost } from "./_plugin_host.ts";

const NEEDS = [needsRoot, needsOverlay, ...["unshare", "nsenter"].map(needsProgram), ...NEEDS_DOCKERD];

const DOCKERFILE = `
FROM lamina/base:1
COPY file /copied/file
RUN rm /etc/deleted && chmod 4750 /etc/mode
RUN echo more >>/copied/file
`;
/** Shows what the steps of {@linkcode DOCKERFILE} made. */
const LOOK = "cat /copied/file; busybox stat -c '%a %s' /etc/mode; busybox ls /etc /etc/replaced";
const SEEN = [
  ["copied", "more", "4750 5"],
  ["/etc:", "becomes-directory", "hosts", "hostname", "kept", "mode", "mtab", "other-twin", "replaced", "resolv.conf"],
  ["twin", "", "/etc/replaced:", "hidden"],
].flat();

const LIVE = "trap exit TERM; echo up >/up; while true; do busybox sleep 0.1; done";

async function build(host: PluginHost): Promise<void> {
  const context = await host.directory.mkdir("built");
  await Deno.writeTextFile(`${context}/file`, "copied\n");
  await Deno.writeTextFile(`${context}/Dockerfile`, DOCKERFILE);
  await host.docker("build", "--network=none", "--tag=lamina/built:1", context);
}

/** What {@linkcode LOOK} says of the image, lines in the order of the alphabet. */
async function look(host: PluginHost, image: string): Promise<string[]> {
  return (await host.run(image, LOOK, "--rm")).split("\n").sort();
}

/** Has dockerd import an archive of which it gets the first half; then `strike` strikes, and nothing more comes. */
async function importHalf(host: PluginHost, strike: () => Promise<void>): Promise<void> {
  const archive = await Deno.readFile(host.directory.join("base.tar"));
  const before = await host.layersInBooks();
  const importing = host.dockerd.spawn(["import", "-", "lamina/half:1"]);
  const writer = importing.stdin.getWriter();
  // A client whose dockerd is gone reads no more.
  const half = writer.write(archive.subarray(0, archive.length >> 1)).catch(() => {});
  await until(async () => (await host.layers()).length > before.length);
  await strike();
  await half;
  await writer.close().catch(() => {});
  assert((await importing.output()).code !== 0, "half an archive was imported");
}

testNeeding(NEEDS, "a dockerd keeps its layers in lamina", async (test) => {
  await using host = await PluginHost.start();
  const { directory } = host;

  await test.step("info says so", async () => {
    const info = await host.docker("info", "--format={{.Driver}} {{json .DriverStatus}}");
    assertStringIncludes(info, `${host.driver} [["lamina",`);
    assertStringIncludes(info, '["Driver","overlay2"]');
  });

  await test.step("import, build and run make layers that have what they should", async () => {
    await makeImages(host.dockerd, directory);
    await build(host);
    assertEquals(await look(host, "lamina/built:1"), [...SEEN].sort());
    await host.assertNothingLeft();
  });

  await test.step("diff tells what a container changed", async () => {
    const ofDocker = /^. \/(\.dockerenv|dev|etc\/(hosts|hostname|mtab|resolv\.conf)|proc|sys)/;
    const changes = (await host.docker("diff", "web")).split("\n").filter((line) => !ofDocker.test(line));
    assertEquals(changes.sort(), [
      "A /data",
      "A /data/new",
      "A /etc/kept/again",
      "C /etc",
      "C /etc/kept",
      "C /etc/mode",
      "C /tmp",
      "D /etc/kept/below",
      "D /etc/kept/more",
      "D /etc/twin",
    ]);
  });

  await test.step("commit keeps the changes, of a running container too", async () => {
    await host.docker("commit", "web", "lamina/committed:1");
    const look = "cat /etc/mode /data/new /etc/kept/again; busybox ls /etc/kept; test ! -e /etc/twin";
    assertEquals(await host.run("lamina/committed:1", look, "--rm"), "changed\nnew\nagain\nagain");
    await host.run("lamina/base:1", LIVE, "--detach", "--name=live");
    await host.docker("exec", "live", "/bin/sh", "-c", "until test -e /up; do busybox sleep 0.1; done");
    await host.docker("commit", "live", "lamina/committed:2");
    assertEquals(await host.run("lamina/committed:2", "cat /up", "--rm"), "up");
    await host.assertNothingLeft([await containerLayer(host.dockerd, host.dataRoot, "live", host.driver)]);
  });

  await test.step("cp goes both ways, with a container that runs and one that does not", async () => {
    await Deno.writeTextFile(directory.join("given"), "given\n");
    for (const container of ["live", "web"]) {
      await host.docker("cp", directory.join("given"), `${container}:/etc/given`);
      await host.docker("cp", `${container}:/etc/given`, directory.join(container));
      assertEquals(await Deno.readTextFile(directory.join(container)), "given\n");
    }
    assertEquals(await host.docker("exec", "live", "/bin/busybox", "cat", "/etc/given"), "given");
    await host.assertNothingLeft([await containerLayer(host.dockerd, host.dataRoot, "live", host.driver)]);
  });

  await test.step("an agent that starts again changes nothing for a running container", async () => {
    const live = await containerLayer(host.dockerd, host.dataRoot, "live", host.driver);
    assertEquals(await host.agent.stop(), 0);
    assertEquals(host.mountedLayers(), [live]);
    await host.startAgent();
    await host.docker("exec", "live", "/bin/sh", "-c", "echo after >/after");
    assertMatch(await host.docker("diff", "live"), /^A \/after$/m);
    await host.agent.kill();
    await host.startAgent();
    assertEquals(await host.docker("exec", "live", "/bin/busybox", "cat", "/after"), "after");
    await host.docker("commit", "live", "lamina/committed:3");
    assertEquals(await host.run("lamina/committed:3", "cat /after", "--rm"), "after");
    await host.docker("stop", "live");
    await host.assertNothingLeft();
    await host.docker("start", "live");
    assertEquals(await host.docker("exec", "live", "/bin/busybox", "cat", "/after"), "after");
  });

  await test.step("a dockerd that starts again has all its images and containers", async () => {
    await host.dockerd.stop();
    assertEquals(host.mountedLayers(), []);
    await host.startDockerd();
    await host.assertNothingLeft();
    assertEquals(await look(host, "lamina/built:1"), [...SEEN].sort());
    await host.docker("start", "live");
    assertEquals(await host.docker("exec", "live", "/bin/busybox", "cat", "/after"), "after");
  });

  await test.step("a dockerd that was killed leaves no mount and loses nothing", async () => {
    // Its layer is mounted for the container and once more for the export, which dockerd will not give back.
    const exporting = host.dockerd.spawn(["export", "live"]);
    const reader = exporting.stdout.getReader();
    await reader.read();
    await host.dockerd.kill();
    await reader.cancel();
    await exporting.stdin.close();
    await exporting.stderr.cancel();
    await exporting.status;
    await host.startDockerd();
    await host.assertNothingLeft();
    await host.docker("start", "live");
    assertEquals(await host.docker("exec", "live", "/bin/busybox", "cat", "/after"), "after");
    await host.docker("rm", "--force", "live");
    await host.assertNothingLeft();
  });

  await test.step("an agent that is killed while a layer comes in leaves no half of it", async () => {
    await importHalf(host, async () => {
      await host.agent.kill();
      await host.startAgent();
    });
    await host.assertNothingLeft();
  });

  await test.step("what a dockerd that is killed was taking in leaves nothing of it", async () => {
    await importHalf(host, () => host.dockerd.kill());
    await host.startDockerd();
    const books = await host.layersInBooks();
    const orphans = (await host.layers()).filter((id) => !books.includes(id));
    // dockerd forgets the layers that it had no time to write down: so it does with its own drivers.
    for (const id of orphans) {
      await until(async () => !(await namesIn(`${host.home}/${id}`)).includes(".lamina-applying"));
      assertEquals(await host.store.json(["size", id]), { id, sizeBytes: 0 });
    }
    if (orphans.length > 0) await host.store.ok(["rm", ...orphans]);
    await host.assertNothingLeft();
  });

  await test.step("save and load keep images as they were", async () => {
    const [id, saved] = [
      await host.docker("inspect", "--format={{.Id}}", "lamina/built:1"),
      directory.join("saved.tar"),
    ];
    await host.docker("save", "-o", saved, "lamina/built:1");
    await host.docker("rmi", "lamina/built:1");
    await host.assertNothingLeft();
    await host.docker("load", "-i", saved);
    assertEquals(await host.docker("inspect", "--format={{.Id}}", "lamina/built:1"), id);
    assertEquals(await look(host, "lamina/built:1"), [...SEEN].sort());
  });

  await test.step("what lamina refuses, the user of docker reads", async () => {
    for (const [option, message] of [["size=nonsense", "nonsense"], ["colour=red", "colour"]] as const) {
      const { code, stderr } = await host.dockerd.run(["create", `--storage-opt=${option}`, "lamina/base:1", "sh"]);
      assert(code !== 0, `--storage-opt ${option} was taken`);
      assertStringIncludes(stderr, message);
    }
    await host.assertNothingLeft();
  });

  await test.step("rmi and system prune leave nothing", async () => {
    await host.docker("rmi", "lamina/committed:1", "lamina/committed:2", "lamina/committed:3");
    await host.assertNothingLeft();
    await host.docker("system", "prune", "--all", "--force");
    assertEquals(await host.layersInBooks(), []);
    await host.assertNothingLeft();
  });
});

/** Runs `"$@"` where the user "daemon" has ids to give away; the machine's own files stay as they are. */
const WITH_IDS = `
  echo daemon:100000:65536 >"$0"
  mount --bind "$0" /etc/subuid
  mount --bind "$0" /etc/subgid
  exec "$@"`;

testNeeding(NEEDS, "with --userns-remap the files of layers belong to the ids of containers", async () => {
  await using ids = await TempDir.make();
  await using host = await PluginHost.start({
    dockerd: ["--userns-remap=daemon", "--storage-opt=overlay2.override_kernel_check=true"],
    below: "/100000.100000",
    agentWrapper: ["unshare", "--mount", "sh", "-ec", WITH_IDS, ids.join("ids")],
    dockerdWrapper: (agentPid) => ["nsenter", "--mount", "--target", String(agentPid)],
  });
  await makeImages(host.dockerd, host.directory);
  const look = "busybox id -u; busybox stat -c '%u:%g %a' / /etc/kept /etc/mode; test -u /etc/mode";
  assertEquals(await host.run("lamina/demo:1", look, "--rm"), ["0", "0:0 755", "7:8 755", "0:0 4711"].join("\n"));
  const web = `${host.home}/${await containerLayer(host.dockerd, host.dataRoot, "web", host.driver)}/diff`;
  const { stdout } = await runOk("stat", ["-c", "%u:%g", web, `${web}/data/new`, `${web}/etc/kept`]);
  assertEquals(stdout, "100000:100000\n".repeat(3));
  await host.docker("commit", "web", "lamina/committed:1");
  assertEquals(await host.run("lamina/committed:1", "busybox stat -c %u:%g /data/new", "--rm"), "0:0");
  await host.assertNothingLeft();
  await host.docker("rm", "web");
  await host.assertNothingLeft();
});

testNeeding(NEEDS, "a dockerd whose --storage-opt lamina refuses says why in its log", async () => {
  const starting = PluginHost.start({ dockerd: ["--storage-opt=overlay2.colour=red"] });
  const { message } = await assertRejects(() => starting, Error, "unknown option overlay2.colour");
  assertStringIncludes(message, "Failed to GetDriver graph");
});
