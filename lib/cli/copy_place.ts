// SPDX-License-Identifier: Apache-2.0

/**
 * What the words of `lamina cp` name: a path in a layer, a path of the host, or a tar on a standard stream.
 *
 * @module
 */

import type { Words } from "./words.ts";
import { UsageError } from "./usage_error.ts";

/** A path in a layer. */
export interface LayerPlace {
  id: string;
  path: string;
}

/** What is copied where. */
export interface CopyWords {
  direction: "in" | "out";
  layer: LayerPlace;
  /** A path, or `-` for a standard stream. */
  host: string;
}

/** @throws {UsageError} Not one of the two is in a layer. */
export function readCopyPlaces(words: Words): CopyWords {
  const [from, to] = words.rest as [string, string];
  const [source, target] = [readPlace(from), readPlace(to)];
  if (source !== undefined && target !== undefined) {
    throw new UsageError("one of the two has to be a path of the host", {
      command: "cp",
      hint: `from layer to layer: lamina cp ${from} - | lamina cp - ${to}`,
    });
  }
  if (target !== undefined) return { direction: "in", layer: target, host: from };
  if (source === undefined) {
    throw new UsageError("one of the two has to be in a layer: ID:PATH", {
      command: "cp",
      hint: "a path of the host with a colon is told by a slash before it: ./a:b",
    });
  }
  if (to !== "-" || !words.has("json")) return { direction: "out", layer: source, host: to };
  throw new UsageError("--json needs a path: standard output holds the archive", { command: "cp" });
}

/**
 * Undefined for a path of the host. Names of dockerd's have colons, so that the id ends where `:/` is; a path that does not
 * begin with a slash begins behind the first colon.
 */
function readPlace(word: string): LayerPlace | undefined {
  const colon = word.indexOf(":");
  const slash = word.indexOf("/");
  if (colon <= 0 || slash !== -1 && slash < colon) return undefined;
  const beforeSlash = word.indexOf(":/");
  const end = beforeSlash === -1 ? colon : beforeSlash;
  return { id: word.slice(0, end), path: word.slice(end + 1) };
}
