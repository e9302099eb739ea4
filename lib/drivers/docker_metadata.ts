// SPDX-License-Identifier: Apache-2.0

/**
 * What a dockerd knows of the layers in its data-root: of which image one is the top, to which container one belongs.
 * Read from dockerd's own files, which it may change meanwhile; nothing is written.
 *
 * ```
 * DIR/image/<driver>/layerdb/sha256/<chain>/{cache-id,diff,parent}   a layer of images: its id, its digest, what lies below
 * DIR/image/<driver>/layerdb/mounts/<container>/{mount-id,init-id}   the two layers of a container
 * DIR/image/<driver>/imagedb/content/sha256/<image>                  an image's configuration: the digests of its layers
 * DIR/image/<driver>/repositories.json                               names of images
 * DIR/containers/<container>/config.v2.json                          the name of a container
 * ```
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { asStorageError, isStorageError, StorageError } from "../errors.ts";
import { parseLayerId } from "../layer_id.ts";
import { type Logger, SILENT } from "../log.ts";
import { absolutePath } from "../util/absolute_path.ts";
import { digestOf, DockerFiles, HEX_ID_REGEXP, recordOf } from "./_docker_files.ts";

/** Something of dockerd that a layer is a part of. */
export interface DockerOwner {
  /** The layer is the top of an image, the layer that a container writes to, or the one right below that. */
  kind: "image" | "container" | "init";
  /** 64 hexadecimal digits: the image's or the container's. */
  id: string;
  /** `repository:tag` of an image, `repository@sha256:…` last; of a container the one name it has. May be empty. */
  names: string[];
}

/** Where names are read. */
export interface DockerMetadataOptions {
  /** dockerd's data-root: `/var/lib/docker`. */
  dockerRoot: string;
  /** The name of the driver that the layers belong to: dockerd keeps books for each. */
  driver: string;
  /** Told of files that cannot be used; what they would say is left out. Left out, nobody is. */
  logger?: Logger;
}

/** Digits of an id, enough of them not to be meant as a word. */
const ID_PREFIX_REGEXP = /^(?:sha256:)?([0-9a-f]{4,64})$/;
/** What `docker pull` may be told and dockerd does not write down. */
const DEFAULT_REGISTRY_REGEXP = /^(?:(?:index\.)?docker\.io\/)?(?:library\/)?/;

/** A thing of dockerd's and the layer it means; an image without content has none. */
interface Known {
  owner: DockerOwner;
  layerId: string | undefined;
}

/**
 * Reads the names in a data-root.
 *
 * @throws {StorageError} `invalid_argument`: it is none, or holds nothing of this driver; `permission_denied`. A damaged
 * file is no error: the logger is told, by name.
 */
export function readDockerMetadata(options: DockerMetadataOptions): DockerMetadata {
  const { dockerRoot, driver, logger = SILENT } = options;
  const root = absolutePath(dockerRoot);
  try {
    using files = new DockerFiles(root);
    return new DockerMetadata(new Reader(files, `image/${driver}`, logger));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) throw notDockers(root, "there is no such directory", error);
    if (isStorageError(error, "store_damaged")) throw notDockers(root, error.message, error);
    throw asStorageError(error, `Cannot read what dockerd knows in ${root}`);
  }
}

function notDockers(root: string, reason: string, cause: unknown): StorageError {
  return new StorageError("invalid_argument", `Cannot take ${root} for a data-root of dockerd: ${reason}`, {
    cause,
    hint: "give the directory that `docker info` calls Docker Root Dir, and --driver where dockerd has several",
  });
}

/** What was read. */
export class DockerMetadata {
  readonly #known: readonly Known[];
  readonly #layers: ReadonlySet<string>;
  readonly #parents: ReadonlyMap<string, string | null>;

  /** From what {@linkcode readDockerMetadata} read. */
  constructor(
    read: {
      known: readonly Known[];
      layers: ReadonlySet<string>;
      parents: ReadonlyMap<string, string | null>;
    },
  ) {
    this.#known = read.known;
    this.#layers = read.layers;
    this.#parents = read.parents;
  }

  /** Whether dockerd has the layer in its books, as a part of whatever. */
  knows(layerId: string): boolean {
    return this.#layers.has(layerId);
  }

  /** The layer right below; null if there is none, undefined if the books do not tell. */
  parentOf(layerId: string): string | null | undefined {
    return this.#parents.get(layerId);
  }

  /** Whose layer it is: images by their names, then containers. None for a layer between others. */
  ownersOf(layerId: string): DockerOwner[] {
    return this.#known.filter((known) => known.layerId === layerId).map(({ owner }) => owner);
  }

