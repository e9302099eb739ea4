// SPDX-License-Identifier: Apache-2.0

/**
 * Which archive a case of a run is.
 *
 * @module
 */

import { grammarArchive, type Surroundings } from "./grammar.ts";
import { mutate, mutateBytes } from "./mutations.ts";
import { Random } from "./random.ts";

/** One case in so many is compressed: each costs a Worker or a process, 30 times what the others take. */
const COMPRESSED_ONE_IN = 200;

/** The archive of case `index` of the run `seed`: the same for the same `seeds`. */
export function archiveOfCase(
  seed: number,
  index: number,
  seeds: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
  surroundings: Surroundings,
): Uint8Array<ArrayBuffer> {
  const random = Random.ofCase(seed, index);
  const isCompressed = ([name]: readonly [string, Uint8Array<ArrayBuffer>]): boolean => /\.(gzip|zstd)$/.test(name);
  if (random.oneIn(COMPRESSED_ONE_IN)) return mutateBytes(random, random.pick([...seeds].filter(isCompressed))[1]);
  const plain = [...seeds].filter((entry) => !isCompressed(entry)).map(([, bytes]) => bytes);
  const made = (): Uint8Array<ArrayBuffer> => grammarArchive(random, surroundings);
  switch (random.below(5)) {
    case 0:
      return mutate(random, random.pick(plain), random.pick(plain));
    case 1:
      return mutate(random, random.pick(plain), made());
    case 2:
      return mutate(random, made(), made());
    default:
      return made();
  }
}
