// SPDX-License-Identifier: Apache-2.0

/**
 * A dockerd's books, made by hand: two layers, three images, two containers.
 *
 * @module
 */

import type { TempDir } from "../_helpers/temp_dir.ts";

/** 64 digits that begin with `start`. */
export function hex(start: string): string {
  return start.padEnd(64, "0");
}

const BASE_CHAIN = hex("aa01");
export const TOP_CHAIN = hex("aa02");
const BASE_DIFF = `sha256:${hex("bb01")}`;
export const TOP_DIFF = `sha256:${hex("bb02")}`;
export const BASE_IMAGE = hex("cc01");
export const TOP_IMAGE = hex("cc02");
const EMPTY_IMAGE = hex("cc03");
export const WEB = hex("dd01");
export const BUILD = hex("dd02");
const IMAGE_ROOT = "image/overlay2";
export const CONTENT = `${IMAGE_ROOT}/imagedb/content/sha256`;
export const LAYERDB = `${IMAGE_ROOT}/layerdb`;
export const REPOSITORIES = `${IMAGE_ROOT}/repositories.json`;
export const CONFIG = `containers/${WEB}/config.v2.json`;

/** Their text by their paths below the data-root. */
export const FILES: Readonly<Record<string, string>> = {
  [`${LAYERDB}/sha256/${BASE_CHAIN}/cache-id`]: "layer-base",
  [`${LAYERDB}/sha256/${BASE_CHAIN}/diff`]: BASE_DIFF,
  [`${LAYERDB}/sha256/${TOP_CHAIN}/cache-id`]: "layer-top",
  [`${LAYERDB}/sha256/${TOP_CHAIN}/diff`]: TOP_DIFF,
  [`${LAYERDB}/sha256/${TOP_CHAIN}/parent`]: `sha256:${BASE_CHAIN}`,
  [`${CONTENT}/${BASE_IMAGE}`]: JSON.stringify({ rootfs: { type: "layers", "diff_ids": [BASE_DIFF] } }),
  [`${CONTENT}/${TOP_IMAGE}`]: JSON.stringify({ rootfs: { type: "layers", "diff_ids": [BASE_DIFF, TOP_DIFF] } }),
  [`${CONTENT}/${EMPTY_IMAGE}`]: JSON.stringify({ rootfs: { type: "layers", "diff_ids": null } }),
  [REPOSITORIES]: JSON.stringify({
    Repositories: {
      demo: {
        "demo:latest": `sha256:${TOP_IMAGE}`,
        "demo:1": `sha256:${TOP_IMAGE}`,
        [`demo@sha256:${hex("ee")}`]: `sha256:${TOP_IMAGE}`,
      },
      "localhost:5000/team/base": { "localhost:5000/team/base:2": `sha256:${BASE_IMAGE}` },
      nothing: { "nothing:latest": `sha256:${EMPTY_IMAGE}` },
    },
  }),
  [`${LAYERDB}/mounts/${WEB}/mount-id`]: "layer-web",
  [`${LAYERDB}/mounts/${WEB}/init-id`]: "layer-web-init",
  [`${LAYERDB}/mounts/${WEB}/parent`]: `sha256:${TOP_CHAIN}`,
  [`${LAYERDB}/mounts/${BUILD}/mount-id`]: "layer-build",
  [CONFIG]: JSON.stringify({ ID: WEB, Name: "/web" }),
  [`containers/${BUILD}/config.v2.json`]: JSON.stringify({ ID: BUILD, Name: "/quirky_wright" }),
};

/** Writes the books with `changes`; a file for which there is no text is missing. */
export async function writeBooks(
  directory: TempDir,
  changes: Readonly<Record<string, string | undefined>> = {},
): Promise<void> {
  for (const [path, text] of Object.entries({ ...FILES, ...changes })) {
    await Deno.mkdir(directory.join(path.slice(0, path.lastIndexOf("/"))), { recursive: true });
    if (text !== undefined) await Deno.writeTextFile(directory.join(path), text);
  }
}
