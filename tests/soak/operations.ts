// SPDX-License-Identifier: Apache-2.0

/**
 * Operations at random, such that each can succeed, and how a driver does them.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { DriverName, GraphDriver } from "../../mod.ts";
import type { Random } from "../fuzz/random.ts";
import { archiveOf, keyBelow, REMAPPED } from "./layer_content.ts";
import { type Layer, type Operation, OPERATION_KINDS, type StoreState } from "./layer_model.ts";

const IDS = Array.from({ length: 12 }, (_, i) => `layer-${i}`);
const MOST_BELOW = 3;
const MOST_USERS = 3;
const MOST_KEYS = 0x4000_0000;

/** Something that can be done to the store: each kind equally often, as far as there is a layer for it. */
export function chooseOperation(driver: DriverName, random: Random, state: StoreState): Operation {
  for (;;) {
    const operation = tryChoose(driver, random, state, random.pick(OPERATION_KINDS));
    if (operation !== undefined) return operation;
  }
}

function tryChoose(
  driver: DriverName,
  random: Random,
  { layers, mounts }: StoreState,
  kind: Operation["kind"],
): Operation | undefined {
  const free = IDS.filter((id) => !layers.has(id));
  const all = [...layers.keys()];
  const parents = new Set([...layers.values()].map(({ parent }) => parent?.id));
  const idle = all.filter((id) => !parents.has(id) && !mounts.has(id));
  const layer = (id: string): Layer => layers.get(id)!;
  const pick = (ids: readonly string[]): string | undefined => ids.length === 0 ? undefined : random.pick(ids);
  switch (kind) {
    case "create":
    case "createReadWrite": {
      const id = pick(free);
      // A parent that is written to meanwhile is nobody's idea of a layer.
      const parent = random.oneIn(4)
        ? undefined
        : pick(all.filter((id) => depth(layer(id)) < MOST_BELOW && !mounts.has(id)));
      return id === undefined ? undefined : { kind, id, ...parent === undefined ? {} : { parent } };
    }
    case "createFromTemplate": {
      const id = pick(free);
      const template = pick(
        all.filter((id) => depth(layer(id)) < MOST_BELOW && layer(id).remaps === 0 && !mounts.has(id)),
      );
      return id === undefined || template === undefined ? undefined : { kind, id, template };
    }
    case "apply": {
      const id = pick(idle.filter((id) => layer(id).key === undefined && layer(id).remaps === 0));
      return id === undefined ? undefined : { kind, id, key: random.below(MOST_KEYS) };
    }
    case "remap": {
      if (driver !== "containers-overlay") return undefined;
      const id = pick(idle.filter((id) => !isAnyRemapped(layer(id).parent?.layer)));
      return id === undefined ? undefined : { kind, id };
    }
    case "get": {
      const id = pick(all.filter((id) => (mounts.get(id) ?? 0) < MOST_USERS));
      return id === undefined ? undefined : { kind, id };
    }
    case "put": {
      const id = pick([...mounts.keys()]);
      return id === undefined ? undefined : { kind, id };
    }
    case "diff": {
      const id = pick(all);
      return id === undefined ? undefined : { kind, id };
    }
    case "remove": {
      // A parent is mounted read-only: when it is none any more, another get() would want to write.
      const id = pick(idle.filter((id) => !mounts.has(layer(id).parent?.id ?? "")));
      return id === undefined ? undefined : { kind, id };
    }
  }
}

function depth(layer: Layer): number {
  return layer.parent === undefined ? 0 : 1 + depth(layer.parent.layer);
}

function isAnyRemapped(layer: Layer | undefined): boolean {
  return layer !== undefined && (layer.remaps > 0 || isAnyRemapped(layer.parent?.layer));
}

/** Does `operation`; whether a get made, or found, a mount. */
export async function perform(driver: GraphDriver, state: StoreState, operation: Operation): Promise<boolean> {
  const { id } = operation;
  switch (operation.kind) {
    case "create":
    case "createReadWrite":
      await driver[operation.kind](id, operation.parent === undefined ? {} : { parent: operation.parent });
      return false;
    case "createFromTemplate":
      await driver.createFromTemplate(id, operation.template);
      return false;
    case "apply":
      await driver.applyDiff(id, ReadableStream.from([archiveOf(operation.key, keyBelow(state.layers.get(id)!))]));
      return false;
    case "remap": {
      const away = { uidMaps: [REMAPPED], gidMaps: [REMAPPED] };
      const isAway = state.layers.get(id)!.remaps % 2 === 1;
      await driver.updateLayerIdMap(id, isAway ? away : undefined, isAway ? undefined : away);
      return false;
    }
    case "get":
      return (await driver.get(id)).path.endsWith("/merged");
    case "diff": {
      let bytes = 0;
      for await (const chunk of await driver.diff(id)) bytes += chunk.length;
      assertEquals(bytes % 512, 0);
      return false;
    }
    case "put":
    case "remove":
      await driver[operation.kind](id);
      return false;
  }
}
