// SPDX-License-Identifier: Apache-2.0

/**
 * The command line at work: real archives, real mounts, one process a command.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { isMountPoint } from "../_helpers/mount_points.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run, runBytes, runOk } from "../_helpers/run.ts";
import { withoutTimes } from "../_helpers/without_times.ts";
import { laminaCommand, TestStore } from "./_run_lamina.ts";

const NEEDS = [needsRoot, needsOverlay, needsProgram("tar")];

/** An archive, made by GNU tar, of three files in two directories. */
async function makeRootfs(store: TestStore): Promise<string> {
  const { directory } = store;
  await directory.mkdir("rootfs/etc/deep");
  await Deno.writeTextFile(directory.join("rootfs/etc/motd"), "hello\n");
  await Deno.writeTextFile(directory.join("rootfs/etc/hosts"), "127.0.0.1 localhost\n");
  await Deno.writeTextFile(directory.join("rootfs/etc/deep/file"), "deep\n");
  await runOk("tar", ["-C", directory.join("rootfs"), "-cf", directory.join("rootfs.tar"), "."]);
  return directory.join("rootfs.tar");
}

/** A store with the layer `base`, and `job` on it, in which three things were changed. */
async function makeJob(store: TestStore): Promise<void> {
  await store.ok(["apply", "base", await makeRootfs(store)]);
  await store.ok(["create", "job", "--parent", "base", "--read-write"]);
  const path = (await store.ok(["mount", "job"])).trimEnd();
  await Deno.writeTextFile(`${path}/etc/new`, "12345");
  await Deno.writeTextFile(`${path}/etc/motd`, "bye\n");
  await Deno.remove(`${path}/etc/hosts`);
  await store.ok(["unmount", "job"]);
}

testNeeding(NEEDS, "lamina from an empty store to an empty store", async (test) => {
  await using store = await TestStore.make();
  const rootfs = await makeRootfs(store);

  await test.step("ls of an empty store prints nothing", async () => {
    assertEquals(await store.ok(["ls"]), "");
    assertEquals(await store.ok(["tree"]), "");
    assertEquals(await store.json(["ls"]), []);
  });

  await test.step("apply makes the layer and tells on standard error", async () => {
    const { code, stdout, stderr } = await store.lamina(["apply", "base", rootfs]);
    assertEquals({ code, stdout }, { code: 0, stdout: "" });
    assertMatch(stderr, /^applied base: 6 entries, \d+(\.\d+)? kB\n$/);
  });

  await test.step("mount prints a path, where the container writes", async () => {
    await store.ok(["create", "job", "--parent", "base", "--read-write"]);
    const path = (await store.ok(["mount", "job"])).trimEnd();
    assert(isMountPoint(path));
    assertEquals(await Deno.readTextFile(`${path}/etc/motd`), "hello\n");
    await Deno.writeTextFile(`${path}/etc/new`, "12345");
    await Deno.remove(`${path}/etc/hosts`);
    assertEquals(await store.ok(["mounts"]), `job  ${path}\n`);
    assertEquals(await store.json(["mounts"]), [{ id: "job", path }]);
    assertEquals(withoutTimes(await store.json(["ls"]) as Record<string, unknown>[]), [
      { id: "base", parent: null, depth: 0, mounted: false },
      { id: "job", parent: "base", depth: 1, mounted: true },
    ]);
    assertEquals(await store.drawing(), "base\n└── job\n");
    assertMatch(
      await store.ok(["tree"]),
      /^DEPTH +AGE {2}MOUNTED {2}LAYER\n {4}0 +[\w-]+ {8}- {2}base\n {4}1 +[\w-]+ {6}yes {2}└── job\n$/,
    );
  });

  await test.step("a layer in use stays", async () => {
    const { code, stderr } = await store.lamina(["rm", "job"]);
    assertEquals(code, 4);
    assertMatch(stderr, /^lamina: error: .*job/);
    assertEquals((await store.lamina(["rm", "base"])).code, 4);
    assertEquals(await store.ok(["ls"]), "base\njob\n");
  });

  await test.step("the last unmount unmounts", async () => {
    const path = (await store.ok(["mount", "job"])).trimEnd();
    assertEquals(await store.ok(["unmount", "job"]), "");
    assert(isMountPoint(path));
    assertEquals(await store.json(["unmount", "job"]), { id: "job", mounted: false });
    assert(!isMountPoint(path));
    assertEquals(await store.ok(["mounts"]), "");
  });

  await test.step("changes and size tell what the job did", async () => {
    assertEquals(await store.ok(["changes", "job"]), "C /etc\nD /etc/hosts\nA /etc/new\n");
    assertEquals(await store.json(["changes", "job"]), [
      { path: "/etc", kind: "modify" },
      { path: "/etc/hosts", kind: "delete" },
      { path: "/etc/new", kind: "add" },
    ]);
    assertEquals(await store.ok(["size", "job"]), "5\n");
    assertEquals(await store.json(["size", "job"]), { id: "job", sizeBytes: 5 });
    assertStringIncludes(await store.ok(["changes", "base", "--parent", ""]), "A /etc/motd\n");
  });

  await test.step("inspect and info", async () => {
    const inspected = await store.json(["inspect", "job"]) as Record<string, unknown>;
    assertEquals([inspected.id, inspected.parent, inspected.depth, inspected.sizeBytes], ["job", "base", 1, 5]);
    assert(Array.isArray(inspected.lowerDirs) && inspected.lowerDirs.length === 1);
    assertMatch(await store.ok(["inspect", "job"]), /^id +job\nparent +base\n/);
    const { driver, home } = await store.json(["info"]) as { driver: string; home: string };
    assertEquals([driver, home], ["overlay2", store.directory.join("root/overlay2")]);
    assertMatch(await store.ok(["info"]), /^Driver: overlay2\nHome: /);
  });

  await test.step("exists answers by its number alone", async () => {
    assertEquals(await store.lamina(["exists", "job"]), { code: 0, stdout: "", stderr: "" });
    assertEquals(await store.lamina(["exists", "nobody"]), { code: 1, stdout: "", stderr: "" });
    const { code, stdout } = await store.lamina(["exists", "nobody", "--json"]);
    assertEquals({ code, answer: JSON.parse(stdout) as unknown }, {
      code: 1,
      answer: { id: "nobody", exists: false },
    });
  });

  await test.step("rm takes parents and children in any order", async () => {
    assertEquals(await store.json(["rm", "base", "job"]), { removed: ["job", "base"] });
    assertEquals(await store.ok(["ls"]), "");
  });
});

