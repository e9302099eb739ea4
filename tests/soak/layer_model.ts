// SPDX-License-Identifier: Apache-2.0

/**
 * What a store must hold after some operations, worked out without looking at it. A process writes down each operation
 * when it begins and when its call has returned; whoever reads that knows what must be there after the process, or the
 * machine, died: the work of each call that returned, and of the one that had begun either all or nothing.
 *
 * @module
 */

import type { DriverName } from "../../mod.ts";

/** One call of a driver. */
export type Operation =
  | { kind: "create" | "createReadWrite"; id: string; parent?: string }
  | { kind: "createFromTemplate"; id: string; template: string }
  | { kind: "apply"; id: string; key: number }
  | { kind: "remap"; id: string }
  | { kind: "get" | "put" | "diff" | "remove"; id: string };

/** All kinds of operations. */
export const OPERATION_KINDS = [
  "create",
  "createReadWrite",
  "createFromTemplate",
  "apply",
  "remap",
  "get",
  "put",
  "diff",
  "remove",
] as const satisfies readonly Operation["kind"][];

/** What a layer is. Layers below another never change, so that each holds its parent as it is. */
export interface Layer {
  readonly parent?: { readonly id: string; readonly layer: Layer };
  /** Of the archive that was applied to it. */
  readonly key?: number;
  /** How often all its files were given to other ids: an odd number of times, and they are. */
  readonly remaps: number;
}

/** A store at one moment. */
export interface StoreState {
  readonly layers: ReadonlyMap<string, Layer>;
  /** How many users each mounted layer has. */
  readonly mounts: ReadonlyMap<string, number>;
}

/** A store without layers. */
export const EMPTY_STORE: StoreState = { layers: new Map(), mounts: new Map() };

/** One line of what a process writes down. */
export type LedgerLine =
  | { begin: Operation }
  /** @property mounted Whether a get made, or found, a mount. */
  | { done: Operation; mounted: boolean };

/** The store after `operation`. */
export function after(driver: DriverName, state: StoreState, operation: Operation, mounted = true): StoreState {
  const layers = new Map(state.layers);
  const mounts = new Map(state.mounts);
  const { id } = operation;
  const users = mounts.get(id) ?? 0;
  switch (operation.kind) {
    case "create":
    case "createReadWrite":
      layers.set(id, { ...parentOf(state, operation.parent), remaps: 0 });
      break;
    case "createFromTemplate":
      layers.set(
        id,
        driver === "containers-overlay"
          ? { ...parentOf(state, operation.template), remaps: 0 }
          : layerOf(state, operation.template),
      );
      break;
    case "apply":
      layers.set(id, { ...layerOf(state, id), key: operation.key });
      break;
    case "remap":
      layers.set(id, { ...layerOf(state, id), remaps: layerOf(state, id).remaps + 1 });
      break;
    case "get":
      if (mounted) mounts.set(id, users + 1);
      break;
    case "put":
      if (users > 1) mounts.set(id, users - 1);
      else mounts.delete(id);
      break;
    case "remove":
      layers.delete(id);
      break;
    case "diff":
  }
  return { layers, mounts };
}

function parentOf(state: StoreState, id: string | undefined): Pick<Layer, "parent"> {
  return id === undefined ? {} : { parent: { id, layer: layerOf(state, id) } };
}

function layerOf(state: StoreState, id: string): Layer {
  const layer = state.layers.get(id);
  if (layer === undefined) throw new Error(`the model has no layer ${id}`);
  return layer;
}

/** What one may find of a layer; undefined is none. */
export interface Possible {
  layers: (Layer | undefined)[];
  users: number[];
}

/** What a ledger says. */
export interface LedgerReading {
  /** After the last operation that returned. */
  state: StoreState;
  /** By id. Who is not in here is as in `state`. */
  uncertain: Map<string, Possible>;
  /** The operation that had begun and not returned. */
  interrupted: Operation | undefined;
}

/**
 * Reads a ledger that began with `start`.
 *
 * @param certain So many lines were there when the machine died. What the others tell may have reached the disk or not.
 */
export function readLedger(
  driver: DriverName,
  start: StoreState,
  lines: readonly LedgerLine[],
  certain = lines.length,
): LedgerReading {
  let state = start;
  const uncertain = new Map<string, Possible>();
  let interrupted: Operation | undefined;
  lines.forEach((line, index) => {
    if ("done" in line) {
      state = after(driver, state, line.done, line.mounted);
      if (index < certain) uncertain.clear();
      interrupted = undefined;
    } else {
      interrupted = line.begin;
      const { id } = line.begin;
      const possible = uncertain.get(id) ?? possibleIn(state, id);
      const next = after(driver, state, line.begin);
      possible.layers.push(next.layers.get(id));
      possible.users.push(next.mounts.get(id) ?? 0);
      uncertain.set(id, possible);
    }
  });
  return { state, uncertain, interrupted };
}

/** What a ledger says of a store whose machine died, and with it all mounts. */
export function withoutMounts({ state, uncertain, interrupted }: LedgerReading): LedgerReading {
  return {
    state: { layers: state.layers, mounts: new Map() },
    uncertain: new Map([...uncertain].map(([id, possible]) => [id, { ...possible, users: [0] }])),
    interrupted,
  };
}

/** What one may find of the layer where nothing was interrupted. */
export function possibleIn(state: StoreState, id: string): Possible {
  return { layers: [state.layers.get(id)], users: [state.mounts.get(id) ?? 0] };
}

/** A state as text, for another process. */
export function stateToJson(state: StoreState): string {
  return JSON.stringify({ layers: [...state.layers], mounts: [...state.mounts] });
}

/** Reads what {@linkcode stateToJson} wrote. */
export function stateFromJson(text: string): StoreState {
  const { layers, mounts } = JSON.parse(text) as { layers: [string, Layer][]; mounts: [string, number][] };
  return { layers: new Map(layers), mounts: new Map(mounts) };
}
