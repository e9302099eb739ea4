// SPDX-License-Identifier: Apache-2.0

/**
 * The command line as a real ordinary user runs it, who has no way to become root.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { FIRST_SUBORDINATE_ID, needsOrdinaryUser, OrdinaryUser, USER_ID } from "../_helpers/ordinary_user.ts";
import { needsOverlay, needsProgram, testNeeding } from "../_helpers/requires.ts";
import { run, runOk, type RunResult } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { needsUserNamespaces, runInUserNamespace } from "../_helpers/user_namespace.ts";
import { laminaCommand, runLamina } from "./_run_lamina.ts";
import { signalWhenReady } from "./_signal_when_ready.ts";

const NEEDS = [needsOrdinaryUser, needsOverlay, needsProgram("tar"), needsProgram("newuidmap")];

/** An archive of two files, of which the second has the given owner. */
async function makeRootfs(directory: TempDir, owner: number): Promise<string> {
  await directory.mkdir("rootfs/etc");
  await Deno.writeTextFile(directory.join("rootfs/etc/motd"), "hello\n");
  await Deno.writeTextFile(directory.join("rootfs/etc/mail"), "hers\n");
  await Deno.chown(directory.join("rootfs/etc/mail"), owner, owner);
  await runOk("tar", ["-C", directory.join("rootfs"), "--numeric-owner", "-cf", directory.join("rootfs.tar"), "."]);
  return directory.join("rootfs.tar");
}

/** No process is left of those that the user started. */
async function assertNothingRuns({ home }: OrdinaryUser): Promise<void> {
  const { stdout } = await run("sh", ["-c", 'grep -lsF "HOME=$1" /proc/[0-9]*/environ', "sh", home]);
  assertEquals(stdout, "");
}

for (const hasSubordinateIds of [true, false]) {
  const ids = hasSubordinateIds ? "subordinate ids" : "one id";
  testNeeding(NEEDS, `an ordinary user with ${ids} fills, mounts, changes, exports and removes layers`, async () => {
    await using directory = await TempDir.make();
    const user = await OrdinaryUser.make(directory, { hasSubordinateIds });
    const owner = hasSubordinateIds ? 8 : 0;
    await user.ok(`lamina --quiet apply base ${await makeRootfs(directory, owner)}`);
    await user.ok("lamina create job --parent base --read-write");
    assertEquals(await user.ok("lamina ls"), "base\njob\n");
    const script = 'cd "$(lamina mount job)" && stat -c %u:%g etc/* && echo bye >etc/motd && mkdir new && rm etc/mail';
    assertEquals(await user.ok(`lamina unshare -- sh -c '${script}'`), `${owner}:${owner}\n0:0\n`);
    assertEquals(await user.ok("lamina mounts"), "");
    assertEquals(await user.ok("lamina changes job"), "C /etc\nD /etc/mail\nC /etc/motd\nA /new\n");
    assertEquals(await user.ok("lamina size job"), "4\n");
    assertEquals(
      await user.ok("lamina diff job | tar -t"),
      "./\netc/\netc/.wh.mail\netc/motd\nnew/\n",
    );
    await user.ok("lamina diff base | lamina --quiet apply copy -");
    assertEquals(await user.ok("lamina changes copy"), await user.ok("lamina changes base"));

    const store = `${user.home}/.local/share/lamina/overlay2`;
    const { uid, gid } = await Deno.stat(`${store}/copy/diff/etc/mail`);
    const outside = hasSubordinateIds ? FIRST_SUBORDINATE_ID + owner - 1 : USER_ID;
    assertEquals([uid, gid], [outside, outside]);
    assertEquals((await Deno.stat(`${store}/copy/diff/etc/motd`)).uid, USER_ID);

    await user.ok("lamina rm copy job base && lamina cleanup");
    assertEquals(await user.ok("lamina ls"), "");
    assertEquals(mountPointsBelow(directory.path), []);
    await assertNothingRuns(user);
  });
}

testNeeding(NEEDS, "mounts of an ordinary user are refused where they would not last", async () => {
  await using directory = await TempDir.make();
  const user = await OrdinaryUser.make(directory);
  await user.ok("lamina create base");
  for (const command of ["mount", "unmount"]) {
    const { code, stdout, stderr } = await user.sh(`lamina ${command} base`);
    assertEquals([code, stdout], [8, ""]);
    assertMatch(
      stderr,
      new RegExp(`^lamina: error: Cannot ${command} .* user namespace.*\nlamina: hint: lamina unshare`),
    );
  }
  assertEquals(
    await user.ok("lamina unshare -- sh -c 'lamina mount base >&2 && lamina unmount base' 2>&1 | wc -l"),
    "1\n",
  );
});

