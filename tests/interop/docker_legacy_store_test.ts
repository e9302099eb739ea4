// SPDX-License-Identifier: Apache-2.0

/** One data-root of Docker's legacy driver, used by a real dockerd and by lamina. */

import { assertEquals } from "@std/assert";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree, listTree, type TreeEntry } from "../_helpers/tree.ts";
import { runLamina, TestStore } from "../cli/_run_lamina.ts";
import { containerLayer, makeImages, type SavedLayer, saveLayers } from "./_docker_images.ts";
import { Dockerd, NEEDS_DOCKERD } from "./_dockerd.ts";

const NEEDS = [needsRoot, needsOverlay, ...NEEDS_DOCKERD];
const DRIVER = "overlay";
const EXTRACT = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"];

/** Docker's archives hold whole seconds. */
function bySeconds(entry: TreeEntry): TreeEntry {
  return { ...entry, mtime: entry.mtime.replace(/\..*/, "") };
}

function withoutTimes(entry: TreeEntry): TreeEntry {
  return { ...entry, mtime: "" };
}

/** All layers, but for their mount points: Docker before 1.13 wants one, later ones make and remove it themselves. */
async function filesIn(home: string): Promise<string[]> {
  const seen = (entry: TreeEntry): TreeEntry => entry.path.includes("/") ? entry : withoutTimes(entry);
  return await listTree(home, { seen, ignore: (path) => /^[^/]+\/merged$/.test(path), withoutRoot: true });
}

async function changesOf(store: TestStore, id: string, parent: string): Promise<string[]> {
  return (await store.ok(["changes", id, "--parent", parent])).trimEnd().split("\n").sort();
}

testNeeding(NEEDS, "lamina and a dockerd with the legacy driver use one store", async (test) => {
  await using directory = await TempDir.make();
  const dataRoot = Dockerd.dataRoot(directory);
  const home = `${dataRoot}/${DRIVER}`;
  const store = TestStore.at(directory, ["--driver", DRIVER, "--home", home]);
  let layers: SavedLayer[];
  let web: string;
  let dockerChanges: string[];
  {
    await using dockerd = await Dockerd.start(directory, DRIVER);
    await makeImages(dockerd, directory);
    layers = await saveLayers(dockerd, dataRoot, "lamina/demo:1", directory.join("saved"), DRIVER);
    web = await containerLayer(dockerd, dataRoot, "web", DRIVER);
    dockerChanges = (await dockerd.docker(["diff", "web"])).split("\n").sort();
    await dockerd.docker(["export", "-o", directory.join("web.tar"), "web"]);
  }
  const exported = await directory.mkdir("web");
  await runOk("tar", ["-C", exported, ...EXTRACT, directory.join("web.tar")]);
  const top = layers.at(-1)!.id;
  const before = await filesIn(home);

  await test.step("lamina knows the layers, and of parents what the format tells", async () => {
    const rows = await store.json(["ls"]) as { id: string; parent: string | null }[];
    const parents = new Map(rows.map(({ id, parent }) => [id, parent]));
    for (const { id } of layers) assertEquals(parents.get(id), null, id);
    for (const id of [`${web}-init`, web]) assertEquals(parents.get(id), top, id);
    const { stdout } = await runLamina(["--root", dataRoot, "--run-root", directory.join("run"), "ls"]);
    assertEquals(stdout.trimEnd().split("\n"), rows.map(({ id }) => id));
  });

  await test.step("changes are those of docker diff, and a mount shows the tree of docker export", async () => {
    assertEquals(await changesOf(store, web, `${web}-init`), dockerChanges);
    const merged = (await store.ok(["mount", web, "--read-only"])).trimEnd();
    await assertSameTree(merged, exported, { seen: bySeconds, withoutRoot: true });
    await store.ok(["unmount", web]);
  });

  await test.step("reading changed nothing", async () => {
    assertEquals(await filesIn(home), before);
  });

  await test.step("the images that lamina makes of the same archives are those of dockerd", async () => {
    await using scratch = await TempDir.make();
    const own = TestStore.at(scratch, ["--driver", DRIVER, "--home", scratch.join("home")]);
    for (const { id, parent, tar } of layers) {
      await own.ok(["apply", id, tar, ...parent === undefined ? [] : ["--parent", parent]]);
      await assertSameTree(`${scratch.join("home")}/${id}/root`, `${home}/${id}/root`, {
        seen: withoutTimes,
        withoutRoot: true,
      });
    }
  });

  await test.step("what lamina writes and makes while dockerd is away does not disturb dockerd", async () => {
    const merged = (await store.ok(["mount", web])).trimEnd();
    await Deno.writeTextFile(`${merged}/from-lamina`, "hello\n");
    await store.ok(["unmount", web]);
    await store.ok(["create", "ours", "--parent", top, "--read-write"]);
    await using dockerd = await Dockerd.start(directory, DRIVER);
    assertEquals(
      (await dockerd.docker(["diff", "web"])).split("\n").sort(),
      [...dockerChanges, "A /from-lamina"].sort(),
    );
    const run = ["run", "--rm", "--network=none", "lamina/demo:1", "/bin/busybox", "cat", "/etc/mode"];
    assertEquals(await dockerd.docker(run), "mode");
    await dockerd.docker(["commit", "web", "lamina/web:1"]);
    await dockerd.docker(["rm", "web"]);
  });
});
