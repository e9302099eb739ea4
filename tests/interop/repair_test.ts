// SPDX-License-Identifier: Apache-2.0

/**
 * Stores that dockerd and containers-storage filled: `lamina check` finds nothing wrong with them as they are, and after
 * damage it brings them back to where their own programs can use them again.
 */

import "../_helpers/warm_libc.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { EXIT } from "../../lib/cli/exit_code.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { snapshot } from "../_helpers/snapshot.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { runLamina, TestStore } from "../cli/_run_lamina.ts";
import { CONTAINERS_STORAGE_NEEDS, ContainersStore } from "./_containers_storage.ts";
import { containerLayer, makeImages, saveLayers } from "./_docker_images.ts";
import { Dockerd, NEEDS_DOCKERD } from "./_dockerd.ts";

const NEEDS = [needsRoot, needsOverlay, ...NEEDS_DOCKERD];
/** A power cut, as dockerd's users report it. */
const POWER_CUT = `for file in */link */lower; do : >$file; done; rm -f l/$(ls l | head -n 1)`;

/** Lines of `docker diff`, sorted. */
async function changesOfWeb(dockerd: Dockerd): Promise<string[]> {
  return (await dockerd.docker(["diff", "web"])).split("\n").sort();
}

testNeeding(
  NEEDS,
  "check brings a dockerd's store back after a power cut, and names what docker system prune cannot see",
  async () => {
    await using directory = await TempDir.make();
    const dataRoot = Dockerd.dataRoot(directory);
    const home = `${dataRoot}/overlay2`;
    const store = TestStore.at(directory, ["--docker-root", dataRoot]);
    let expected: string[];
    {
      await using dockerd = await Dockerd.start(directory);
      await makeImages(dockerd, directory);
      expected = await changesOfWeb(dockerd);
      assertEquals(await store.lamina(["check"]), { code: EXIT.ok, stdout: "", stderr: "nothing is wrong\n" });
    }
    assertEquals(await store.lamina(["check"]), { code: EXIT.ok, stdout: "", stderr: "nothing is wrong\n" });
    await store.ok(["apply", "orphan", directory.join("base.tar")]);
    assertStringIncludes(await store.ok(["check"]), "orphan is not in dockerd's books");
    await store.ok(["rm", "orphan"]);

    await runOk("bash", ["-ec", POWER_CUT], { cwd: home });
    assertEquals((await store.lamina(["check"])).code, EXIT.damaged);
    const { code, stdout } = await store.lamina(["check", "--repair"]);
    assertEquals(code, EXIT.ok, stdout);
    assertEquals(await store.lamina(["check"]), { code: EXIT.ok, stdout: "", stderr: "nothing is wrong\n" });
    {
      await using dockerd = await Dockerd.start(directory);
      assertEquals(await changesOfWeb(dockerd), expected);
      const cat = ["run", "--rm", "--network=none", "lamina/demo:1", "/bin/busybox", "cat", "/etc/kept/more"];
      assertEquals(await dockerd.docker(cat), "more");
    }
  },
);

testNeeding(NEEDS, "check brings a store of Docker's legacy driver back", async () => {
  await using directory = await TempDir.make();
  const dataRoot = Dockerd.dataRoot(directory);
  const home = `${dataRoot}/overlay`;
  const store = TestStore.at(directory, ["--docker-root", dataRoot, "--driver", "overlay"]);
  let web: string;
  let expected: string[];
  {
    await using dockerd = await Dockerd.start(directory, "overlay");
    await makeImages(dockerd, directory);
    web = await containerLayer(dockerd, dataRoot, "web", "overlay");
    await saveLayers(dockerd, dataRoot, "lamina/demo:1", directory.join("saved"), "overlay");
    expected = await changesOfWeb(dockerd);
  }
  assertEquals(await store.lamina(["check"]), { code: EXIT.ok, stdout: "", stderr: "nothing is wrong\n" });
  await runOk("bash", ["-ec", `: >${web}/lower-id; rm ${web}-init/lower-id`], { cwd: home });
  const { code, stdout } = await store.lamina(["check", "--repair"]);
  assertEquals(code, EXIT.ok, stdout);
  await using dockerd = await Dockerd.start(directory, "overlay");
  assertEquals(await changesOfWeb(dockerd), expected);
});

testNeeding(
  CONTAINERS_STORAGE_NEEDS,
  "check brings a store of containers-storage back, by its layers.json",
  async () => {
    await using directory = await TempDir.make();
    const store = new ContainersStore(directory, "store");
    const lamina = async (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
      await runLamina([...store.cliOptions, ...args]);
    let parent: string[] = [];
    for (const id of ["base", "mid", "top"]) {
      await Deno.writeFile(
        directory.join("diff.tar"),
        tarOf([{ path: `of-${id}`, data: id }, { path: "file", data: id }]),
      );
      await store.tool("create-layer", "-i", id, ...parent);
      await store.tool("applydiff", "-f", directory.join("diff.tar"), id);
      parent = [id];
    }
    const merged = await store.tool("mount", "top");
    const before = snapshot(merged);
    assertMatch((await lamina("check")).stdout, /^mount_uncounted: .*\n$/);
    await store.tool("unmount", "top");
    const clean = { code: EXIT.ok, stdout: "", stderr: "nothing is wrong\n" };
    assertEquals(await lamina("check"), clean);

    await runOk("bash", ["-ec", `${POWER_CUT}; rm -r l`], { cwd: `${store.root}/overlay` });
    const { code, stdout } = await lamina("check", "--repair");
    assertEquals(code, EXIT.ok, stdout);
    assertEquals(await lamina("check"), clean);
    assertEquals(snapshot(await store.tool("mount", "top")), before);
    await store.tool("unmount", "top");

    assertEquals((await lamina("create", "stranger")).code, EXIT.ok);
    assertStringIncludes((await lamina("check")).stdout, "stranger is not in ");
  },
);