  /**
   * The layer that `word` means: the name of a container, an image as `docker` takes it, an id of either, or the
   * beginning of one. undefined if it means nothing.
   *
   * @param isLayer Whether it is the id of a layer as well: what else it means must then be the same one.
   * @throws {StorageError} `invalid_argument`: it means several layers; `layer_not_found`: an image without content.
   */
  find(word: string, isLayer: boolean): string | undefined {
    const exact = this.#known.filter(({ owner }) => isExactly(owner, word));
    const found = exact.length > 0 || isLayer ? exact : this.#known.filter(({ owner }) => beginsWith(owner, word));
    const meanings = new Map(
      found.map(({ owner, layerId }) => [layerId, `${owner.kind} ${nameFor(owner, word)}`]),
    );
    if (isLayer && !meanings.has(word)) meanings.set(word, "layer");
    if (meanings.size > 1) {
      const list = [...meanings].map(([layerId, what]) => `${what} (${layerId ?? "no layer"})`);
      throw new StorageError("invalid_argument", `${JSON.stringify(word)} means several layers: ${list.join(", ")}`, {
        hint: "give the id of the layer, or more digits",
      });
    }
    const [meaning] = meanings;
    if (meaning === undefined) return undefined;
    if (meaning[0] !== undefined) return meaning[0];
    throw new StorageError("layer_not_found", `There is no layer of ${meaning[1]}: the image has no content`);
  }
}

function isExactly(owner: DockerOwner, word: string): boolean {
  const { kind, id } = owner;
  if (kind === "init") return false;
  return word === id || (kind === "image" && word === `sha256:${id}`) || nameMeant(owner, word) !== undefined;
}

/** Which of its names `word` stands for. */
function nameMeant({ kind, names }: DockerOwner, word: string): string | undefined {
  const name = kind === "image" ? familiarReference(word) : word;
  return names.includes(name) ? name : undefined;
}

/** What to call it, to somebody who called it `word`. */
function nameFor(owner: DockerOwner, word: string): string {
  return nameMeant(owner, word) ?? owner.names[0] ?? owner.id;
}

function beginsWith({ kind, id }: DockerOwner, word: string): boolean {
  const digits = ID_PREFIX_REGEXP.exec(word)?.[1];
  return digits !== undefined && kind !== "init" && id.startsWith(digits) &&
    (kind === "image" || !word.startsWith("sha256:"));
}

/** The reference as dockerd writes it down: without what it would add itself, but with a tag. */
function familiarReference(word: string): string {
  const reference = word.replace(DEFAULT_REGISTRY_REGEXP, "");
  const last = reference.slice(reference.lastIndexOf("/") + 1);
  return last.includes(":") || last.includes("@") ? reference : `${reference}:latest`;
}

/** A layer of images, as the layer database has it. */
interface ChainLayer {
  layerId: string;
  chain: string;
}

/** Reads once, from the layers up to the names. */
class Reader {
  readonly known: Known[] = [];
  readonly layers = new Set<string>();
  /** The layer below each layer; null for none. */
  readonly parents = new Map<string, string | null>();
  /** The layer at the top of each stack. */
  readonly #layerOf = new Map<string, string>();
  /** By what lies below and the layer's own digest. */
  readonly #chains = new Map<string, ChainLayer>();

  constructor(readonly files: DockerFiles, readonly imageRoot: string, readonly logger: Logger) {
    this.#readLayers();
    this.#readImages();
    this.#readContainers();
  }

