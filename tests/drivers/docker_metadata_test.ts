// SPDX-License-Identifier: Apache-2.0

/** That dockerd's books are read as dockerd means them, and that damaged or hostile ones do no harm. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type DockerMetadata, readDockerMetadata } from "../../lib/drivers/docker_metadata.ts";
import { type Logger, SILENT } from "../../lib/log.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import {
  BASE_IMAGE,
  BUILD,
  CONFIG,
  CONTENT,
  FILES,
  hex,
  LAYERDB,
  REPOSITORIES,
  TOP_CHAIN,
  TOP_DIFF,
  TOP_IMAGE,
  WEB,
  writeBooks,
} from "./_docker_books.ts";

/** What is read, and what the logger was told. */
function readBooks(directory: TempDir): { metadata: DockerMetadata; warnings: string[] } {
  const warnings: string[] = [];
  const logger: Logger = { ...SILENT, warn: (message) => warnings.push(message) };
  return { metadata: readDockerMetadata({ dockerRoot: directory.path, driver: "overlay2", logger }), warnings };
}

Deno.test("readDockerMetadata() tells images and containers of each layer", async () => {
  await using directory = await TempDir.make();
  await writeBooks(directory);
  const { metadata, warnings } = readBooks(directory);
  assertEquals(warnings, []);
  assertEquals(metadata.ownersOf("layer-base"), [
    { kind: "image", id: BASE_IMAGE, names: ["localhost:5000/team/base:2"] },
  ]);
  assertEquals(metadata.ownersOf("layer-top"), [
    { kind: "image", id: TOP_IMAGE, names: ["demo:1", "demo:latest", `demo@sha256:${hex("ee")}`] },
  ]);
  assertEquals(metadata.ownersOf("layer-web"), [{ kind: "container", id: WEB, names: ["web"] }]);
  assertEquals(metadata.ownersOf("layer-web-init"), [{ kind: "init", id: WEB, names: ["web"] }]);
  assertEquals(metadata.ownersOf("layer-build"), [{ kind: "container", id: BUILD, names: ["quirky_wright"] }]);
  assertEquals(metadata.ownersOf("of-somebody-else"), []);
  assert(metadata.knows("layer-base") && metadata.knows("layer-web-init") && !metadata.knows("of-somebody-else"));
});

Deno.test("parentOf() tells the layer below, of images and of containers", async () => {
  await using directory = await TempDir.make();
  await writeBooks(directory);
  const { metadata } = readBooks(directory);
  assertEquals(
    ["layer-base", "layer-top", "layer-web-init", "layer-web", "layer-build", "of-somebody-else"].map((id) =>
      metadata.parentOf(id)
    ),
    [null, "layer-base", "layer-top", "layer-web-init", null, undefined],
  );
});

const MEANINGS: readonly [word: string, layer: string | undefined][] = [
  ["demo", "layer-top"],
  ["demo:1", "layer-top"],
  ["library/demo:1", "layer-top"],
  ["docker.io/library/demo", "layer-top"],
  [`demo@sha256:${hex("ee")}`, "layer-top"],
  ["demo:2", undefined],
  ["localhost:5000/team/base:2", "layer-base"],
  ["localhost:5000/team/base", undefined],
  [TOP_IMAGE, "layer-top"],
  [`sha256:${TOP_IMAGE}`, "layer-top"],
  ["cc02", "layer-top"],
  ["sha256:cc02", "layer-top"],
  ["web", "layer-web"],
  ["/web", undefined],
  [WEB, "layer-web"],
  ["dd01", "layer-web"],
  ["sha256:dd01", undefined],
  ["dd", undefined],
  ["layer-top", undefined],
  ["", undefined],
];

Deno.test("find() takes names and ids as docker does", async () => {
  await using directory = await TempDir.make();
  await writeBooks(directory);
  const { metadata } = readBooks(directory);
  for (const [word, layer] of MEANINGS) assertEquals(metadata.find(word, false), layer, word);
  assertEquals(metadata.find("layer-of-lamina", true), "layer-of-lamina");
  // The id of a layer is not the beginning of another one's.
  assertEquals(metadata.find("cc02", true), "cc02");
});

