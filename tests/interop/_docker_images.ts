// SPDX-License-Identifier: Apache-2.0

/**
 * Images and containers with what makes layers hard, built by a dockerd, and what dockerd itself tells about them.
 *
 * @module
 */

import { runOk } from "../_helpers/run.ts";
import type { TempDir } from "../_helpers/temp_dir.ts";
import type { Dockerd } from "./_dockerd.ts";

const ROOT = `
  set -e
  mkdir -p bin etc/kept etc/replaced tmp
  cp "$(command -v busybox)" bin/busybox
  for name in sh rm chmod chown ln mkdir mv touch; do ln -s busybox bin/$name; done
  echo deleted >etc/deleted
  echo mode >etc/mode
  echo twin >etc/twin
  ln etc/twin etc/other-twin
  echo below >etc/kept/below
  echo hidden >etc/replaced/hidden
  echo file >etc/becomes-directory
`;

/** A deleted file, a mode, links of both kinds, an opaque directory, a type that changes, a capability, an empty step. */
const DOCKERFILE = `
FROM lamina/base:1
RUN rm /etc/deleted && chmod 4711 /etc/mode && ln -s mode /etc/symlink && ln /etc/mode /etc/hardlink
RUN rm -rf /etc/replaced && mkdir /etc/replaced && echo new >/etc/replaced/new && echo more >/etc/kept/more
RUN rm /etc/becomes-directory && mkdir /etc/becomes-directory && chown 7:8 /etc/kept
ADD capable.tar /
ENV WHY=nothing-on-disk
`;

const CHANGES = `
  rm /etc/twin
  echo changed >/etc/mode
  mkdir /data
  echo new >/data/new
  rm -rf /etc/kept
  mkdir /etc/kept
  echo again >/etc/kept/again
  chmod 700 /tmp
`;

/** Makes the images `lamina/base:1` and `lamina/demo:1`, and the stopped container `web` with changes of its own. */
export async function makeImages(dockerd: Dockerd, directory: TempDir): Promise<void> {
  const [root, context] = [await directory.mkdir("base-root"), await directory.mkdir("context")];
  await runOk("sh", ["-c", ROOT], { cwd: root });
  await runOk("tar", ["-C", root, "-cf", directory.join("base.tar"), "."]);
  await dockerd.docker(["import", directory.join("base.tar"), "lamina/base:1"]);

  const capable = await directory.mkdir("capable-root");
  await Deno.writeTextFile(`${capable}/capable`, "#!/bin/sh\n");
  await runOk("setcap", ["cap_net_raw+ep", `${capable}/capable`]);
  await runOk("tar", ["-C", capable, "--xattrs", "--xattrs-include=*", "-cf", `${context}/capable.tar`, "capable"]);
  await Deno.writeTextFile(`${context}/Dockerfile`, DOCKERFILE);
  await dockerd.docker(["build", "--network=none", "--tag=lamina/demo:1", context]);
  await dockerd.docker(["run", "--network=none", "--name=web", "lamina/demo:1", "/bin/sh", "-ec", CHANGES]);
}

/** A layer of an image, as `docker save` hands it out. */
export interface SavedLayer {
  /** The id of its directory, by dockerd's own books. */
  id: string;
  /** The layer below. */
  parent: string | undefined;
  /** `sha256:…`, from the image's configuration. */
  diffId: string;
  /** The archive. */
  tar: string;
}

interface Manifest {
  Config: string;
  Layers: string[];
}

interface Configuration {
  rootfs: { "diff_ids": string[] };
}

/** The layers of an image, the lowest first, saved below `directory`. */
export async function saveLayers(
  dockerd: Dockerd,
  dataRoot: string,
  image: string,
  directory: string,
  driver = "overlay2",
): Promise<SavedLayer[]> {
  await Deno.mkdir(directory);
  await dockerd.docker(["save", "-o", `${directory}.tar`, image]);
  await runOk("tar", ["-C", directory, "-xf", `${directory}.tar`]);
  const [manifest] = JSON.parse(await Deno.readTextFile(`${directory}/manifest.json`)) as Manifest[];
  const { rootfs } = JSON.parse(await Deno.readTextFile(`${directory}/${manifest!.Config}`)) as Configuration;
  const layers: SavedLayer[] = [];
  let chain: string | undefined;
  for (const [i, diffId] of rootfs.diff_ids.entries()) {
    chain = chain === undefined ? diffId : `sha256:${await sha256(`${chain} ${diffId}`)}`;
    const book = `${dataRoot}/image/${driver}/layerdb/sha256/${chain.slice("sha256:".length)}`;
    const id = await Deno.readTextFile(`${book}/cache-id`);
    layers.push({ id, parent: layers.at(-1)?.id, diffId, tar: `${directory}/${manifest!.Layers[i]}` });
  }
  return layers;
}

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The id of the layer that a container writes to. */
export async function containerLayer(
  dockerd: Dockerd,
  dataRoot: string,
  container: string,
  driver = "overlay2",
): Promise<string> {
  const id = await dockerd.docker(["inspect", "--format={{.Id}}", container]);
  return await Deno.readTextFile(`${dataRoot}/image/${driver}/layerdb/mounts/${id}/mount-id`);
}
