// SPDX-License-Identifier: Apache-2.0

/** Layers with a size limit, on file systems that have project quotas and on those that have none. */

import "../_helpers/warm_libc.ts";
import { projectUsage } from "../../ffi/quota.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { type DriverName, openDriver } from "../../lib/drivers/registry.ts";
import { projectOf } from "../../lib/mount/project_quota.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountImage, needsImage, QUOTA_IMAGES } from "../_helpers/loop_images.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run, runOk } from "../_helpers/run.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { runLamina } from "../cli/_run_lamina.ts";
import { streamOf } from "./driver_suite.ts";

const NEEDS = [needsRoot, needsOverlay];
const LIMITED = { storageOptions: { size: "4m" } };
const LIMIT = 4 << 20;

/** A store on a file system of its own. */
interface Store extends AsyncDisposable {
  driver: GraphDriver;
  directory: TempDir;
  options: { home: string; runRoot: string; driver: DriverName };
}

async function makeStore(image: keyof typeof QUOTA_IMAGES, name: DriverName, options: string[] = []): Promise<Store> {
  await using undo = new AsyncDisposableStack();
  const directory = undo.use(await TempDir.make());
  const mounted = await mountImage(directory, "at", QUOTA_IMAGES[image]);
  const places = { home: `${mounted}/home`, runRoot: directory.join("run"), driver: name };
  const driver = undo.use(await openDriver({ ...places, options, work: "in-place" }));
  const all = undo.move();
  return { driver, directory, options: places, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** What the kernel says of a project, which is nobody's if it has neither files nor a limit. */
function usageOf({ driver }: Store, id: number): { limitBytes: number; usedInodes: number } {
  using home = new Fd(openat(AT_FDCWD, driver.home, O_RDONLY | O_DIRECTORY));
  const { limitBytes, usedInodes } = projectUsage(home.fd, id);
  return { limitBytes, usedInodes };
}

async function projectIdOf({ driver }: Store, id: string): Promise<number | undefined> {
  return (await driver.getMetadata(id)).quota?.projectId;
}

for (const fileSystem of ["xfs", "ext4"] as const) {
  const image = QUOTA_IMAGES[fileSystem];
  const needs = [
    ...NEEDS,
    needsProgram("xfs_quota"),
    needsProgram(`mkfs.${fileSystem}`),
    needsImage(`project quotas on ${fileSystem}`, image),
  ];
  for (const name of ["overlay2", "containers-overlay"] as const) {
    const what = `${name} on ${fileSystem}`;

    testNeeding(
      needs,
      `${what}: a mounted layer takes no more than its limit, copies of lower files included`,
      async () => {
        await using store = await makeStore(fileSystem, name);
        const { driver } = store;
        await driver.create("base");
        const big = { path: "big", data: "x".repeat(3 << 20) };
        await driver.applyDiff("base", streamOf(tarOf([big, { ...big, path: "other" }])));
        await driver.createReadWrite("job", { parent: "base", ...LIMITED });
        await driver.createReadWrite("free", { parent: "base" });
        {
          await using job = await driver.get("job");
          await runOk("bash", ["-ec", "mkdir d; echo x >>big; echo x >d/small; rm other"], { cwd: job.path });
          const { code, stderr } = await run("bash", ["-c", "head -c 2M /dev/zero >d/more"], { cwd: job.path });
          assertEquals(code, 1);
          assertMatch(stderr, /No space left|Disk quota exceeded/);
          await using free = await driver.get("free");
          await runOk("bash", ["-c", "head -c 9M /dev/zero >more"], { cwd: free.path });
        }
        const { quota } = await driver.getMetadata("job");
        assertEquals(quota!.limitBytes, LIMIT);
        assert(quota!.usedBytes > 3 << 20 && quota!.usedBytes <= LIMIT, String(quota!.usedBytes));
        assertEquals((await driver.getMetadata("free")).quota, undefined);
        assertEquals((await driver.getMetadata("base")).quota, undefined);
      },
    );

    testNeeding(
      needs,
      `${what}: a diff beyond the limit is quota_exceeded, and the layer as empty as before`,
      async () => {
        await using store = await makeStore(fileSystem, name);
        const { driver } = store;
        await driver.createReadWrite("job", LIMITED);
        const before = usageOf(store, (await projectIdOf(store, "job"))!);
        const diff = tarOf([{ path: "a", data: "x" }, { path: "big", data: "x".repeat(6 << 20) }]);
        const error = await assertFails(driver.applyDiff("job", streamOf(diff, 1 << 16)), "quota_exceeded");
        assertEquals(error.hint, "the layer may take 4.19 MB: make it with a larger size");
        assertEquals(await driver.changes("job"), []);
        assertEquals((await namesIn(`${driver.home}/job`)).filter((file) => file.startsWith(".")), []);
        await runOk("sync", ["-f", driver.home]);
        assertEquals(usageOf(store, (await projectIdOf(store, "job"))!).limitBytes, before.limitBytes);
        await driver.applyDiff("job", streamOf(tarOf([{ path: "a", data: "x".repeat(3 << 20) }])));
        assertEquals(await driver.changes("job"), [{ path: "/a", kind: "add" }]);
        assertEquals(projectOf(`${driver.home}/job/diff`), projectOf(`${driver.home}/job`));
      },
    );

    testNeeding(needs, `${what}: a removed layer leaves no limit, and its project to the next`, async () => {
      await using store = await makeStore(fileSystem, name);
      const { driver } = store;
      await driver.createReadWrite("a", LIMITED);
      await driver.createReadWrite("b", LIMITED);
      const [a, b] = [(await projectIdOf(store, "a"))!, (await projectIdOf(store, "b"))!];
      assert(a !== b);
      await driver.remove("a");
      await runOk("sync", ["-f", driver.home]);
      assertEquals(usageOf(store, a), { limitBytes: 0, usedInodes: 0 });
      assertEquals(usageOf(store, b).limitBytes, LIMIT);
      await driver.createReadWrite("c", LIMITED);
      assertEquals(await projectIdOf(store, "c"), a);
    });

    testNeeding(needs, `${what}: the driver's default is for read-write layers that are given no size`, async () => {
      const option = name === "overlay2" ? "overlay2.size=8m" : "size=8m";
      await using store = await makeStore(fileSystem, name, [option]);
      const { driver } = store;
      await driver.create("image");
      await driver.createReadWrite("default", { parent: "image" });
      await driver.createReadWrite("own", { parent: "image", ...LIMITED });
      await driver.createReadWrite("none", { parent: "image", storageOptions: { SIZE: "0" } });
      await driver.createFromTemplate("copy", "default");
      const limits = ["image", "default", "own", "none", "copy"].map(async (id) =>
        (await driver.getMetadata(id)).quota?.limitBytes
      );
      assertEquals(await Promise.all(limits), [undefined, 8 << 20, LIMIT, undefined, 8 << 20]);
    });
  }

  testNeeding(needs, `${fileSystem}: eight processes that make layers at once give no project twice`, async () => {
    await using store = await makeStore(fileSystem, "overlay2");
    const { options: { home, runRoot }, driver } = store;
    await driver.create("base");
    const where = ["--home", home, "--run-root", runRoot];
    const ids = ["p", "q", "r", "s"].flatMap((id) => [`${id}1`, `${id}2`]);
    const made = await Promise.all(
      ids.map((id) => runLamina([...where, "create", id, "--parent", "base", "--read-write", "--size", "4m"])),
    );
    assertEquals(made.map(({ code, stderr }) => ({ code, stderr })), ids.map(() => ({ code: 0, stderr: "" })));
    const projects = await Promise.all(ids.map((id) => projectIdOf(store, id)));
    assertEquals(new Set(projects).size, ids.length);
    const inspected = await runLamina([...where, "inspect", "p1"]);
    assertMatch(inspected.stdout, /\nlimit +4\.19 MB \(4194304 bytes\)\nused +.* bytes\)\nproject +\d+\n/);
    const { quota } = JSON.parse((await runLamina([...where, "inspect", "p1", "--json"])).stdout);
    assertEquals([quota.limitBytes, quota.projectId], [LIMIT, projects[0]]);
  });

  testNeeding(needs, `${fileSystem}: a layer that cannot be made leaves no limit behind`, async () => {
    await using store = await makeStore(fileSystem, "overlay2");
    const { driver } = store;
    await driver.createReadWrite("job", LIMITED);
    const id = (await projectIdOf(store, "job"))!;
    // The short name of the next layer cannot be made.
    await runOk("bash", ["-ec", "mv l l.away; touch l"], { cwd: driver.home });
    await assertFails(driver.createReadWrite("new", LIMITED), "system_error");
    await runOk("bash", ["-ec", "rm l; mv l.away l"], { cwd: driver.home });
    await runOk("sync", ["-f", driver.home]);
    assertEquals(await namesIn(driver.home), ["job", "l"]);
    assertEquals(usageOf(store, id + 1), { limitBytes: 0, usedInodes: 0 });
    assertEquals(usageOf(store, id).limitBytes, LIMIT);
  });

  testNeeding(needs, `${fileSystem}: a layer limited by others is shown and removed as one of ours`, async () => {
    await using store = await makeStore(fileSystem, "overlay2");
    const { driver } = store;
    await driver.createReadWrite("theirs");
    const anyFileSystem = fileSystem === "xfs" ? "" : "-f";
    const script = `xfs_io -r -c "chproj 42" -c "chattr +P" "$1/theirs"; ` +
      `xfs_quota ${anyFileSystem} -x -D /dev/null -P /dev/null -c "limit -p bhard=16m 42" "$2"`;
    const mountPoint = driver.home.slice(0, driver.home.lastIndexOf("/"));
    await runOk("bash", ["-ec", script, "bash", driver.home, mountPoint]);
    const { quota: shown } = await driver.getMetadata("theirs");
    assertEquals([shown?.projectId, shown?.limitBytes], [42, 16 << 20]);
    await driver.remove("theirs");
    assertEquals(usageOf(store, 42).limitBytes, 0);
  });
}

testNeeding(
  NEEDS,
  "without project quotas a size is not_supported, says what is missing, and leaves nothing",
  async () => {
    for (const name of ["overlay2", "containers-overlay"] as const) {
      await using directory = await TempDir.make();
      const home = await directory.mkdir("home");
      await runOk("mount", ["-t", "tmpfs", "tmpfs", home]);
      const places = {
        home,
        runRoot: directory.join("run"),
        driver: name,
        work: "in-place",
      } as const;
      await using driver = await openDriver(places);
      await driver.create("base");
      const before = await namesIn(home);
      const error = await assertFails(driver.createReadWrite("job", { parent: "base", ...LIMITED }), "not_supported");
      assertMatch(error.message, /\(tmpfs\) has no project quotas/);
      assertStringIncludes(error.hint!, "pquota");
      await driver.createReadWrite("none", { parent: "base", storageOptions: { size: "0" } });
      assertEquals((await namesIn(home)).filter((file) => file !== "none"), before);
      assertEquals((await driver.getMetadata("none")).quota, undefined);
      await using limited = await openDriver({ ...places, options: ["overlay2.size=1g"] });
      await assertFails(limited.createReadWrite("job"), "not_supported");
      await limited.create("image");
      assertEquals(mountPointsBelow(directory.path), [home]);
    }
  },
);
