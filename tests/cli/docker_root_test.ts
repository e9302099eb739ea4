// SPDX-License-Identifier: Apache-2.0

/** `--docker-root` on books made by hand; those of a real dockerd are in tests/interop/docker_store_test.ts. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { EXIT } from "../../lib/cli/exit_code.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { REPOSITORIES, TOP_IMAGE, WEB, writeBooks } from "../drivers/_docker_books.ts";
import { runLamina, TestStore } from "./_run_lamina.ts";

const NEEDS = [needsRoot, needsOverlay];

/** A data-root with the layers that the books are about, and one of lamina's own. */
async function makeStore(changes: Readonly<Record<string, string | undefined>> = {}): Promise<TestStore> {
  const directory = await TempDir.make();
  await writeBooks(directory, changes);
  const plain = TestStore.at(directory, ["--root", directory.path, "--driver", "overlay2"]);
  await plain.ok(["create", "layer-base"]);
  await plain.ok(["create", "layer-top", "--parent", "layer-base"]);
  await plain.ok(["create", "layer-web-init", "--parent", "layer-top"]);
  await plain.ok(["create", "layer-web", "--parent", "layer-web-init", "--read-write"]);
  await plain.ok(["create", "own", "--parent", "layer-top"]);
  return TestStore.at(directory, ["--docker-root", directory.path]);
}

testNeeding(NEEDS, "tree and ls write dockerd's names behind the ids", async () => {
  await using store = await makeStore();
  assertEquals(
    await store.drawing(),
    `layer-base [image localhost:5000/team/base:2]
└── layer-top [image demo:1, demo:latest]
    ├── layer-web-init [container web, init]
    │   └── layer-web [container web]
    └── own
`,
  );
  const lines = (await store.ok(["ls"])).trimEnd().split("\n");
  assertEquals(lines.map((line) => line.split(" ")[0]), [
    "layer-base",
    "layer-top",
    "layer-web",
    "layer-web-init",
    "own",
  ]);
  assertEquals(lines[2], "layer-web [container web]");
  const web = { kind: "container", id: WEB, names: ["web"] };
  const rows = await store.json(["ls"]) as { docker: unknown }[];
  assertEquals(rows.map(({ docker }) => docker).slice(2), [[web], [{ ...web, kind: "init" }], []]);
});

testNeeding(NEEDS, "a damaged book is a warning that names it, and the others are still read", async () => {
  await using store = await makeStore({ [REPOSITORIES]: "{", [`containers/${WEB}/config.v2.json`]: undefined });
  const { code, stdout, stderr } = await store.lamina(["ls"]);
  assertEquals(code, EXIT.ok);
  assertStringIncludes(
    stderr,
    `lamina: warning: Cannot use ${store.directory.join(REPOSITORIES)}: it is no JSON object\n`,
  );
  assertStringIncludes(stderr, `${store.directory.join("containers", WEB, "config.v2.json")}: it is missing\n`);
  assertStringIncludes(stdout, `layer-top [image ${TOP_IMAGE.slice(0, 12)}]\n`);
  assertStringIncludes(stdout, `layer-web [container ${WEB.slice(0, 12)}]\n`);
});

testNeeding(NEEDS, "a name from the books cannot steer a terminal", async () => {
  const config = JSON.stringify({ Name: "/web\u001b[2J\n" });
  await using store = await makeStore({ [`containers/${WEB}/config.v2.json`]: config });
  assertStringIncludes(await store.ok(["tree"]), "layer-web [container web\\x1b[2J\\n]\n");
});

testNeeding(NEEDS, "rm refuses what dockerd has in its books, and removes nothing else beside it", async () => {
  await using store = await makeStore();
  for (const name of ["web", "layer-web", "demo", "layer-web-init"]) {
    const { code, stderr } = await store.lamina(["rm", "--force", "own", name]);
    assertEquals(code, EXIT.refused, name);
    assertStringIncludes(stderr, "dockerd has it in its books");
  }
  await store.ok(["exists", "own"]);
  await store.ok(["rm", "own"]);
});

Deno.test("a directory that is no data-root is bad input where names are wanted, and nothing where they are not", async () => {
  await using directory = await TempDir.make();
  const options = ["--docker-root", directory.path, "--run-root", directory.join("run")];
  for (const command of [["ls"], ["tree"], ["inspect", "demo"], ["rm", "demo"], ["create", "a", "--parent", "demo"]]) {
    const { code, stdout, stderr } = await runLamina([...options, ...command]);
    assertEquals([code, stdout], [EXIT.badInput, ""], command.join(" "));
    assert(stderr.includes(directory.path) && stderr.includes("lamina: hint: "), stderr);
  }
  assertEquals((await runLamina([...options, "version"])).code, EXIT.ok);
});
