// SPDX-License-Identifier: Apache-2.0

/** What a damaged store of containers/storage answers: the file, the way out, and never a further loss. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { listTree } from "../_helpers/tree.ts";

const NEEDS = [needsRoot, needsOverlay];
const LINK = "A".repeat(26);

interface Damage {
  name: string;
  script: string;
  action: (driver: GraphDriver) => Promise<unknown>;
  says: RegExp;
  hint?: RegExp;
}

const DAMAGES: readonly Damage[] = [
  {
    name: "a missing link file",
    script: "rm base/link",
    action: (driver) => driver.create("new", { parent: "base" }),
    says: /base\/link is missing/,
    hint: /overlay\/l that leads to \.\.\/base\/diff/,
  },
  {
    name: "an empty link file",
    script: ": >base/link",
    action: (driver) => driver.create("new", { parent: "base" }),
    says: /base\/link is empty/,
    hint: /overlay\/l that leads to \.\.\/base\/diff/,
  },
  {
    name: "an empty lower file",
    script: ": >child/lower",
    action: (d) => d.get("child"),
    says: /child\/lower is empty/,
  },
  {
    name: "a lower file that is a path",
    script: "printf ../../etc >child/lower",
    action: (driver) => driver.get("child"),
    says: /child\/lower names "\.\.\/\.\.\/etc"/,
  },
  {
    name: "a short name that nobody knows",
    script: `printf l/${LINK} >child/lower`,
    action: (driver) => driver.get("child"),
    says: new RegExp(`overlay/l/${LINK} is missing`),
    hint: new RegExp(`whose link file holds ${LINK}`),
  },
  {
    name: "a short name that leads nowhere",
    script: "mv base elsewhere",
    action: (driver) => driver.get("child"),
    says: /overlay\/l\/[A-Z2-7]+ is missing, or leads nowhere/,
  },
  {
    name: "a short name that leads out",
    script: "ln -sfn ../../../etc l/$(cat base/link)",
    action: (driver) => driver.get("child"),
    says: /leads to "\.\.\/\.\.\/\.\.\/etc", not to a layer/,
  },
  { name: "no content", script: "rmdir child/diff", action: (d) => d.get("child"), says: /child\/diff is missing/ },
  {
    name: "no work directory",
    script: "rmdir child/work",
    action: (d) => d.get("child"),
    says: /child\/work is missing/,
  },
];

for (const { name, script, action, says, hint } of DAMAGES) {
  testNeeding(NEEDS, `containers-overlay with ${name} is store_damaged, and stays as it is`, async () => {
    await using directory = await TempDir.make();
    await using driver = await openDriver({
      root: directory.join("root"),
      runRoot: directory.join("run"),
      driver: "containers-overlay",
      work: "in-place",
    });
    await driver.create("base");
    await driver.createReadWrite("child", { parent: "base" });
    await runOk("bash", ["-ec", script], { cwd: driver.home });
    // A mount point may have been made again.
    const list = async (): Promise<string[]> =>
      (await listTree(driver.home)).map((line) => line.replace(/^("child"|"child\/merged") .*/, "$1"));
    const before = await list();
    const error = await assertFails(action(driver), "store_damaged");
    assertMatch(error.message, says);
    if (hint !== undefined) assertMatch(error.hint ?? "", hint);
    assertEquals((await list()).filter((line) => !before.includes(line)), []);
    assertEquals(mountPointsBelow(directory.path), []);
    assert((await Array.fromAsync(driver.layers())).some(({ id }) => id === "child"));
  });
}
