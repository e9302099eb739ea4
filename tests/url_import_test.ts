// SPDX-License-Identifier: Apache-2.0

/**
 * lamina imported from a URL: no import map, no configuration, no checkout, a cache of its own, and no flags but those that
 * README.md names. The server shows only what a published package would hold, so an import that leaves it is found here.
 *
 * @module
 */

import { mountPointsBelow } from "./_helpers/mount_points.ts";
import { makeDenoDir, PackageServer } from "./_helpers/package_server.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "./_helpers/requires.ts";
import { runOk } from "./_helpers/run.ts";
import { assertEquals } from "./_helpers/std_assert.ts";
import { TempDir } from "./_helpers/temp_dir.ts";

/** What a stranger would write. It prints one line of JSON. */
const PROGRAM = `
import { openDriver, StorageError } from "BASE/mod.ts";

const [root, runRoot, rootfs, mountApi] = Deno.args as [string, string, string, "auto" | "from"];
await using driver = await openDriver({ root, runRoot, mountApi });

await driver.create("base");
using archive = await Deno.open(rootfs);
const { entries } = await driver.applyDiff("base", archive.readable);

await driver.createReadWrite("job", { parent: "base" });
let motd = "";
{
  await using layer = await driver.get("job");
  motd = await Deno.readTextFile(layer.path + "/etc/motd");
  await Deno.writeTextFile(layer.path + "/etc/new", "new\\n");
}
const changes = await driver.changes("job");
let diffBytes = 0;
for await (const chunk of await driver.diff("job", { compression: "gzip" })) diffBytes += chunk.length;
await using files = await driver.diffGetter("job");
const file = await new Response(await files.open("etc/new")).text();

await driver.remove("job");
await driver.remove("base");
let code = "";
try {
  await driver.get("job");
} catch (error) {
  if (error instanceof StorageError) code = error.code;
}
console.log(JSON.stringify({ entries, motd, changes, diff: diffBytes > 0, file, left: await driver.exists("base"), code }));
`;

async function makeRootfs(directory: TempDir): Promise<string> {
  await directory.mkdir("rootfs/etc");
  await Deno.writeTextFile(directory.join("rootfs/etc/motd"), "hello\n");
  await runOk("tar", ["-C", directory.join("rootfs"), "-cf", directory.join("rootfs.tar"), "."]);
  return directory.join("rootfs.tar");
}

/** What README.md names beside the host that modules come from; nothing that would need an answer. */
const FLAGS = ["--allow-ffi", "--allow-read", "--allow-write", "--allow-run", "--no-prompt"];

for (const mountApi of ["auto", "from"]) {
  testNeeding(
    [needsRoot, needsOverlay, needsProgram("tar")],
    `a program in an empty directory imports lamina by URL, mounts (${mountApi}), applies and diffs`,
    async () => {
      await using directory = await TempDir.make();
      await using server = await PackageServer.start();
      const rootfs = await makeRootfs(directory);
      const denoDir = await makeDenoDir(directory);
      const cwd = await directory.mkdir("empty");
      await Deno.writeTextFile(`${cwd}/main.ts`, PROGRAM.replace("BASE", server.url));

      const places = [directory.join("root"), directory.join("run"), rootfs];
      const allowImport = `--allow-import=${new URL(server.url).host}`;
      const args = ["run", "--check", "--no-lock", allowImport, ...FLAGS, "main.ts", ...places, mountApi];
      const { stdout } = await runOk(Deno.execPath(), args, { cwd, env: { DENO_DIR: denoDir } });

      assertEquals(JSON.parse(stdout) as unknown, {
        entries: 3,
        motd: "hello\n",
        changes: [{ path: "/etc", kind: "modify" }, { path: "/etc/new", kind: "add" }],
        diff: true,
        file: "new\n",
        left: false,
        code: "layer_not_found",
      });
      assertEquals(server.refused, []);
      assertEquals(mountPointsBelow(directory.path), []);
    },
  );
}