testNeeding(NEEDS, "the store is that of the options and the environment, inside and outside", async () => {
  await using directory = await TempDir.make();
  const user = await OrdinaryUser.make(directory);
  await user.ok("lamina create a", { XDG_DATA_HOME: `${user.home}/data` });
  await user.ok("cd data && lamina --root lamina create b");
  await user.ok("lamina create c", { LAMINA_ROOT: `${user.home}/data/lamina` });
  assertEquals(await user.ok("lamina --root data/lamina unshare -- sh -c 'cd / && lamina ls'"), "a\nb\nc\n");
  assertEquals(await user.ok("lamina ls"), "");
  assertEquals(
    await user.ok("lamina unshare -- sh -c 'echo $LAMINA_ROOT $LAMINA_RUN_ROOT'"),
    `${user.home}/.local/share/lamina ${user.home}/run/lamina\n`,
  );
});

testNeeding(NEEDS, "unshare without a program starts the shell of the user", async () => {
  await using directory = await TempDir.make();
  const user = await OrdinaryUser.make(directory);
  assertEquals(await user.ok("echo 'id -u; echo $0' | lamina unshare", { SHELL: "/bin/dash" }), "0\n/bin/dash\n");
});

const ENDS: readonly [program: string, code: number][] = [
  ["sh -c 'exit 0'", 0],
  ["sh -c 'exit 5'", 5],
  ["sh -c 'kill -TERM $$'", 143],
  ["sh -c 'kill -KILL $$'", 137],
  ["/nowhere/to/be/found", 127],
];

testNeeding(NEEDS, "unshare ends as its program does, for root and for others", async () => {
  await using directory = await TempDir.make();
  const user = await OrdinaryUser.make(directory);
  for (const [program, code] of ENDS) {
    assertEquals({ program, code: (await user.sh(`lamina unshare -- ${program}`)).code }, { program, code });
    const line = `"$@" unshare -- ${program}`;
    assertEquals({ program, code: (await run("sh", ["-c", line, "sh", ...laminaCommand()])).code }, { program, code });
  }
});

