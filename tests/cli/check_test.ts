// SPDX-License-Identifier: Apache-2.0

/** `lamina check` and `lamina verify`, with their exit numbers. What they find is tested in tests/drivers/check_*_test.ts. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { EXIT } from "../../lib/cli/exit_code.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { writeBooks } from "../drivers/_docker_books.ts";
import { TestStore } from "./_run_lamina.ts";

const NEEDS = [needsRoot, needsOverlay];

async function makeStore(): Promise<TestStore> {
  const store = await TestStore.make();
  await store.ok(["create", "base"]);
  await store.ok(["create", "top", "--parent", "base"]);
  return store;
}

testNeeding(
  NEEDS,
  "check tells what it would do, repairs when told to, and ends with 9 until nothing is wrong",
  async () => {
    await using store = await makeStore();
    assertEquals(await store.lamina(["check"]), { code: 0, stdout: "", stderr: "nothing is wrong\n" });
    const home = store.directory.join("root/overlay2");
    await runOk("bash", ["-ec", ": >base/link; echo >$'stray\\n'"], { cwd: home });
    const name = (await runOk("ls", [`${home}/l`])).stdout.split("\n");
    const found = await store.lamina(["check"]);
    assertEquals(found.code, EXIT.damaged);
    const lines = found.stdout.split("\n");
    assertMatch(
      lines[0]!,
      /^link_empty: .*\/base\/link is empty: write ([A-Z2-7]{26}) into it, from l\/\1, which leads to it$/,
    );
    assertStringIncludes(lines[1]!, "stray\\n is no layer, and belongs to no driver: move it to lost+found");
    assertEquals(lines.length, 3);
    assertEquals(found.stderr, "2 wrong, 2 of them can be repaired (--repair)\n");
    assertEquals(name.some((link) => lines[0]!.includes(link)), true);

    const repaired = await store.lamina(["check", "--repair"]);
    assertEquals(repaired.code, EXIT.ok);
    assertMatch(repaired.stdout, /^link_empty: .* is empty: repaired: write /);
    assertEquals(repaired.stderr, "2 wrong, 2 repaired\n");
    assertEquals(await store.lamina(["check", "--deep", "--quiet"]), { code: 0, stdout: "", stderr: "" });
  },
);

testNeeding(NEEDS, "check tells what cannot be repaired, and ends with 9 after a repair too", async () => {
  await using store = await makeStore();
  await runOk("bash", ["-ec", "rm -r base/diff"], { cwd: store.directory.join("root/overlay2") });
  const { code, stdout, stderr } = await store.lamina(["check", "--repair"]);
  assertEquals(code, EXIT.damaged);
  assertMatch(stdout, /^content_missing: .*\/base\/diff is missing: nothing: .*lamina rm base\n$/);
  assertEquals(stderr, "1 wrong, 0 repaired\n");
  const [finding] = await JSON.parse((await store.lamina(["check", "--json"])).stdout) as unknown[];
  assertEquals(finding, {
    code: "content_missing",
    layer: "base",
    path: store.directory.join("root/overlay2/base/diff"),
    problem: "is missing",
    action: "nothing: it was nowhere else; put it back, or remove the layer: lamina rm base",
    kind: "damage",
    repairable: false,
    repaired: false,
  });
});

testNeeding(NEEDS, "check with --docker-root names layers that dockerd does not know, and what they hold", async () => {
  await using directory = await TempDir.make();
  await writeBooks(directory);
  const store = TestStore.at(directory, ["--root", directory.path, "--driver", "overlay2"]);
  await store.ok(["create", "layer-base"]);
  await store.ok(["create", "layer-top", "--parent", "layer-base"]);
  await store.ok(["create", "orphan"]);
  await Deno.writeTextFile(directory.join("overlay2/orphan/diff/file"), "x".repeat(12_345));
  const docker = TestStore.at(directory, ["--docker-root", directory.path]);
  const { code, stdout, stderr } = await docker.lamina(["check", "--repair"]);
  assertEquals(code, EXIT.ok);
  assertMatch(
    stdout,
    /^layer_unreferenced: .*\/orphan is not in dockerd's books in .* \(12\.3 kB\): .*lamina rm orphan\n$/,
  );
  assertEquals(stderr, "nothing is wrong; 1 to know of; 1 that nobody refers to hold 12.3 kB\n");
  await docker.ok(["exists", "orphan"]);

  // What dockerd has noted of parents tells what lies below.
  await Deno.writeTextFile(directory.join("overlay2/layer-top/lower"), "");
  assertEquals((await store.lamina(["check", "--repair"])).code, EXIT.damaged);
  assertStringIncludes(await docker.ok(["check", "--repair"]), "dockerd's books");
  assertStringIncludes(await docker.ok(["tree"]), "└── layer-top");
});

testNeeding([...NEEDS, needsProgram("tar")], "verify tells which files changed since apply --manifest", async () => {
  await using store = await makeStore();
  const { directory } = store;
  await directory.mkdir("rootfs/etc");
  await Deno.writeTextFile(directory.join("rootfs/etc/motd"), "hello\n");
  await runOk("tar", ["-C", directory.join("rootfs"), "-cf", directory.join("rootfs.tar"), "."]);
  await store.ok(["apply", "image", directory.join("rootfs.tar"), "--manifest"]);
  assertEquals(await store.lamina(["verify"]), {
    code: 0,
    stdout: "",
    stderr: "1 verified, 0 differ, 2 without a manifest\n",
  });
  await runOk("truncate", ["-s", "0", directory.join("root/overlay2/image/diff/etc/motd")]);
  await runOk("truncate", ["-s", "6", directory.join("root/overlay2/image/diff/etc/motd")]);
  const { code, stdout, stderr } = await store.lamina(["verify", "image"]);
  assertEquals([code, stdout, stderr], [
    EXIT.damaged,
    "image: zeroed etc/motd\n",
    "1 verified, 1 differ, 0 without a manifest\n",
  ]);
  assertEquals(JSON.parse((await store.lamina(["verify", "--json"])).stdout), [
    { id: "image", differences: [{ path: "etc/motd", change: "zeroed" }] },
  ]);
  assertEquals(await store.json(["verify", "--record", "image", "base"]), { recorded: ["image", "base"] });
  await store.ok(["verify", "image", "base"]);
  const without = await store.lamina(["verify", "top"]);
  assertEquals(without.code, EXIT.badInput);
  assertStringIncludes(without.stderr, "lamina: hint: lamina verify --record top makes one");
});