testNeeding(NEEDS, "mount twice and unmount twice by four processes keeps the mount until the last", async () => {
  await using store = await TestStore.make();
  await makeJob(store);
  const path = (await store.ok(["mount", "job"])).trim();
  assertEquals((await store.ok(["mount", "job"])).trim(), path);
  await store.ok(["unmount", "job"]);
  assert(isMountPoint(path));
  await store.ok(["unmount", "job"]);
  assert(!isMountPoint(path));
});

testNeeding(NEEDS, "a diff can be applied elsewhere and gives the same diff", async () => {
  await using store = await TestStore.make();
  await makeJob(store);
  const file = store.directory.join("job.tar.gz");
  const written = await store.json(["diff", "job", "--compress", "gzip", "-o", file]) as {
    id: string;
    entries: number;
  };
  assertEquals([written.id, written.entries > 3], ["job", true]);

  const applied = await store.json(["apply", "copy", file, "--parent", "base"]) as Record<string, unknown>;
  assertEquals([applied.id, applied.entries, applied.sizeBytes], ["copy", written.entries, 9]);
  assertEquals(await store.ok(["changes", "copy"]), await store.ok(["changes", "job"]));

  const [program, ...first] = laminaCommand();
  const [job, copy] = await Promise.all(
    ["job", "copy"].map((id) => runBytes(program, [...first, ...store.options, "diff", id])),
  );
  assertEquals([job!.code, job!.stderr], [0, ""]);
  assertEquals(job!.stdout, copy!.stdout);
});

testNeeding(NEEDS, "apply reads standard input, compressed too", async () => {
  await using store = await TestStore.make();
  const rootfs = await makeRootfs(store);
  await runOk("gzip", ["-k", rootfs]);
  await store.ok(["apply", "plain"], { input: await Deno.readFile(rootfs) });
  const { stderr } = await store.lamina(["apply", "packed", "-", "--quiet"], {
    input: await Deno.readFile(`${rootfs}.gz`),
  });
  assertEquals(stderr, "");
  assertEquals(await store.ok(["changes", "packed"]), await store.ok(["changes", "plain"]));
});

testNeeding(NEEDS, "apply takes an archive without its end only with --allow-missing-end", async () => {
  await using store = await TestStore.make();
  const rootfs = await makeRootfs(store);
  const bytes = await Deno.readFile(rootfs);
  // GNU tar fills its archives with zero blocks up to whole records.
  const input = bytes.subarray(0, Math.ceil((bytes.findLastIndex((byte) => byte !== 0) + 1) / 512) * 512);
  const refused = await store.lamina(["apply", "short"], { input });
  assertEquals(refused.code, 6);
  assertStringIncludes(refused.stderr, "--allow-missing-end");
  await store.ok(["apply", "short", "--allow-missing-end"], { input });
  await store.ok(["apply", "whole", rootfs]);
  assertEquals(await store.ok(["changes", "short"]), await store.ok(["changes", "whole"]));
});