async function find(metadata: DockerMetadata, word: string, isLayer = false): Promise<string | undefined> {
  return await Promise.resolve().then(() => metadata.find(word, isLayer));
}

Deno.test("find() refuses a word that means several layers, and names them", async () => {
  await using directory = await TempDir.make();
  await writeBooks(directory, {
    [REPOSITORIES]: JSON.stringify({ Repositories: { web: { "web:latest": `sha256:${BASE_IMAGE}` } } }),
    [`${CONTENT}/${hex("cc02ff")}`]: FILES[`${CONTENT}/${BASE_IMAGE}`],
  });
  const { metadata } = readBooks(directory);
  const { message } = await assertFails(find(metadata, "web"), "invalid_argument");
  for (const part of ["container web (layer-web)", "image web:latest (layer-base)"]) {
    assertStringIncludes(message, part);
  }
  await assertFails(find(metadata, WEB, true), "invalid_argument");
  await assertFails(find(metadata, "cc02"), "invalid_argument");
  assertEquals(metadata.find("cc020", false), "layer-top");
});

Deno.test("find() says of an image without content that it has no layer", async () => {
  await using directory = await TempDir.make();
  await writeBooks(directory);
  await assertFails(find(readBooks(directory).metadata, "nothing"), "layer_not_found");
});

Deno.test("find() takes two names of one layer for one meaning", async () => {
  await using directory = await TempDir.make();
  const twin = hex("cc99");
  await writeBooks(directory, {
    [`${CONTENT}/${twin}`]: FILES[`${CONTENT}/${TOP_IMAGE}`],
  });
  const { metadata } = readBooks(directory);
  assertEquals(metadata.ownersOf("layer-top").map(({ id }) => id), [TOP_IMAGE, twin]);
  assertEquals(metadata.find("cc99", false), "layer-top");
});

/** A file as it should not be, what the warning says of it, and a word that still means something. */
const DAMAGE: readonly [path: string, text: string | undefined, reason: string, word: string, layer: string][] = [
  [`${LAYERDB}/sha256/${TOP_CHAIN}/cache-id`, "../../../etc", "holds no layer id", "web", "layer-web"],
  [`${LAYERDB}/sha256/${TOP_CHAIN}/cache-id`, "", "holds no layer id", "cc01", "layer-base"],
  [`${LAYERDB}/sha256/${TOP_CHAIN}/cache-id`, undefined, "is missing", "cc01", "layer-base"],
  [`${LAYERDB}/sha256/${TOP_CHAIN}/diff`, "sha256:short", "is no digest", "cc01", "layer-base"],
  [`${LAYERDB}/sha256/${TOP_CHAIN}/parent`, "../x", "is no digest", "cc01", "layer-base"],
  [`${LAYERDB}/mounts/${WEB}/mount-id`, "a/b", "holds no layer id", "demo", "layer-top"],
  [`${LAYERDB}/mounts/${WEB}/mount-id`, undefined, "is missing", "demo", "layer-top"],
  [`${LAYERDB}/mounts/${WEB}/init-id`, "..", "holds no layer id", "web", "layer-web"],
  [REPOSITORIES, undefined, "is missing", "cc02", "layer-top"],
  [REPOSITORIES, '{"Repositories":{"demo":{"demo:1"', "is no JSON object", "cc02", "layer-top"],
  [REPOSITORIES, "[]", "is no JSON object", "cc02", "layer-top"],
  [REPOSITORIES, '{"Repositories":[]}', "has no repositories", "cc02", "layer-top"],
  [REPOSITORIES, '{"Repositories":{"demo":{"demo:1":7}}}', "names an image without its digest", "cc02", "layer-top"],
  [`${CONTENT}/${TOP_IMAGE}`, "", "is no JSON object", "cc01", "layer-base"],
  [`${CONTENT}/${TOP_IMAGE}`, "null", "is no JSON object", "cc01", "layer-base"],
  [`${CONTENT}/${TOP_IMAGE}`, "{}", "has no list of layers", "cc01", "layer-base"],
  [`${CONTENT}/${TOP_IMAGE}`, '{"rootfs":{"diff_ids":{}}}', "has no list of layers", "cc01", "layer-base"],
  [`${CONTENT}/${TOP_IMAGE}`, '{"rootfs":{"diff_ids":[7]}}', "that is no digest", "cc01", "layer-base"],
  [
    `${CONTENT}/${TOP_IMAGE}`,
    `{"rootfs":{"diff_ids":["${TOP_DIFF}"]}}`,
    "which the layer database lacks",
    "cc01",
    "layer-base",
  ],
  [CONFIG, undefined, "is missing", "dd01", "layer-web"],
  [CONFIG, "{", "is no JSON object", "dd01", "layer-web"],
  [CONFIG, '{"Name":7}', "has no name", "dd01", "layer-web"],
  [CONFIG, '{"Name":"/a/../b"}', "has no name", "dd01", "layer-web"],
];

