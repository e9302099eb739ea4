// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { openDriver } from "../../lib/drivers/registry.ts";
import { needsFuseOverlayfs, needsOverlay, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { type NamespaceIds, needsUserNamespaces, runInUserNamespace } from "../_helpers/user_namespace.ts";

const NEEDS = [needsUserNamespaces, needsOverlay, needsFuseOverlayfs];
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Runs the tests of `file` in a user namespace; all of them must pass. */
async function runTests(ids: NamespaceIds, file: string): Promise<void> {
  const preload = ["--preload", `${ROOT}/tests/_helpers/warm_libc.ts`];
  const args = ["test", "--quiet", "--no-check", "--allow-all", ...preload, `${ROOT}/tests/drivers/${file}`];
  const { code, stdout, stderr } = await runInUserNamespace(ids, Deno.execPath(), args);
  assertEquals(code, 0, `${stderr}\n${stdout}`);
  const [, passed, failed, ignored] = /(\d+) passed[^|]*\| (\d+) failed(?: \| (\d+) ignored)?/.exec(stdout) ?? [];
  assert(Number(passed) > 0, stdout);
  assertEquals([failed, ignored ?? "0"], ["0", "0"], stdout);
}

testNeeding(NEEDS, "a user namespace with subordinate ids passes the suite of every driver", async () => {
  await runTests("subordinate", "_rootless_suite.ts");
});

testNeeding(NEEDS, "a user namespace with one id has layers whose files are all its own", async () => {
  await runTests("single", "_rootless_single_id.ts");
});

testNeeding(NEEDS, "what root found out of a home does not hold in a user namespace", async () => {
  await using directory = await TempDir.make();
  const places = { root: directory.join("root"), runRoot: directory.join("run") };
  {
    await using driver = await openDriver({ ...places, driver: "overlay2" });
    await driver.create("base");
    await using base = await driver.get("base");
    await Deno.mkdir(`${base.path}/d/e`, { recursive: true });
    await driver.create("child", { parent: "base" });
    await using _child = await driver.get("child");
  }
  const script = `
    import { openDriver } from ${JSON.stringify(new URL("../../mod.ts", import.meta.url).href)};
    await using driver = await openDriver(${JSON.stringify(places)});
    await using child = await driver.get("child");
    await Deno.remove(child.path + "/d", { recursive: true });`;
  const { code, stderr } = await runInUserNamespace("single", Deno.execPath(), ["eval", script]);
  assertEquals([code, stderr], [0, ""]);
});

testNeeding(NEEDS, "who may not mount is told of user namespaces", async () => {
  await using directory = await TempDir.make();
  const module = new URL("../../lib/mount/overlay_features.ts", import.meta.url).href;
  const script = `
    import { probeOverlay } from ${JSON.stringify(module)};
    try {
      probeOverlay(${JSON.stringify(directory.path)}, "auto");
    } catch ({ code, hint }) {
      console.log(code, hint);
    }`;
  const dropped = ["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"];
  const { stdout } = await runOk("setpriv", [...dropped, Deno.execPath(), "eval", script]);
  assertStringIncludes(stdout, "permission_denied");
  assertStringIncludes(stdout, "lamina unshare");
});
