// SPDX-License-Identifier: Apache-2.0

/** Each damage to the names of layers and to what lies below them: found, left alone by a look, and repaired. */

import "../_helpers/warm_libc.ts";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { openDriver } from "../../lib/drivers/registry.ts";
import { SILENT } from "../../lib/log.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { type Damage, fillStore, findingsOf, openIn, testDamage } from "./_damaged_store.ts";

const NEEDS = [needsRoot, needsOverlay];
/** A short name that nobody has. */
const STRANGER = "A".repeat(26);

const DAMAGES: readonly Damage[] = [
  { name: "a link file is missing", script: "rm mid/link", finds: ["link_missing"] },
  { name: "a link file is empty", script: ": >mid/link", finds: ["link_empty"] },
  {
    name: "all link files are empty",
    script: "for l in base mid top other; do : >$l/link; done",
    finds: ["link_empty", "link_empty", "link_empty", "link_empty"],
  },
  {
    name: "a link file leads out",
    script: "printf ../../../etc/passwd >mid/link",
    finds: ["link_unsafe"],
    moves: [/^mid-link$/],
  },
  {
    name: "a link file is enormous",
    script: "truncate -s 20M mid/link",
    finds: ["link_unsafe"],
    moves: [/^mid-link$/],
  },
  {
    name: "a link file is a symbolic link",
    script: "mv mid/link mid/name; ln -s name mid/link",
    finds: ["link_unsafe"],
    moves: [/^mid-link$/],
  },
  {
    name: "a link file is a pipe",
    script: "rm mid/link; mkfifo mid/link",
    finds: ["link_unsafe"],
    moves: [/^mid-link$/],
  },
  {
    name: "a link file names what is not in l, and another name leads to the layer",
    script: `printf ${STRANGER} >mid/link`,
    finds: ["link_wrong"],
    moves: [/^mid-link$/],
  },
  {
    name: "two layers have one short name",
    script: "cp base/link other/link",
    finds: ["link_twice"],
    moves: [/^other-link$/],
  },
  {
    name: "two layers have one short name, and one of them has no other",
    script: "rm l/$(cat other/link); cp base/link other/link",
    finds: ["link_twice"],
    moves: [/^other-link$/],
  },
  { name: "a short name is missing", script: "rm l/$(cat mid/link)", finds: ["name_missing"] },
  {
    name: "the directory l is missing",
    script: "rm -r l",
    finds: ["name_missing", "name_missing", "name_missing", "name_missing", "names_missing"],
  },
  {
    name: "the directory l is a symbolic link",
    script: "mv l elsewhere; ln -s elsewhere l",
    finds: ["name_missing", "name_missing", "name_missing", "name_missing", "names_missing", "stray"],
    moves: [/^elsewhere$/, /^l$/],
  },
  {
    name: "a layer's name is known to the layers above it only",
    script: "rm l/$(cat mid/link) mid/link",
    finds: ["link_missing", "name_missing"],
  },
  {
    name: "a layer on which nothing lies has no name at all",
    script: "rm l/$(cat top/link) top/link",
    finds: ["link_missing"],
  },
  {
    name: "a short name leads to itself",
    script: "n=l/$(cat mid/link); ln -sfn ${n#l/} $n",
    finds: ["name_unsafe"],
    moves: [/^l-[A-Z2-7]{26}$/],
  },
  {
    name: "a short name leads out",
    script: "ln -sfn ../../../../etc l/$(cat mid/link)",
    finds: ["name_unsafe"],
    moves: [/^l-[A-Z2-7]{26}$/],
  },
  {
    name: "a short name leads to another layer",
    script: "ln -sfn ../other/diff l/$(cat mid/link)",
    finds: ["name_unsafe"],
    moves: [/^l-[A-Z2-7]{26}$/],
  },
  {
    name: "in l lie a file, a directory and a link with another name",
    script: "echo >l/file; mkdir l/directory; ln -s ../base/diff l/base",
    finds: ["name_unsafe", "name_unsafe", "name_unsafe"],
    moves: [/^l-base$/, /^l-directory$/, /^l-file$/],
  },
  {
    name: "a short name leads to no layer",
    script: `ln -s ../gone/diff l/${STRANGER}`,
    finds: ["name_dangling"],
    moves: [/^l-A{26}$/],
  },
  {
    name:
      "in l is the short name of an earlier layer of that id, and not the one that the layer and those above it know",
    script: `mv l/$(cat mid/link) l/${STRANGER}`,
    finds: ["name_missing", "name_surplus"],
    moves: [/^l-A{26}$/],
  },
  {
    name: "a layer has a second short name",
    script: `ln -s ../mid/diff l/${STRANGER}`,
    finds: ["name_surplus"],
    moves: [/^l-A{26}$/],
  },
  {
    name: "a layer has got a new short name that the layer above it does not know",
    script: `ln -s ../mid/diff l/${STRANGER}; printf ${STRANGER} >mid/link`,
    finds: ["link_wrong", "name_surplus"],
    moves: [/^l-A{26}$/, /^mid-link$/],
  },
  { name: "a lower file is missing", script: "rm mid/lower; rm -rf mid/empty", finds: ["lower_missing"] },
  { name: "a lower file is empty", script: ": >mid/lower", finds: ["lower_empty"] },
  {
    name: "the lower file of the uppermost layer is empty",
    script: ": >top/lower",
    finds: ["lower_empty"],
    leaves: ["lower_empty"],
    restores: false,
  },
  {
    name: "a lower file was cut short within a name",
    script: "truncate -s 10 mid/lower",
    finds: ["lower_gone"],
    moves: [/^mid-lower$/],
  },
  {
    name: "a lower file was cut short behind a name",
    script: "truncate -s 28 top/lower",
    finds: ["lower_disagrees"],
    moves: [/^top-lower$/],
  },
  {
    name: "a lower file was cut short behind a colon",
    script: "truncate -s 29 top/lower",
    finds: ["lower_unsafe"],
    leaves: ["lower_unsafe"],
    restores: false,
  },
  {
    name: "a lower file leads out",
    script: "printf /etc:l/../../etc >mid/lower",
    finds: ["lower_unsafe"],
    moves: [/^mid-lower$/],
  },
  {
    name: "a lower file is all zeros",
    script: "head -c 28 /dev/zero >mid/lower",
    finds: ["lower_unsafe"],
    moves: [/^mid-lower$/],
  },
  {
    name: "a lower file is enormous",
    script: "truncate -s 20M mid/lower",
    finds: ["lower_unsafe"],
    moves: [/^mid-lower$/],
  },
  {
    name: "a layer lies below itself",
    script: "printf l/$(cat mid/link) >mid/lower",
    finds: ["lower_unsafe"],
    moves: [/^mid-lower$/],
  },
  {
    name: "a layer and the one above it name different layers below",
    script: "printf l/$(cat other/link) >mid/lower",
    finds: ["lower_disagrees"],
    leaves: ["lower_disagrees"],
    restores: false,
  },
  {
    name: "a layer below is gone",
    script: "rm -r base",
    finds: ["lower_gone"],
    leaves: ["lower_gone"],
    restores: false,
  },
  {
    name: "all of a layer's names and what lies below it is gone, but for the layers above",
    script: "rm l/$(cat mid/link); : >mid/link; : >mid/lower",
    finds: ["link_empty", "lower_empty", "name_missing"],
  },
  {
    name: "a layer without a name is none of which a torn file holds the beginning",
    script: "truncate -s 10 mid/lower; rm l/$(cat other/link) other/link",
    finds: ["link_missing", "lower_gone"],
    moves: [/^mid-lower$/],
  },
  {
    name: "a layer without a name could be one of two",
    script: "for l in base other; do rm l/$(cat $l/link) $l/link; done",
    finds: ["link_missing", "link_missing", "lower_gone"],
    leaves: ["link_missing", "link_missing", "lower_gone"],
    restores: false,
  },
  {
    name: "a layer has no content",
    script: "rm -r mid/diff",
    finds: ["content_missing"],
    leaves: ["content_missing"],
    restores: false,
  },
  { name: "a layer has no work directory", script: "rm -r top/work", finds: ["work_missing"] },
  {
    name: "a layer's work directory is a symbolic link",
    script: "rm -r top/work; ln -s /etc top/work",
    finds: ["work_missing"],
    moves: [/^top-work$/],
  },
];

