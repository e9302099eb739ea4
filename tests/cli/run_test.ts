// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina run`: what the program sees, what is kept of what it does, and how it ends.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { needsOrdinaryUser, OrdinaryUser } from "../_helpers/ordinary_user.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { makeBusyboxRootfs, NEEDS_BUSYBOX } from "./_busybox_rootfs.ts";
import { laminaCommand, TestStore } from "./_run_lamina.ts";
import { signalWhenReady } from "./_signal_when_ready.ts";

const NEEDS = [needsRoot, needsOverlay, ...NEEDS_BUSYBOX];

async function makeStore(): Promise<TestStore> {
  await using undo = new AsyncDisposableStack();
  const store = undo.use(await TestStore.make());
  await store.ok(["import", "base", await makeBusyboxRootfs(store.directory)]);
  undo.move();
  return store;
}

/** Nothing is mounted, and `ids` are the layers. */
async function assertLeft(store: TestStore, ...ids: string[]): Promise<void> {
  assertEquals(mountPointsBelow(store.directory.path), []);
  assertEquals(await store.ok(["ls"]), ids.map((id) => `${id}\n`).join(""));
}

testNeeding(NEEDS, "a program that is run has the layer as its root, and processes and mounts of its own", async () => {
  await using store = await makeStore();
  const script = `
    pwd; echo $HOME $LAMINA_ROOT; ls /; set -- /proc/[0-9]*; echo $#; cat /dev/null; readlink /dev/stdout
    mount -t tmpfs tmpfs /etc; touch /sys/x 2>&1; cat /etc/resolv.conf | wc -l; test -c /dev/pts/ptmx && echo terminals`;
  const all = await store.ok(["run", "base", "--rm", "--", "sh", "-c", script], { env: { LAMINA_ROOT: "/secret" } });
  const [directory, home, ...rest] = all.trimEnd().split("\n");
  assertEquals([directory, home], ["/", "/root"]);
  assertEquals(rest.slice(0, 5), ["bin", "dev", "etc", "proc", "sys"]);
  // The first process, and the shell.
  assertEquals(rest[5], "2");
  assertStringIncludes(rest.join("\n"), "touch: /sys/x: Read-only file system");
  assertEquals(rest.at(-1), "terminals");
  await assertLeft(store, "base");
});

testNeeding(
  NEEDS,
  "what a program changes is kept, unless that is not wanted or it was to be committed and failed",
  async () => {
    await using store = await makeStore();
    const { code, stderr } = await store.lamina(["run", "base", "--", "touch", "/made"]);
    assertEquals(code, 0, stderr);
    const [, kept] = /^kept as (run-[a-z2-7]{8})\n$/.exec(stderr) ?? [];
    assert(kept !== undefined, stderr);
    assertStringIncludes(await store.ok(["changes", kept]), "A /made\n");
    await store.ok(["rm", kept]);

    const committed = await store.ok(["run", "base", "--json", "--commit", "new", "--", "rm", "/bin/ls"]);
    assertEquals(committed, '{"id":"new","code":0}\n');
    assertStringIncludes(await store.ok(["changes", "new"]), "D /bin/ls\n");
    await store.ok(["run", "new", "--commit", "newer", "--", "touch", "/x"]);
    const failed = await store.lamina(["run", "base", "--commit", "bad", "--", "sh", "-c", "exit 3"]);
    assertEquals([failed.code, failed.stderr], [3, "not kept as bad: the program ended with 3\n"]);
    const removed = await store.lamina(["run", "base", "--rm", "--json", "--", "sh", "-c", "echo out; exit 4"]);
    assertEquals([removed.code, removed.stdout, removed.stderr], [4, 'out\n{"id":null,"code":4}\n', ""]);
    const taken = await store.lamina(["run", "base", "--commit", "new", "--", "touch", "/x"]);
    assertEquals(taken.code, 4);
    await assertLeft(store, "base", "new", "newer");
  },
);

testNeeding(NEEDS, "--read-only runs in the layer itself, in which nothing can be written", async () => {
  await using store = await makeStore();
  const write = ["--read-only", "--", "sh", "-c", "ls /; touch /x 2>&1; ls /proc"];
  assertEquals(
    await store.lamina(["run", "base", ...write]),
    {
      code: 1,
      stdout: "bin\netc\ntouch: /x: Read-only file system\n",
      stderr: "ls: /proc: No such file or directory\n",
    },
  );
  await assertLeft(store, "base");
});

testNeeding(NEEDS, "run takes the options of mounts", async () => {
  await using store = await makeStore();
  const { code, stderr } = await store.lamina(["run", "base", "--rm", "-o", "noexec", "--", "/bin/ls"]);
  assertEquals(code, 126, stderr);
  assertEquals((await store.lamina(["run", "base", "-o", "upperdir=/etc", "--", "ls"])).code, 6);
  await assertLeft(store, "base");
});