for (const [path, text, reason, word, layer] of DAMAGE) {
  const what = text === undefined ? "missing" : JSON.stringify(text.slice(0, 30));
  Deno.test(`readDockerMetadata() warns of ${path.replaceAll(/0{8,}/g, "…")} ${what}, and reads the others`, async () => {
    await using directory = await TempDir.make();
    await writeBooks(directory, { [path]: text });
    const { metadata, warnings } = readBooks(directory);
    assert(
      warnings.some((warning) => warning.includes(directory.join(path)) && warning.includes(reason)),
      warnings.join("\n"),
    );
    assertEquals(metadata.find(word, false), layer);
  });
}

const STRANGE_FILES: readonly [name: string, script: string, reason: string][] = [
  ["a pipe, which would never end", 'mkfifo "$1"', "is no regular file"],
  ["a directory", 'mkdir "$1"', "is no regular file"],
  ["a link to a file outside", 'ln -s /etc/hostname "$1"', "leads out of the data-root"],
  ["a link to a device outside", 'ln -s ../../../../../../../../../dev/zero "$1"', "leads out of the data-root"],
  ["a link to itself", 'ln -s cache-id "$1"', "is a circle of symbolic links"],
  ["of 20 MiB", 'truncate -s 20M "$1"', "has 20971520 bytes"],
];

for (const [name, script, reason] of STRANGE_FILES) {
  Deno.test(`readDockerMetadata() does not read a file that is ${name}`, async () => {
    await using directory = await TempDir.make();
    const path = directory.join(`${LAYERDB}/sha256/${TOP_CHAIN}/cache-id`);
    await writeBooks(directory, { [`${LAYERDB}/sha256/${TOP_CHAIN}/cache-id`]: undefined });
    await runOk("sh", ["-c", script, "sh", path]);
    const { metadata, warnings } = readBooks(directory);
    assertStringIncludes(warnings.join("\n"), `${path}: it ${reason}`);
    assertEquals(metadata.find("cc01", false), "layer-base");
  });
}

Deno.test("readDockerMetadata() says of a directory without dockerd's books that it is none", async () => {
  await using directory = await TempDir.make();
  await writeBooks(directory);
  await Deno.writeTextFile(directory.join("file"), "");
  const read = async (dockerRoot: string, driver = "overlay2"): Promise<unknown> =>
    await Promise.resolve().then(() => readDockerMetadata({ dockerRoot, driver }));
  await assertFails(read(directory.join("absent")), "invalid_argument");
  await assertFails(read(directory.join("file")), "invalid_argument");
  await assertFails(read(""), "invalid_argument");
  const { message } = await assertFails(read(directory.path, "overlay"), "invalid_argument");
  assertStringIncludes(message, "image/overlay/layerdb/sha256");
});