for (const damage of DAMAGES) {
  testNeeding(NEEDS, `check() of overlay2: ${damage.name}`, () => testDamage("overlay2", damage));
  // Names are the same in both formats.
  if (!damage.finds.some((code) => /^(lower_(missing|empty|gone)|work_missing)$/.test(code))) continue;
  testNeeding(NEEDS, `check() of containers-overlay: ${damage.name}`, () => testDamage("containers-overlay", damage));
}

for (
  const [name, books] of [
    ["no JSON", "{"],
    ["no list", "{}"],
    ["without ids", "[{}]"],
    ["with a parent that leads out", JSON.stringify([{ id: "top", parent: "../etc" }])],
  ] as const
) {
  testNeeding(NEEDS, `check() of containers-overlay tells of a layers.json ${name}, and does without`, async () => {
    await using directory = await TempDir.make();
    const warnings: string[] = [];
    await using driver = await openDriver({
      root: directory.join("root"),
      runRoot: directory.join("run"),
      driver: "containers-overlay",
      work: "in-place",
      logger: { ...SILENT, warn: (message) => warnings.push(message) },
    });
    await fillStore(driver);
    await Deno.mkdir(`${driver.home}-layers`);
    await Deno.writeTextFile(`${driver.home}-layers/layers.json`, books);
    assertEquals(await findingsOf(driver), []);
    assertEquals(warnings.length, 1);
    assertStringIncludes(warnings[0]!, `${driver.home}-layers/layers.json`);
  });
}

