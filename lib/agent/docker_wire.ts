// SPDX-License-Identifier: Apache-2.0

/**
 * The shapes of Docker's graph driver plugin protocol: what its requests say in lamina's words, and lamina's answers in
 * Docker's. Field names are those of the protocol, exactly.
 *
 * @module
 */

import type { Change, ChangeKind, CreateOptions, GetOptions, LayerMetadata } from "../drivers/driver.ts";
import { type IdMap, type IdMaps, parseIdMap } from "../id_map.ts";
import { listField, requiredField, textField, textsField, type UnsafeFields } from "./protocol.ts";

/** An answer's fields. */
export type Answer = Readonly<Record<string, unknown>>;

/** What dockerd says once when it starts: where its layers are to lie, and how. */
export interface InitRequest {
  /** Where the layers lie; dockerd does not make it. */
  home: string;
  /** `--storage-opt` of dockerd, `KEY=VALUE`, as the user wrote them. */
  options: string[];
  /** Left out: ids are the same inside and out. */
  idMaps: IdMaps | undefined;
}

/**
 * @throws {RequestError} `malformed_request`.
 * @throws {StorageError} `invalid_argument`: maps that can be none.
 */
export function readInit(fields: UnsafeFields): InitRequest {
  const uidMaps = listField(fields, "UIDMaps", readIdMap);
  const gidMaps = listField(fields, "GIDMaps", readIdMap);
  return {
    home: requiredField(fields, "Home"),
    options: listField(fields, "Opts", (item) => typeof item === "string" ? item : undefined),
    idMaps: uidMaps.length === 0 && gidMaps.length === 0 ? undefined : { uidMaps, gidMaps },
  };
}

/** The fields of a map are named so on the wire; Docker's public documentation has other names. */
function readIdMap(item: unknown): IdMap | undefined {
  if (typeof item !== "object" || item === null) return undefined;
  const { container_id: containerId, host_id: hostId, size } = item as Record<string, unknown>;
  const numbers = [containerId, hostId, size];
  return numbers.every((number) => typeof number === "number") ? parseIdMap(numbers.join(":")) : undefined;
}

/** What `Init` said, as it lies on disk: in its own words, so that there is one way to read it. */
export function writeInit({ home, options, idMaps }: InitRequest): string {
  const onWire = (maps: readonly IdMap[] = []): Answer[] =>
    maps.map(({ containerId, hostId, size }) => ({ "container_id": containerId, "host_id": hostId, size }));
  const fields = { Home: home, Opts: options, UIDMaps: onWire(idMaps?.uidMaps), GIDMaps: onWire(idMaps?.gidMaps) };
  return `${JSON.stringify(fields)}\n`;
}

/** The options of `Create` and `CreateReadWrite`. */
export function readCreate(fields: UnsafeFields): CreateOptions {
  const [parent, mountLabel] = [textField(fields, "Parent"), textField(fields, "MountLabel")];
  const storageOptions = textsField(fields, "StorageOpt");
  return {
    ...(parent === undefined ? {} : { parent }),
    ...(mountLabel === undefined ? {} : { mountLabel }),
    ...(storageOptions === undefined ? {} : { storageOptions }),
  };
}

/** The options of `Get`. */
export function readGet(fields: UnsafeFields): GetOptions {
  const mountLabel = textField(fields, "MountLabel");
  return mountLabel === undefined ? {} : { mountLabel };
}

/** With what a layer is compared: no parent is nothing at all, where lamina would take the layer's own. */
export function readParent(fields: UnsafeFields): string | null {
  return textField(fields, "Parent") ?? null;
}

/** The fields of a query whose values nobody escaped. */
export function readQuery(search: string): UnsafeFields {
  const pairs = search.replace(/^\?/, "").split("&").map((pair) => {
    const equals = pair.indexOf("=");
    return equals === -1 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
  });
  return Object.fromEntries(pairs) as UnsafeFields;
}

const NUMBER_OF_KIND: Readonly<Record<ChangeKind, number>> = { modify: 0, add: 1, delete: 2 };

/** The answer to `Changes`. */
export function changesOnWire(changes: readonly Change[]): Answer {
  return { Changes: changes.map(({ path, kind }) => ({ Path: path, Kind: NUMBER_OF_KIND[kind] })) };
}

/** The answer to `GetMetadata`, in the words of `docker inspect`. */
export function metadataOnWire({ upperDir, workDir, mergedDir, lowerDirs }: LayerMetadata): Answer {
  const lowers = lowerDirs.length === 0 ? {} : { LowerDir: lowerDirs.join(":") };
  return { Metadata: { ...lowers, MergedDir: mergedDir, UpperDir: upperDir, WorkDir: workDir } };
}
