// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina cp`. That no path leads out of a layer is tested in tests/drivers/layer_files_test.ts.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOrdinaryUser, OrdinaryUser } from "../_helpers/ordinary_user.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runBytes, runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { laminaCommand, TestStore } from "./_run_lamina.ts";

const NEEDS = [needsRoot, needsOverlay, needsProgram("tar")];

async function makeStore(): Promise<TestStore> {
  await using undo = new AsyncDisposableStack();
  const store = undo.use(await TestStore.make());
  const base = tarOf([
    { path: "etc", type: "5", mode: 0o755, mtime: 1000 },
    { path: "etc/motd", data: "hello\n", mode: 0o640, uid: 5, gid: 6, mtime: 1000 },
    { path: "etc/secret", data: "of the layer\n" },
    { path: "link", type: "2", link: "etc/motd" },
    { path: "links", type: "2", link: "/etc" },
  ]);
  await store.ok(["import", "base", "-"], { input: base });
  await store.ok(["create", "job", "--parent", "base", "--read-write"]);
  undo.move();
  return store;
}

testNeeding(NEEDS, "cp copies files and directories out of a layer, and into one", async () => {
  await using store = await makeStore();
  const out = await store.directory.mkdir("out");
  const { code, stdout, stderr } = await store.lamina(["cp", "job:/etc/motd", out]);
  assertEquals([code, stdout, stderr], [0, "", "copied 1 entries, 2.05 kB\n"]);
  const { mode, uid, gid, mtime } = await Deno.stat(`${out}/motd`);
  assertEquals([mode! & 0o7777, uid, gid, mtime?.getTime()], [0o640, 5, 6, 1_000_000]);
  assertEquals(Object.keys(await store.json(["cp", "job:etc", `${out}/new`]) as object), ["entries", "bytes"]);
  assertEquals(await namesIn(`${out}/new`), ["motd", "secret"]);
  await store.ok(["cp", out, "job:/made"]);
  assertEquals(
    await store.ok(["changes", "job"]),
    "A /made\nA /made/motd\nA /made/new\nA /made/new/motd\nA /made/new/secret\n",
  );
  assertEquals(mountPointsBelow(store.directory.path), []);
});

testNeeding(NEEDS, "cp - is a tar, out of a layer and into one", async () => {
  await using store = await makeStore();
  const [program, ...first] = laminaCommand();
  const out = await runBytes(program, [...first, ...store.options, "cp", "base:links/../etc", "-"]);
  assertEquals([out.code, out.stderr], [0, "copied 3 entries, 3.58 kB\n"]);
  await Deno.writeFile(store.directory.join("etc.tar"), out.stdout);
  assertEquals(
    (await runOk("tar", ["-tf", store.directory.join("etc.tar")])).stdout,
    "etc/\netc/motd\netc/secret\n",
  );
  await store.ok(["cp", "-", "job:/etc"], { input: out.stdout });
  assertEquals(await store.ok(["changes", "job"]), "C /etc\nA /etc/etc\nA /etc/etc/motd\nA /etc/etc/secret\n");
  assertEquals((await store.lamina(["cp", "base:etc", "-", "--json"])).code, 2);
});

testNeeding(NEEDS, "what cannot be copied is told", async () => {
  await using store = await makeStore();
  const cases: readonly [args: readonly string[], code: number, message: RegExp][] = [
    [
      ["/etc/hostname", "jo:/"],
      3,
      /There is no layer "jo"\nlamina: hint: it has to be a whole id: did you mean "job"/,
    ],
    [["a", "b"], 2, /has to be in a layer: ID:PATH/],
    [["job:/a", "base:/b"], 2, /has to be a path of the host.*\nlamina: hint: from layer to layer: .*cp job:\/a - \| /],
    [["./a:b", "c"], 2, /has to be in a layer/],
    [["--socket", "/x", "job:/a", "."], 2, /does not go by an agent/],
    [["job:/none", "."], 6, /Cannot copy "\/none": there is no such file/],
    [["a:b:c:/etc", "."], 6, /a:b:c/],
    [["/etc/hostname", "base:/x"], 4, /Cannot copy into layer "base": layer "job" lies on it\nlamina: hint: .*create/],
  ];
  for (const [args, code, message] of cases) {
    const result = await store.lamina(["cp", ...args]);
    assertEquals({ args, code: result.code }, { args, code }, result.stderr);
    assertMatch(result.stderr, message);
  }
  assertEquals(mountPointsBelow(store.directory.path), []);
});

testNeeding(
  [...NEEDS, needsOrdinaryUser, needsProgram("newuidmap")],
  "an ordinary user copies out of layers and into them",
  async () => {
    await using directory = await TempDir.make();
    const user = await OrdinaryUser.make(directory, { hasSubordinateIds: true });
    await user.ok("lamina create base && lamina create job --parent base --read-write");
    await user.ok("echo mine >file && lamina --quiet cp file job:/ && lamina --quiet cp job:/file copy && cat copy");
    assertEquals(await user.ok("lamina changes job"), "A /file\n");
  },
);