testNeeding(NEEDS, "unshare hands signals on to its program", async () => {
  await using directory = await TempDir.make();
  const user = await OrdinaryUser.make(directory);
  for (const signal of ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"] as const) {
    const script = `trap 'echo got it; exit 9' ${signal.slice(3)}; echo ready; while :; do sleep 0.02; done`;
    await using child = new Deno.Command("unshare", {
      args: ["--mount", ...user.become(), "lamina", "unshare", "--", "sh", "-c", script],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const { code, said } = await signalWhenReady(child, signal);
    assertEquals({ signal, code, said }, { signal, code: 9, said: "ready\ngot it\n" });
  }
  await assertNothingRuns(user);
});

testNeeding(NEEDS, "without util-linux unshare says what is missing", async () => {
  const { code, stderr } = await runLamina(["unshare", "true"], { env: { PATH: "/nowhere" } });
  assertEquals(code, 5);
  assertMatch(stderr, /^lamina: error: Cannot run unshare: .*\nlamina: hint: install util-linux/);
});

testNeeding(NEEDS, "a program that root runs by unshare has its mounts for itself", async () => {
  await using directory = await TempDir.make();
  const { code, stdout } = await runLamina([
    ...["--root", directory.join("root"), "--run-root", directory.join("run"), "unshare", "--"],
    ...[
      "sh",
      "-c",
      '"$@" create a && "$@" create b --parent a && "$@" mount b && "$@" mounts',
      "sh",
      ...laminaCommand(),
    ],
  ]);
  const merged = directory.join("root/overlay2/b/merged");
  assertEquals({ code, stdout }, { code: 0, stdout: `${merged}\nb  ${merged}\n` });
  assertEquals(mountPointsBelow(directory.path), []);
});

testNeeding([...NEEDS, needsProgram("setpriv")], "root without the capability to mount has it in unshare", async () => {
  const lacking = ["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"];
  const program = ["unshare", "--", "sh", "-c", "mount -t tmpfs none /mnt && cat /proc/self/uid_map"];
  const { code, stdout, stderr } = await run("setpriv", [...lacking, ...laminaCommand(), ...program]);
  assertEquals([code, stderr, stdout.trim().split(/ +/)], [0, "", ["0", "0", "1"]]);
});

testNeeding(NEEDS, "who is not root in the namespace does not enter another one for ever", async () => {
  await using directory = await TempDir.make();
  const user = await OrdinaryUser.make(directory, { hasSubordinateIds: true });
  const other = "setpriv --reuid=8 --regid=8 --clear-groups";
  const { code, stderr } = await user.sh(`lamina unshare -- ${other} lamina create base`);
  assertEquals(code, 8);
  assertStringIncludes(stderr, "this is one of lamina's already");
});

testNeeding(NEEDS, "where newuidmap fails, one id is mapped, and the reason is told", async () => {
  await using directory = await TempDir.make();
  const user = await OrdinaryUser.make(directory, { hasSubordinateIds: true });
  await Deno.writeTextFile(`${user.commands}/newuidmap`, "#!/bin/sh\necho 'not today' >&2; exit 1\n", { mode: 0o755 });
  const { code, stdout, stderr } = await user.sh("lamina unshare -- cat /proc/self/uid_map");
  assertEquals([code, stdout.trim().split(/ +/)], [0, ["0", String(USER_ID), "1"]]);
  assertEquals(stderr, "lamina: warning: only your own id is mapped, not those of /etc/subuid: not today\n");
});

testNeeding(NEEDS, "a range of ids that cannot be is told by file and line", async () => {
  await using directory = await TempDir.make();
  const user = await OrdinaryUser.make(directory, { hasSubordinateIds: true });
  await Deno.writeTextFile(directory.join("-etc-subgid"), `root:1:1\n${USER_ID}:${USER_ID}:1\n`);
  const { code, stderr } = await user.sh("lamina create base");
  assertEquals(code, 6);
  assertStringIncludes(stderr, "line 2 of /etc/subgid");
});

testNeeding([...NEEDS, needsUserNamespaces], "where user namespaces are switched off, the switch is told", async () => {
  await using directory = await TempDir.make();
  const user = await OrdinaryUser.make(directory);
  // The limit counts for what is below the namespace that it is set in.
  const script = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"';
  const store = ["--root", directory.join("root"), "--run-root", directory.join("run")];
  const program = [...user.become(), "lamina", ...store, "create", "base"];
  const { code, stderr } = await runInUserNamespace("subordinate", "sh", ["-c", script, "sh", ...program]);
  assertEquals(code, 8, stderr);
  assertStringIncludes(stderr, "user.max_user_namespaces is 0");
  assertMatch(stderr, /hint: .*sysctl -w user.max_user_namespaces=/);
  assert(!(await Array.fromAsync(Deno.readDir(directory.path))).some(({ name }) => name === "root"));
});

for (const who of ["root", "an ordinary user"]) {
  testNeeding(NEEDS, `what ${who} has mounted in one namespace is not mounted in another, nor removed`, async () => {
    await using directory = await TempDir.make();
    const user = await OrdinaryUser.make(directory);
    const become = who === "root" ? [] : ["unshare", "--mount", ...user.become()];
    const lamina = [...become, ...who === "root" ? [...laminaCommand()] : ["lamina"]];
    const store = ["--root", `${user.home}/a`, "--run-root", `${user.home}/run/b`];
    const [program, ...first] = lamina;
    const command = (...args: string[]): Promise<RunResult> => run(program!, [...first, ...store, ...args]);
    const inside = (
      script: string,
    ): string[] => ["unshare", "--", "sh", "-c", script, "sh", ...lamina.slice(become.length)];
    for (const args of [["create", "base"], ["create", "job", "--parent", "base"]]) {
      assertEquals((await command(...args)).stderr, "");
    }

    await using holder = new Deno.Command(program!, {
      args: [...first, ...store, ...inside('"$@" mount job && read -r _')],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const reader = holder.stdout.getReader();
    await reader.read();
    for (const args of [["rm", "job"], inside('"$@" mount job')]) {
      const { code, stderr } = await command(...args);
      assertEquals(code, 4, stderr);
      assertMatch(stderr, /merged, in the mount namespace of process \d+ \(/);
    }
    await holder.stdin.close();
    await reader.cancel();
    await holder.status;

    for (const args of [inside('"$@" mount job'), ["rm", "job"]]) assertEquals((await command(...args)).stderr, "");
    assertEquals((await command("ls")).stdout, "base\n");
  });
}