testNeeding(
  NEEDS,
  "check() of containers-overlay tells what layers.json does not know, and what is not in layers.json",
  async () => {
    await using directory = await TempDir.make();
    await using driver = await openIn(directory, "containers-overlay");
    await fillStore(driver);
    await Deno.mkdir(`${driver.home}-layers`);
    const layers = (...ids: string[]): string => JSON.stringify(ids.map((id) => ({ id })));
    await Deno.writeTextFile(`${driver.home}-layers/layers.json`, layers("base", "mid"));
    await Deno.writeTextFile(`${driver.home}-layers/volatile-layers.json`, layers("top"));
    const findings = await findingsOf(driver, { repair: true });
    assertEquals(findings.map(({ code, layer, sizeBytes }) => [code, layer, sizeBytes]), [
      ["layer_unreferenced", "other", 10],
    ]);
  },
);

testNeeding(
  NEEDS,
  "check() of containers-overlay takes no name of an image store for a layer without one",
  async () => {
    await using directory = await TempDir.make();
    await using store = await openDriver({
      root: directory.join("store"),
      runRoot: directory.join("run"),
      driver: "containers-overlay",
    });
    await store.create("image");
    await using driver = await openDriver({
      root: directory.join("root"),
      runRoot: directory.join("run"),
      driver: "containers-overlay",
      options: [`imagestore=${directory.join("store")}`],
      work: "in-place",
    });
    await driver.createReadWrite("job", { parent: "image" });
    await driver.create("own");
    await runOk("bash", ["-ec", "rm l/$(cat own/link) own/link"], { cwd: driver.home });
    assertEquals((await findingsOf(driver, { repair: true })).map(({ code, repaired }) => [code, repaired]), [
      ["link_missing", true],
    ]);
    assertEquals(await findingsOf(driver), []);
    assertEquals((await Array.fromAsync(driver.layers())).find(({ id }) => id === "job")?.parent, "image");
  },
);
