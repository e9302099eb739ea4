// SPDX-License-Identifier: Apache-2.0

/** Commands that take id maps. */

import "../_helpers/warm_libc.ts";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { needsIdMappedMounts } from "../_helpers/id_mapped_mounts.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { laminaCommand, TestStore } from "./_run_lamina.ts";

const NEEDS = [needsRoot, needsOverlay];
const MAPS = ["--uid-map", "0:100000:65536"];

async function ownerOf(path: string): Promise<unknown[]> {
  const { uid, gid } = await Deno.lstat(path);
  return [uid, gid];
}

testNeeding(
  [...NEEDS, needsIdMappedMounts],
  "mount shows a layer under other ids, and diff and changes know",
  async () => {
    await using store = await TestStore.make();
    await store.ok(["create", "base"]);
    const { upperDir } = await store.json(["inspect", "base"]) as { upperDir: string };
    await Deno.mkdir(`${upperDir}/etc`);
    await Deno.writeTextFile(`${upperDir}/etc/motd`, "hello\n");
    await Deno.chown(`${upperDir}/etc/motd`, 7, 8);
    await store.ok(["create", "job", "--parent", "base", "--read-write", ...MAPS]);
    const path = (await store.ok(["mount", "job", ...MAPS])).trimEnd();
    assertEquals(await ownerOf(`${path}/etc/motd`), [100_007, 100_008]);
    await Deno.writeTextFile(`${path}/etc/motd`, "bye\n");
    assertEquals(await store.ok(["changes", "job", ...MAPS]), "C /etc\nC /etc/motd\n");
    assertEquals(await store.ok(["size", "job", ...MAPS]), "4\n");
    await store.ok(["unmount", "job"]);

    const tar = store.directory.join("job.tar");
    await store.ok(["diff", "job", "-o", tar, ...MAPS]);
    const { stdout } = await runOk("tar", ["--numeric-owner", "-tvf", tar]);
    assertStringIncludes(stdout, " 7/8 ");
    const uncovered = await store.lamina(["diff", "job", "-o", tar, "--uid-map", "0:100000:5"]);
    assertEquals([uncovered.code, /Cannot archive ".*Cannot map id 100007/.test(uncovered.stderr)], [6, true]);
  },
);

testNeeding(
  [...NEEDS, needsProgram("unshare")],
  "--map-user takes the ids of /etc/subuid and /etc/subgid",
  async () => {
    await using store = await TestStore.make();
    for (const [file, first] of [["subuid", 300_000], ["subgid", 400_000]] as const) {
      await Deno.writeTextFile(store.directory.join(file), `other:1:5\ntester:${first}:10\n4711:500000:10\n`);
    }
    const script = 'mount --bind "$0/subuid" /etc/subuid; mount --bind "$0/subgid" /etc/subgid; exec "$@"';
    const lamina = (...words: string[]): Promise<unknown> =>
      runOk("unshare", [
        "--mount",
        "bash",
        "-ec",
        script,
        store.directory.path,
        ...laminaCommand(),
        ...store.options,
        ...words,
      ]);
    await lamina("create", "named", "--map-user", "tester");
    await lamina("create", "numbered", "--map-user", "4711");
    const owners = await Promise.all(["named", "numbered"].map(async (id) => {
      const { upperDir } = await store.json(["inspect", id]) as { upperDir: string };
      return await ownerOf(upperDir);
    }));
    assertEquals(owners, [[300_000, 400_000], [500_000, 500_000]]);
  },
);

testNeeding(NEEDS, "--map-user of somebody without subordinate ids says what to do", async () => {
  await using store = await TestStore.make();
  const { code, stderr } = await store.lamina(["create", "a", "--map-user", "no-such-user"]);
  assertEquals(code, 5);
  assertStringIncludes(stderr, '"no-such-user"');
  assertStringIncludes(stderr, "usermod --add-subuids");
  assertEquals(await store.ok(["ls"]), "");
});
