// SPDX-License-Identifier: Apache-2.0

/** Options of single mounts: what `get` does with those that it is given. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { GetOptions, GraphDriver } from "../../lib/drivers/driver.ts";
import { DRIVER_NAMES, type DriverName, openDriver } from "../../lib/drivers/registry.ts";
import { isSelinuxEnabled } from "../../lib/mount_label.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const LABEL = "system_u:object_r:container_file_t:s0:c1,c2";

async function openWithJob(
  directory: TempDir,
  name: DriverName,
  options: readonly string[] = [],
): Promise<GraphDriver> {
  const where = { root: directory.join("root"), runRoot: directory.join("run"), work: "in-place" } as const;
  const driver = await openDriver({ ...where, driver: name, options });
  await driver.create("base");
  await driver.createReadWrite("job", { parent: "base" });
  return driver;
}

/** What the kernel shows of a mount of the layer "job". */
async function shownOptions(driver: GraphDriver, options: GetOptions): Promise<string[]> {
  await using job = await driver.get("job", options);
  const lines = (await Deno.readTextFile("/proc/self/mountinfo")).split("\n").map((line) => line.split(" "));
  const fields = lines.find(([, , , , mountPoint]) => mountPoint === job.path)!;
  return [fields[5]!, fields.at(-1)!].flatMap((list) => list.split(","));
}

for (const name of DRIVER_NAMES) {
  testNeeding([needsRoot, needsOverlay], `${name} gives options of a mount to the kernel`, async () => {
    await using directory = await TempDir.make();
    await using driver = await openWithJob(directory, name);
    const shown = await shownOptions(driver, { mountOptions: ["nosuid,nodev", "noexec"] });
    for (const option of ["nosuid", "nodev", "noexec"]) assert(shown.includes(option), shown.join());
    assert((await shownOptions(driver, { mountOptions: ["ro"] })).includes("ro"));
    assert(!(await shownOptions(driver, {})).includes("nodev"));
    assert((await shownOptions(driver, { mountOptions: ["volatile"] })).includes("fsync=volatile"));
    // The kernel itself refuses such a layer from then on.
    const error = await assertFails(driver.get("job"), "mount_failed");
    assertMatch(error.message, /last mounted with volatile/);
    const { workDir } = await driver.getMetadata("job");
    assertMatch(error.hint ?? "", new RegExp(`rm -r ${workDir}/work/incompat/volatile`));
    await Deno.remove(`${workDir}/work/incompat/volatile`, { recursive: true });
    await shownOptions(driver, {});
  });

  testNeeding(
    [needsRoot, needsOverlay],
    `${name} refuses options that exclude each other before it mounts`,
    async () => {
      await using directory = await TempDir.make();
      await using driver = await openWithJob(directory, name);
      const wrong: readonly [GetOptions, RegExp][] = [
        [{ mountOptions: ["ro", "volatile"] }, /"ro" and "volatile"/],
        [{ mountOptions: ["volatile"], readOnly: true }, /"ro" and "volatile"|"volatile" and "ro"/],
        [{ mountOptions: ["lowerdir=/etc"] }, /the layers say/],
        [{ mountOptions: ["metacopy=on"] }, /metacopy=on: its diffs would be wrong/],
        [{ mountOptions: ["redirect_dir=on"] }, /redirect_dir=on: its diffs would be wrong/],
        [{ mountOptions: ['context="x'] }, /SELinux context|quotes/],
      ];
      for (const [options, says] of wrong) {
        const error = await assertFails(driver.get("job", options), "invalid_argument");
        assertMatch(error.message, says);
      }
      assertEquals(mountPointsBelow(directory.path), []);
    },
  );

  testNeeding(
    [needsRoot, needsOverlay],
    `${name} passes over a label without SELinux, but not over context=`,
    async () => {
      await using directory = await TempDir.make();
      await using driver = await openWithJob(directory, name);
      if (isSelinuxEnabled()) {
        assert((await shownOptions(driver, { mountLabel: LABEL })).some((option) => option.startsWith("context=")));
        return;
      }
      assert(!(await shownOptions(driver, { mountLabel: LABEL })).some((option) => option.startsWith("context=")));
      const error = await assertFails(driver.get("job", { mountOptions: [`context="${LABEL}"`] }), "mount_failed");
      assertMatch(error.message, /context/);
    },
  );
}

for (const name of ["overlay2", "containers-overlay"] as const) {
  const key = name === "overlay2" ? "overlay2.mountopt" : "overlay.mountopt";

  testNeeding(
    [needsRoot, needsOverlay],
    `${name} can have metacopy for the whole store, and its diffs know`,
    async () => {
      await using directory = await TempDir.make();
      await using driver = await openWithJob(directory, name, [`${key}=metacopy=on,nodev`]);
      assert((await shownOptions(driver, { mountOptions: ["metacopy=on"] })).includes("metacopy=on"));
      assertEquals(Object.fromEntries(await driver.status())["Native Overlay Diff"], "false");
    },
  );

  Deno.test(`${name} refuses options for the store that exclude each other`, async () => {
    const options = [`${key}=metacopy=on,redirect_dir=off`];
    await assertFails(openDriver({ home: "/nowhere", driver: name, options }), "invalid_argument");
  });
}