  #readLayers(): void {
    const layerdb = `${this.imageRoot}/layerdb/sha256`;
    const parentChains = new Map<string, string>();
    for (const chain of this.files.names(layerdb, HEX_ID_REGEXP)) {
      this.#warnIfDamaged(() => {
        const path = `${layerdb}/${chain}`;
        const layerId = this.#layerId(`${path}/cache-id`);
        this.layers.add(layerId);
        const parent = this.files.textIfExists(`${path}/parent`) === undefined
          ? ""
          : this.files.digest(`${path}/parent`);
        this.#chains.set(`${parent} ${this.files.digest(`${path}/diff`)}`, { layerId, chain });
        this.#layerOf.set(chain, layerId);
        parentChains.set(layerId, parent);
      });
    }
    for (const [layerId, chain] of parentChains) {
      this.#noteParent(layerId, chain);
    }
  }

  /** Notes that the layer lies on the top of `chain`; on nothing where that is empty. */
  #noteParent(layerId: string, chain: string): void {
    const parent = chain === "" ? null : this.#layerOf.get(chain);
    if (parent !== undefined) this.parents.set(layerId, parent);
  }

  #readImages(): void {
    const imagedb = `${this.imageRoot}/imagedb/content/sha256`;
    const namesOf = this.#readReferences();
    const images: Known[] = [];
    for (const id of this.#namesIn(imagedb)) {
      this.#warnIfDamaged(() => {
        const names = namesOf.get(id) ?? [];
        images.push({ owner: { kind: "image", id, names }, layerId: this.#topLayer(`${imagedb}/${id}`) });
      });
    }
    // Those with names first, in the order of the names.
    const key = ({ owner }: Known): string => owner.names[0] ?? `\uffff${owner.id}`;
    this.known.push(...images.sort((a, b) => key(a) < key(b) ? -1 : 1));
  }

  /** The uppermost layer of an image; undefined if it has none. */
  #topLayer(path: string): string | undefined {
    const rootfs = recordOf(this.files.json(path).rootfs);
    // An image that was begun from nothing has null.
    const diffIds = rootfs?.diff_ids ?? [];
    if (rootfs === undefined || !Array.isArray(diffIds)) throw this.files.damaged(path, "has no list of layers");
    let top: ChainLayer | undefined;
    for (const diffId of diffIds) {
      const digest = digestOf(diffId);
      if (digest === undefined) throw this.files.damaged(path, "lists a layer by something that is no digest");
      top = this.#chains.get(`${top?.chain ?? ""} ${digest}`);
      if (top === undefined) {
        throw this.files.damaged(path, `lists the layer ${diffId}, which the layer database lacks`);
      }
    }
    return top?.layerId;
  }

  /** The names of each image. */
  #readReferences(): Map<string, string[]> {
    const names = new Map<string, string[]>();
    const path = `${this.imageRoot}/repositories.json`;
    this.#warnIfDamaged(() => {
      const repositories = recordOf(this.files.json(path).Repositories);
      if (repositories === undefined) throw this.files.damaged(path, "has no repositories");
      for (const references of Object.values(repositories)) {
        for (const [reference, image] of Object.entries(recordOf(references) ?? {})) {
          const id = digestOf(image);
          if (id === undefined) this.logger.warn(this.files.damaged(path, "names an image without its digest").message);
          else names.set(id, [...names.get(id) ?? [], reference]);
        }
      }
    });
    const rank = (reference: string): string => `${reference.includes("@") ? 1 : 0}${reference}`;
    for (const list of names.values()) list.sort((a, b) => rank(a) < rank(b) ? -1 : 1);
    return names;
  }

  #readContainers(): void {
    const mounts = `${this.imageRoot}/layerdb/mounts`;
    for (const id of this.#namesIn(mounts)) {
      this.#warnIfDamaged(() => {
        const names = this.#containerNames(id);
        const layerId = this.#layerId(`${mounts}/${id}/mount-id`);
        this.#addContainerLayer({ kind: "container", id, names }, layerId);
        const parent = `${mounts}/${id}/parent`;
        const chain = this.files.textIfExists(parent) === undefined ? "" : this.files.digest(parent);
        // An image that is being built has a container without such a layer.
        const init = `${mounts}/${id}/init-id`;
        if (this.files.textIfExists(init) === undefined) return this.#noteParent(layerId, chain);
        const initId = this.#layerId(init);
        this.#addContainerLayer({ kind: "init", id, names }, initId);
        this.parents.set(layerId, initId);
        this.#noteParent(initId, chain);
      });
    }
  }

  #addContainerLayer(owner: DockerOwner, layerId: string): void {
    this.layers.add(layerId);
    this.known.push({ owner, layerId });
  }

  #containerNames(id: string): string[] {
    const path = `containers/${id}/config.v2.json`;
    let names: string[] = [];
    this.#warnIfDamaged(() => {
      const { Name: name } = this.files.json(path);
      if (typeof name !== "string" || !/^\/[^/]+$/.test(name)) throw this.files.damaged(path, "has no name");
      names = [name.slice(1)];
    });
    return names;
  }

  /** The id in a file: it becomes part of a path, and a hostile one would lead elsewhere. */
  #layerId(path: string): string {
    const text = this.files.text(path);
    try {
      return parseLayerId(text);
    } catch (error) {
      if (isStorageError(error, "invalid_argument")) throw this.files.damaged(path, "holds no layer id", error);
      throw error;
    }
  }

  /** Ids in a directory that a new data-root may lack. */
  #namesIn(path: string): string[] {
    let names: string[] = [];
    this.#warnIfDamaged(() => {
      names = this.files.names(path, HEX_ID_REGEXP);
    });
    return names;
  }

  /** One damaged file must not hide what the others say. */
  #warnIfDamaged(read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!isStorageError(error, "store_damaged")) throw error;
      this.logger.warn(error.message);
    }
  }
}