testNeeding(NEEDS, "unmount --force and cleanup take back what was mounted several times", async () => {
  await using store = await TestStore.make();
  await makeJob(store);
  const path = (await store.ok(["mount", "job"])).trimEnd();
  for (let i = 0; i < 3; i++) await store.ok(["mount", "job"]);
  await store.ok(["unmount", "job", "--force"]);
  assert(!isMountPoint(path));

  await store.ok(["mount", "job"]);
  assertEquals(await store.json(["cleanup"]), { unmounted: ["job"], views: [], removed: [] });
  assert(!isMountPoint(path));
});

testNeeding(NEEDS, "rm --force unmounts, and does not miss a layer", async () => {
  await using store = await TestStore.make();
  await makeJob(store);
  const path = (await store.ok(["mount", "job"])).trimEnd();
  await store.ok(["rm", "--force", "job", "nobody"]);
  assert(!isMountPoint(path));
  assertEquals(await store.ok(["ls"]), "base\n");
});

testNeeding(NEEDS, "a read-only mount cannot be written", async () => {
  await using store = await TestStore.make();
  await makeJob(store);
  const path = (await store.ok(["mount", "job", "--read-only"])).trimEnd();
  assertEquals(await Deno.readTextFile(`${path}/etc/motd`), "bye\n");
  assertEquals((await run("touch", [`${path}/x`])).code, 1);
  await store.ok(["unmount", "job"]);
});

testNeeding(NEEDS, "create --template copies parent and content; --uid-map gives directories away", async () => {
  await using store = await TestStore.make();
  await makeJob(store);
  await store.ok(["create", "twin", "--template", "job"]);
  assertEquals(await store.ok(["changes", "twin"]), await store.ok(["changes", "job"]));

  await store.ok(["create", "mapped", "--uid-map", "0:100000:65536"]);
  const { upperDir } = await store.json(["inspect", "mapped"]) as { upperDir: string };
  const { uid, gid } = await Deno.stat(upperDir);
  assertEquals([uid, gid], [100000, 100000]);
});

testNeeding(NEEDS, "remap gives the files of a containers-overlay layer to other ids, and back", async () => {
  await using store = await TestStore.make();
  const driver = ["--driver", "containers-overlay"];
  await store.ok([...driver, "create", "base"]);
  const { upperDir } = await store.json(["inspect", "base"]) as { upperDir: string };
  await Deno.writeTextFile(`${upperDir}/file`, "");
  const ownerIn = async (directory: string): Promise<unknown[]> => {
    const { uid, gid } = await Deno.stat(`${directory}/file`);
    return [uid, gid];
  };
  assertEquals(await store.ok(["remap", "base", "--uid-map", "0:100000:10", "--gid-map", "0:200000:10"]), "");
  assertEquals(await ownerIn(`${upperDir}1`), [100000, 200000]);
  const back = ["--from-uid-map", "0:100000:10", "--from-gid-map", "0:200000:10"];
  assertEquals(await store.json(["remap", "base", ...back]), { id: "base" });
  assertEquals(await ownerIn(`${upperDir}1`), [0, 0]);
  const uncovered = await store.lamina(["remap", "base", "--uid-map", "5:100000:10"]);
  assertEquals([uncovered.code, /Cannot map id 0/.test(uncovered.stderr)], [6, true]);
});

testNeeding(NEEDS, "the environment stands in for the options", async () => {
  await using store = await TestStore.make();
  const [program, ...first] = laminaCommand();
  const env = {
    LAMINA_ROOT: store.directory.join("root"),
    LAMINA_RUN_ROOT: store.directory.join("run"),
    LAMINA_DRIVER: "overlay2",
  };
  assertEquals((await run(program, [...first, "create", "a"], { env })).code, 0);
  assertEquals(await store.ok(["ls"]), "a\n");
});

testNeeding([...NEEDS, needsProgram("bash")], "a reader that leaves early ends lamina without a word", async () => {
  await using store = await TestStore.make();
  await makeJob(store);
  for (const query of ["ls", "diff base"]) {
    const command = [...laminaCommand(), ...store.options, ...query.split(" ")];
    const line = `"$@" | true; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = await run("bash", ["-c", line, "bash", ...command]);
    assertEquals({ query, stdout, stderr }, { query, stdout: "141\n", stderr: "" });
  }
});

testNeeding([...NEEDS, needsProgram("zstd")], "zstd is written and read", async () => {
  await using store = await TestStore.make();
  await makeJob(store);
  const file = store.directory.join("base.tar.zst");
  await store.ok(["diff", "base", "--compress", "zstd", "-o", file]);
  await store.ok(["apply", "copy", file]);
  assertEquals(await store.ok(["changes", "copy"]), await store.ok(["changes", "base"]));
});
