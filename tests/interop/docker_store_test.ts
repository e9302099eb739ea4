// SPDX-License-Identifier: Apache-2.0

/**
 * One data-root, used by a real dockerd and by lamina: what dockerd made lamina reads, what lamina made does not disturb
 * dockerd. All of dockerd's opinions come from `docker export`, `docker save` and `docker diff`.
 */

import { assert, assertEquals } from "@std/assert";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree, listTree, type TreeEntry } from "../_helpers/tree.ts";
import { EXIT } from "../../lib/cli/exit_code.ts";
import { isMountPoint } from "../_helpers/mount_points.ts";
import { runLamina, TestStore } from "../cli/_run_lamina.ts";
import { containerLayer, makeImages, type SavedLayer, saveLayers } from "./_docker_images.ts";
import { Dockerd, NEEDS_DOCKERD } from "./_dockerd.ts";

const NEEDS = [needsRoot, needsOverlay, needsProgram("getfattr"), ...NEEDS_DOCKERD];
const EXTRACT = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"];

/** Docker's archives hold whole seconds. */
function bySeconds(entry: TreeEntry): TreeEntry {
  return { ...entry, mtime: entry.mtime.replace(/\..*/, "") };
}

/** Of an entry that only says what is deleted, the name alone means something. */
function withBareWhiteouts(entry: TreeEntry): TreeEntry {
  if (!/(^|\/)\.wh\.[^/]*$/.test(entry.path)) return bySeconds(entry);
  return { ...entry, mode: "", uid: "", gid: "", mtime: "", linkOf: "" };
}

/** What changes where dockerd mounts a layer, or makes another on it. */
const WRITTEN_BY_MOUNTS = /^[^/]+\/(work|committed)$/;

/** Extracts an archive by GNU tar; the directory. */
async function extract(archive: string, directory: string): Promise<string> {
  await runOk("tar", ["-C", directory, ...EXTRACT, archive]);
  return directory;
}

/** A data-root in a directory of its own, and lamina on it. */
class SharedStore implements AsyncDisposable {
  private constructor(readonly directory: TempDir, readonly store: TestStore) {}

  static async make(): Promise<SharedStore> {
    const directory = await TempDir.make();
    const home = `${Dockerd.dataRoot(directory)}/overlay2`;
    return new SharedStore(directory, TestStore.at(directory, ["--driver", "overlay2", "--home", home]));
  }

  get dataRoot(): string {
    return Dockerd.dataRoot(this.directory);
  }

  /** All layers, but for the times of directories that a mount point or a probe was in for a while. */
  async layerFiles(ignore = /^$/): Promise<string[]> {
    const seen = (entry: TreeEntry): TreeEntry => entry.path.includes("/") ? entry : { ...entry, mtime: "" };
    return await listTree(`${this.dataRoot}/overlay2`, { seen, ignore: (path) => ignore.test(path) });
  }

