// SPDX-License-Identifier: Apache-2.0

/**
 * The helpers that other tests trust: a comparison that finds nothing would let everything pass.
 *
 * @module
 */

import { isMountPoint, mountPointsBelow } from "./_helpers/mount_points.ts";
import { needsProgram, needsRoot, testNeeding } from "./_helpers/requires.ts";
import { run, runOk } from "./_helpers/run.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "./_helpers/std_assert.ts";
import { TempDir } from "./_helpers/temp_dir.ts";
import { assertSameTree, listTree } from "./_helpers/tree.ts";

const NEEDS = [needsRoot, needsProgram("setfattr")];

const MAKE_TREE = `
  mkdir "$1" && cd "$1" && mkdir dir && echo content > dir/file && ln dir/file hard && ln -s dir/file link
  mknod device c 1 3 && mkfifo fifo && touch single "$(printf 'odd\\351\\n')" 'with "quotes" \\ and = signs'
  setfattr -n user.text -v value dir/file && setfattr -n trusted.overlay.opaque -v y dir
  find . -exec touch -h -d 2020-02-03T04:05:06.123456789Z {} +`;

async function makeTree(path: string): Promise<void> {
  await runOk("sh", ["-e", "-c", MAKE_TREE, "sh", path]);
}

testNeeding(NEEDS, "assertSameTree() takes two trees made alike for the same", async () => {
  await using directory = await TempDir.make();
  await makeTree(directory.join("a"));
  await makeTree(directory.join("b"));
  await assertSameTree(directory.join("a"), directory.join("b"));
  assertEquals((await listTree(directory.join("a"))).length, 10);
});

const DIFFERENCES: readonly { name: string; command: string }[] = [
  {
    name: "content of the same length",
    command: "echo CONTENT > dir/file; touch -d 2020-02-03T04:05:06.123456789Z dir/file",
  },
  { name: "a nanosecond", command: "touch -d 2020-02-03T04:05:06.123456788Z single" },
  { name: "the time of a link", command: "touch -h -d 2020-01-01 link" },
  { name: "a mode bit", command: "chmod g+s single" },
  { name: "the root's mode", command: "chmod 700 ." },
  { name: "an owner", command: "chown 1:0 single" },
  { name: "a group", command: "chown -h 0:1 link" },
  { name: "a link's target", command: "ln -sfn dir/fild link; touch -h -d 2020-02-03T04:05:06.123456789Z link" },
  { name: "a hard link that is a copy", command: "cp -p --preserve=all hard x; mv x hard" },
  { name: "a device number", command: "rm device; mknod device c 1 5; touch -d 2020-02-03T04:05:06.123456789Z device" },
  { name: "an attribute's value", command: "setfattr -n user.text -v valuf dir/file" },
  { name: "an attribute that is gone", command: "setfattr -x user.text dir/file" },
  { name: "one more attribute, on a link", command: "setfattr -h -n trusted.more -v 1 link" },
  { name: "a name that is gone", command: "rm single" },
  { name: "one more name", command: "touch dir/more" },
  { name: "a type", command: "rm fifo; touch fifo; touch -d 2020-02-03T04:05:06.123456789Z fifo" },
];
for (const { name, command } of DIFFERENCES) {
  testNeeding(NEEDS, `assertSameTree() finds ${name}`, async () => {
    await using directory = await TempDir.make();
    await makeTree(directory.join("a"));
    await makeTree(directory.join("b"));
    await runOk("sh", ["-e", "-c", command], { cwd: directory.join("b") });
    const error = await assertRejects(() => assertSameTree(directory.join("b"), directory.join("a")), Error);
    assertStringIncludes(error.message, "is not the same tree");
  });
}

testNeeding(NEEDS, "assertSameTree() leaves overlayfs's own attributes out, and what it is told to", async () => {
  await using directory = await TempDir.make();
  await makeTree(directory.join("a"));
  await makeTree(directory.join("b"));
  await runOk("sh", ["-e", "-c", "setfattr -x trusted.overlay.opaque dir; touch dir/more; chmod 700 ."], {
    cwd: directory.join("b"),
  });
  await runOk("touch", ["-d", "2020-02-03T04:05:06.123456789Z", directory.join("b/dir")]);
  const options = { withoutRoot: true, ignore: (path: string): boolean => path === "dir/more" };
  await assertSameTree(directory.join("a"), directory.join("b"), options);
});