testNeeding(NEEDS, "an id may be shortened, and is looked for in no other store", async () => {
  await using store = await makeStore();
  await using other = await TestStore.make();
  await other.ok(["create", "base-of-others"]);
  const env = { LAMINA_ROOT: other.directory.join("root"), LAMINA_RUN_ROOT: other.directory.join("run") };
  for (const [id, said] of [["base", ""], ["ba", "ba is base\n"]] as const) {
    const { code, stderr } = await store.lamina(["run", id, "--rm", "--", "touch", "/x"], { env });
    assertEquals([code, stderr], [0, said]);
  }
  await assertLeft(store, "base");
});

const ENDS: readonly [program: readonly string[], code: number, message: RegExp][] = [
  [["sh", "-c", "exit 5"], 5, /^$/],
  [["sh", "-c", "kill -TERM $$"], 143, /^$/],
  [["sh", "-c", "kill -KILL $$"], 137, /^$/],
  [["nothing"], 127, /^lamina: error: Cannot run "nothing": there is no such program in the layer\n$/],
  [["/usr/bin/env"], 127, /no such program/],
  [["/etc"], 126, /^lamina: error: Cannot run "\/etc": /],
];

testNeeding(NEEDS, "run ends as its program does, and ends what that left running", async () => {
  await using store = await makeStore();
  for (const [program, code, message] of ENDS) {
    const result = await store.lamina(["run", "base", "--rm", "--", ...program]);
    assertEquals({ program, code: result.code }, { program, code }, result.stderr);
    assertMatch(result.stderr, message);
  }
  // The sleep holds standard output, which would not come to its end.
  assertEquals(await store.ok(["run", "base", "--rm", "--", "sh", "-c", "sleep 1000 & echo over"]), "over\n");
  await assertLeft(store, "base");
});

testNeeding(NEEDS, "run hands signals on to its program", async () => {
  await using store = await makeStore();
  const [program, ...first] = laminaCommand();
  const script = 'for s in TERM HUP INT; do trap "echo $s; exit 9" $s; done; echo ready; while :; do sleep 0.02; done';
  for (const signal of ["SIGTERM", "SIGHUP", "SIGINT"] as const) {
    await using child = new Deno.Command(program, {
      args: [...first, ...store.options, "run", "base", "--rm", "--", "sh", "-c", script],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const { code, said } = await signalWhenReady(child, signal);
    assertEquals([code, said], [9, `ready\n${signal.slice(3)}\n`]);
  }
  await assertLeft(store, "base");
});

testNeeding(NEEDS, "links in a layer that lead to the host lead nowhere, and the host stays as it is", async () => {
  await using store = await makeStore();
  const outside = await store.directory.mkdir("outside");
  const links = ["proc", "sys", "dev"].map((path) => ({ path, type: "2", link: outside }));
  const conf = { path: "etc/resolv.conf", type: "2", link: `${outside}/resolv.conf` };
  await store.ok(["import", "links", "-", "--parent", "base"], { input: tarOf([...links, conf]) });
  const script = `echo > ${outside}/x; ls /proc/ /sys/; cat /etc/resolv.conf; ls -l /`;
  const { stderr } = await store.lamina(["run", "links", "--rm", "--", "sh", "-c", script]);
  assertStringIncludes(stderr, outside);
  assertEquals(await Array.fromAsync(Deno.readDir(outside)), []);
  await assertLeft(store, "base", "links");
});

testNeeding(NEEDS, "words of run that exclude each other, or name an agent, are refused", async () => {
  for (
    const [words, message] of [
      [["--rm", "--commit", "x", "base", "ls"], "--rm and --commit exclude each other"],
      [["--rm", "--read-only", "base", "ls"], "--rm and --read-only exclude each other"],
      [["--socket", "/x", "base", "ls"], '"lamina run" does not go by an agent'],
      [["base"], '"lamina run" needs CMD'],
    ] as const
  ) {
    await using store = await TestStore.make();
    const { code, stderr } = await store.lamina(["run", ...words]);
    assertEquals(code, 2, stderr);
    assertStringIncludes(stderr, message);
  }
});

testNeeding(
  [...NEEDS, needsOrdinaryUser, needsProgram("newuidmap")],
  "an ordinary user runs programs as root of the layer",
  async () => {
    await using directory = await TempDir.make();
    const user = await OrdinaryUser.make(directory, { hasSubordinateIds: true });
    await user.ok(`lamina --quiet import base ${await makeBusyboxRootfs(directory)}`);
    const script =
      "cat /proc/self/uid_map | wc -l; mkdir /x; ls /dev | wc -l; ls /sys | wc -l; touch /sys/x 2>/dev/null || exit 6";
    const { code, stdout, stderr } = await user.sh(`lamina run base --rm -- sh -c '${script}'`);
    assertEquals([code, stderr], [6, ""]);
    assertMatch(stdout, /^2\n\d\d\n\d\d?\n$/);
    await user.ok("lamina --quiet run base --commit new -- touch /made");
    assertStringIncludes(await user.ok("lamina changes new"), "A /made\n");
  },
);