  /** All layers, and dockerd's books. */
  async files(): Promise<string[]> {
    return [...await this.layerFiles(), ...await listTree(`${this.dataRoot}/image`)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.directory[Symbol.asyncDispose]();
  }
}

/** What dockerd says of the images and of the container `web`. */
interface Truth {
  layers: SavedLayer[];
  /** The container's layer. */
  web: string;
  /** Its tree, by `docker export`. */
  tree: string;
  /** Lines of `docker diff`, sorted. */
  changes: string[];
}

async function askDocker(dockerd: Dockerd, { directory, dataRoot }: SharedStore): Promise<Truth> {
  await dockerd.docker(["export", "-o", directory.join("web.tar"), "web"]);
  return {
    layers: await saveLayers(dockerd, dataRoot, "lamina/demo:1", directory.join("saved")),
    web: await containerLayer(dockerd, dataRoot, "web"),
    tree: await extract(directory.join("web.tar"), await directory.mkdir("web")),
    changes: (await dockerd.docker(["diff", "web"])).split("\n").sort(),
  };
}

/** Reads all that lamina can, compares it with dockerd's word for it, and makes sure that reading changed nothing. */
async function checkReading(test: Deno.TestContext, shared: SharedStore, truth: Truth, when: string): Promise<void> {
  const { store, directory } = shared;
  const { layers, web, tree, changes } = truth;
  const before = await shared.files();

  await test.step(`ls tells layers and parents as dockerd has them in its books, ${when}`, async () => {
    const rows = await store.json(["ls"]) as { id: string; parent: string | null }[];
    const expected = new Map<string, string | null>(layers.map(({ id, parent }) => [id, parent ?? null]));
    expected.set(`${web}-init`, layers.at(-1)!.id).set(web, `${web}-init`);
    const parents = new Map(rows.map(({ id, parent }) => [id, parent]));
    for (const [id, parent] of expected) assertEquals(parents.get(id), parent, id);
    const { stdout } = await runLamina(["--root", shared.dataRoot, "--run-root", directory.join("run"), "ls"]);
    assertEquals(stdout.trimEnd().split("\n"), rows.map(({ id }) => id));
  });

  await test.step(`diff writes the entries of docker save, ${when}`, async () => {
    for (const { id, tar } of layers) {
      await store.ok(["diff", id, "--times", "seconds", "-o", directory.join("ours.tar")]);
      await using scratch = await TempDir.make();
      const ours = await extract(directory.join("ours.tar"), await scratch.mkdir("ours"));
      const theirs = await extract(tar, await scratch.mkdir("theirs"));
      await assertSameTree(ours, theirs, { seen: withBareWhiteouts, withoutRoot: true });
    }
  });

  await test.step(`mount --read-only shows the tree of docker export, ${when}`, async () => {
    const merged = (await store.ok(["mount", web, "--read-only"])).trimEnd();
    await assertSameTree(merged, tree, { seen: bySeconds, withoutRoot: true });
    await store.ok(["unmount", web]);
  });

  await test.step(`changes are those of docker diff, ${when}`, async () => {
    assertEquals((await store.ok(["changes", web])).trimEnd().split("\n").sort(), changes);
  });

  await test.step(`reading changed no file of dockerd's, ${when}`, async () => {
    for (const { id } of layers) {
      await store.ok(["inspect", id]);
      await store.ok(["changes", id, "--parent", ""]);
    }
    await store.ok(["tree"]);
    assertEquals(await shared.files(), before);
  });
}

testNeeding(NEEDS, "lamina reads the store of a dockerd, beside it and after it", async (test) => {
  await using shared = await SharedStore.make();
  const { directory, store } = shared;
  let truth: Truth;
  {
    await using dockerd = await Dockerd.start(directory);
    await makeImages(dockerd, directory);
    truth = await askDocker(dockerd, shared);
    await checkReading(test, shared, truth, "beside dockerd");

    await test.step("a running container keeps its mount, whatever lamina does with it", async () => {
      const sleep = ["/bin/sh", "-c", "trap exit TERM; echo up >/up; while true; do busybox sleep 0.1; done"];
      await dockerd.docker(["run", "--detach", "--network=none", "--name=live", "lamina/demo:1", ...sleep]);
      const live = await containerLayer(dockerd, shared.dataRoot, "live");
      const merged = (await store.ok(["mount", live])).trimEnd();
      assertEquals(merged, await dockerd.docker(["inspect", "--format={{.GraphDriver.Data.MergedDir}}", "live"]));
      assertEquals((await store.lamina(["rm", live])).code, EXIT.refused);
      await store.ok(["unmount", live]);
      assert(isMountPoint(merged), `${merged} is no longer mounted`);
      await dockerd.docker(["exec", "live", "/bin/busybox", "true"]);
      await dockerd.docker(["rm", "--force", "live"]);
    });
  }
  await checkReading(test, shared, truth, "after dockerd");

  await test.step("apply finds the DiffID that dockerd has for each layer", async () => {
    await using own = await TestStore.make();
    for (const { id, parent, tar, diffId } of truth.layers) {
      const below = parent === undefined ? [] : ["--parent", parent];
      const { diffId: ours } = await own.json(["apply", id, tar, ...below, "--digest"]) as { diffId: string };
      assertEquals(ours, diffId);
    }
  });

  await test.step("what is written in a container's layer while dockerd is away, dockerd finds", async () => {
    const merged = (await store.ok(["mount", truth.web])).trimEnd();
    await Deno.writeTextFile(`${merged}/from-lamina`, "hello\n");
    await Deno.remove(`${merged}/data`, { recursive: true });
    await store.ok(["unmount", truth.web]);
    await using dockerd = await Dockerd.start(directory);
    const expected = [...truth.changes.filter((line) => !line.includes("/data")), "A /from-lamina"];
    assertEquals((await dockerd.docker(["diff", "web"])).split("\n").sort(), expected.sort());
  });
});

testNeeding(NEEDS, "with --docker-root layers have the names that dockerd gave images and containers", async (test) => {
  await using directory = await TempDir.make();
  const dataRoot = Dockerd.dataRoot(directory);
  const store = TestStore.at(directory, ["--docker-root", dataRoot]);
  await using dockerd = await Dockerd.start(directory);
  await makeImages(dockerd, directory);
  await dockerd.docker(["tag", "lamina/demo:1", "lamina/demo:latest"]);
  const layers = await saveLayers(dockerd, dataRoot, "lamina/demo:1", directory.join("saved"));
  const [base, top] = [layers[0]!.id, layers.at(-1)!.id];
  const web = await containerLayer(dockerd, dataRoot, "web");

  await test.step("tree and ls show them", async () => {
    const tree = (await store.ok(["tree"])).split("\n");
    const expected = [
      `${base} [image lamina/base:1]`,
      `${top} [image lamina/demo:1, lamina/demo:latest]`,
      `${web}-init [container web, init]`,
      `${web} [container web]`,
    ];
    for (const label of expected) assert(tree.some((line) => line.endsWith(label)), `${label} in ${tree.join("\n")}`);
    assertEquals((await store.ok(["ls"])).trimEnd().split("\n").filter((line) => line.startsWith(base)), [
      expected[0]!,
    ]);
  });

  await test.step("commands take them", async () => {
    const container = await dockerd.docker(["inspect", "--format={{.Id}}", "web"]);
    const inspected = await store.json(["inspect", "web"]) as { id: string; docker: unknown };
    assertEquals(inspected.id, web);
    assertEquals(inspected.docker, [{ kind: "container", id: container, names: ["web"] }]);
    assertEquals((await store.json(["inspect", container.slice(0, 12)]) as { id: string }).id, web);
    const image = await dockerd.docker(["inspect", "--format={{.Id}}", "lamina/demo"]);
    for (const name of ["lamina/demo", "docker.io/lamina/demo:1", image, image.slice("sha256:".length, 19), top]) {
      assertEquals((await store.json(["inspect", name]) as { id: string }).id, top, name);
    }
    assertEquals(await store.ok(["changes", "web"]), await store.ok(["changes", web]));
    assertEquals((await store.ok(["changes", "web", "--parent", "lamina/demo"])).includes("/.dockerenv"), true);
    assertEquals((await store.lamina(["exists", "lamina/demo:1"])).code, EXIT.ok);
    assertEquals((await store.lamina(["exists", "lamina/demo:2"])).code, EXIT.failed);
    assertEquals((await store.lamina(["size", "lamina/demo:2"])).code, EXIT.notFound);
  });

  await test.step("a word that means a container and an image is refused", async () => {
    await dockerd.docker(["tag", "lamina/base:1", "web"]);
    const { code, stderr } = await store.lamina(["inspect", "web"]);
    assertEquals(code, EXIT.badInput);
    assert(stderr.includes(`container web (${web})`) && stderr.includes(`image web:latest (${base})`), stderr);
    await dockerd.docker(["rmi", "web"]);
  });

  await test.step("a layer of lamina's goes on an image by its name, and only that one can be removed", async () => {
    await store.ok(["create", "job", "--parent", "lamina/demo:1", "--read-write"]);
    assertEquals((await store.json(["inspect", "job"]) as { parent: string }).parent, top);
    for (const name of ["web", "lamina/base:1", `${web}-init`, layers[1]!.id]) {
      assertEquals((await store.lamina(["rm", "--force", "job", name])).code, EXIT.refused, name);
    }
    await store.ok(["rm", "job"]);
  });
});

testNeeding(NEEDS, "layers that lamina adds to a dockerd's store disturb nobody, and go without a trace", async () => {
  await using shared = await SharedStore.make();
  const { directory, store, dataRoot } = shared;
  let before: string[];
  {
    await using dockerd = await Dockerd.start(directory);
    await makeImages(dockerd, directory);
    before = await shared.layerFiles(WRITTEN_BY_MOUNTS);
    const [top] = (await saveLayers(dockerd, dataRoot, "lamina/demo:1", directory.join("saved"))).slice(-1);
    await store.ok(["create", "job", "--parent", top!.id, "--read-write"]);
  }
  await Deno.writeTextFile(`${(await store.ok(["mount", "job"])).trimEnd()}/written`, "by lamina\n");
  await store.ok(["unmount", "job"]);
  await store.ok(["apply", "foreign", directory.join("base.tar")]);
  {
    await using dockerd = await Dockerd.start(directory);
    const merged = (await store.ok(["mount", "job"])).trimEnd();
    const echo = ["run", "--rm", "--network=none", "lamina/demo:1", "/bin/busybox", "cat", "/etc/kept/more"];
    assertEquals(await dockerd.docker(echo), "more");
    await dockerd.docker(["commit", "web", "lamina/committed:1"]);

    await store.ok(["diff", "job", "--parent", "", "-o", directory.join("job.tar")]);
    await dockerd.docker(["import", directory.join("job.tar"), "lamina/job:1"]);
    const [layer] = await saveLayers(dockerd, dataRoot, "lamina/job:1", directory.join("saved-job"));
    await assertSameTree(merged, await extract(layer!.tar, await directory.mkdir("job")), {
      seen: bySeconds,
      withoutRoot: true,
    });

    await dockerd.docker(["rmi", "lamina/job:1", "lamina/committed:1"]);
    await store.ok(["unmount", "job"]);
    await store.ok(["rm", "job", "foreign"]);
    assertEquals(await dockerd.docker(echo), "more");
    assertEquals(await shared.layerFiles(WRITTEN_BY_MOUNTS), before);
  }
});