testNeeding([needsRoot], "TempDir goes away with mounts stacked in it, also when its test throws", async () => {
  let path = "";
  await assertRejects(
    async () => {
      await using directory = await TempDir.make();
      path = directory.path;
      await directory.mkdir("with blank", "other");
      await runOk("mount", ["-t", "tmpfs", "tmpfs", directory.join("with blank")]);
      await Deno.mkdir(directory.join("with blank/inner"));
      await runOk("mount", ["-t", "tmpfs", "tmpfs", directory.join("with blank/inner")]);
      await runOk("mount", ["-t", "tmpfs", "tmpfs", directory.join("with blank/inner")]);
      assert(isMountPoint(directory.join("with blank/inner")));
      throw new Error("a failing test");
    },
    Error,
    "a failing test",
  );
  assertEquals(mountPointsBelow(path), []);
  await assertRejects(() => Deno.stat(path), Deno.errors.NotFound);
});

Deno.test("run() tells what a program said; runOk() throws it", async () => {
  const result = await run("sh", ["-c", "cat; echo complaint >&2; exit 3"], { input: "text" });
  assertEquals(result, { code: 3, stdout: "text", stderr: "complaint\n" });
  await assertRejects(() => runOk("sh", ["-c", "echo complaint >&2; exit 3"]), Error, "ended with 3:\ncomplaint");
  assertEquals((await run("true", [], { input: "x".repeat(1 << 20) })).code, 0);
});

/** Runs one test that needs a program which nobody has. */
async function testWithoutProgram(requireAll: string): Promise<{ code: number; stdout: string; stderr: string }> {
  await using directory = await TempDir.make();
  const requires = new URL("./_helpers/requires.ts", import.meta.url).href;
  const source = `import { needsProgram, testNeeding } from "${requires}";\n` +
    `testNeeding([needsProgram("no-such-program")], "never runs", () => Deno.exit(9));\n`;
  await Deno.writeTextFile(directory.join("a_test.ts"), source);
  const args = ["test", "--allow-all", "--no-lock", "--no-check", "a_test.ts"];
  return await run(Deno.execPath(), args, {
    cwd: directory.path,
    env: { LAMINA_REQUIRE_ALL: requireAll, NO_COLOR: "1" },
  });
}

Deno.test("testNeeding() skips what is missing and says why", async () => {
  const { code, stdout } = await testWithoutProgram("");
  assertEquals(code, 0, stdout);
  assertStringIncludes(stdout, "never runs (skipped: needs the program no-such-program) ... ignored");
});

Deno.test("testNeeding() fails instead with LAMINA_REQUIRE_ALL=1", async () => {
  const { code, stdout } = await testWithoutProgram("1");
  assertEquals(code, 1, stdout);
  assertStringIncludes(stdout, "needs the program no-such-program");
});

const WRONG_ASSERTIONS = [
  `assertEquals(1, "1");`,
  `assertThrows(() => {}, "Error", 1);`,
  `assertMatch("a", "a");`,
  `const text: string = assertThrows(() => {}, TypeError);`,
  `assertStringIncludes(["a"], "a");`,
  `assertNothing();`,
];

Deno.test("a wrong use of an assertion fails the type check, a right one passes", async () => {
  await using directory = await TempDir.make();
  const types = new URL("./_helpers/std_assert.ts", import.meta.url).href;
  const check = async (body: string): Promise<number> => {
    const file = directory.join("use.ts");
    await Deno.writeTextFile(
      file,
      `import * as all from "${types}";\nconst { ${NAMES} } = all;\n${body}\nexport {};\n`,
    );
    return (await run(Deno.execPath(), ["check", "--no-lock", file])).code;
  };
  assertEquals(await check(`assertEquals([1], [1]); assertMatch("a", /a/);`), 0);
  for (const body of WRONG_ASSERTIONS) assertEquals(await check(body), 1, body);
});

const NAMES = "assertEquals, assertThrows, assertMatch, assertStringIncludes";
