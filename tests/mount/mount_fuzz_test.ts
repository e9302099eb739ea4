// SPDX-License-Identifier: Apache-2.0

/**
 * Random names and options, by each way to mount: what is seen must be what was asked for. What is random comes from a
 * seed, which a failure names and LAMINA_FUZZ_SEED sets.
 *
 * @module
 */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { isStorageError } from "../../lib/errors.ts";
import { parseMountOptions } from "../../lib/mount/mount_options.ts";
import { type MountApi, mountOverlay } from "../../lib/mount/overlay_mount.ts";
import { unmountLazily } from "../../lib/mount/unmount.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay];
const SEED = Number(Deno.env.get("LAMINA_FUZZ_SEED") ?? "1");
const ROUNDS: readonly [MountApi, number][] = [["new", 60], ["classic", 60], ["from", 15]];

/** Xorshift: numbers from 0 to 1, the same for the same seed. */
function randomNumbers(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

const PIECES: readonly string[] = [
  ..."abz09:,\\ \"'=+-#%@!~*?[]{}()$&;|<>^`\t\n.",
  "\\\\",
  "::",
  ",,",
  "\\:",
  "\\,",
  "\\134",
  "é",
  "€",
  "😀",
  "lowerdir=",
  ",upperdir=/etc,",
  ",context=x,",
  ",ro",
  ":/etc",
];

function pick<T>(random: () => number, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)]!;
}

/** A name for a directory. */
function randomName(random: () => number): string {
  const name = Array.from({ length: 1 + Math.floor(random() * 12) }, () => pick(random, PIECES)).join("");
  return `${name.replaceAll("/", "_").replace(/^\.+$/, "dots")}`;
}

const WORDS: readonly string[] = [
  "ro",
  "nodev",
  "nosuid",
  "noexec",
  "sync",
  "volatile",
  "index=off",
  "index=on",
  "metacopy=on",
  "redirect_dir=on",
  "xino=off",
  "upperdir=/etc",
  "lowerdir+=/etc",
  'context="a:b:c:s0:c1,c2"',
  'context="',
  "\\",
  ",",
  '"',
  " ",
  "=",
];

for (const [api, rounds] of ROUNDS) {
  testNeeding(NEEDS, `by ${api} the right directories are seen, whatever their names and options are`, async () => {
    for (let round = 0; round < rounds; round++) {
      const seed = SEED * 1000 + round;
      const random = randomNumbers(seed);
      await using directory = await TempDir.make();
      const base = await directory.mkdir(randomName(random));
      const names = Array.from({ length: 5 }, (_, i) => `${base}/${i}${randomName(random)}`);
      for (const name of names) await Deno.mkdir(name);
      const [upperDir, workDir, target, ...lowerDirs] = names;
      for (const [i, lowerDir] of lowerDirs.entries()) {
        await Deno.writeTextFile(`${lowerDir}/of-${i}`, "");
        await Deno.writeTextFile(`${lowerDir}/newest`, String(i));
      }
      const told = `seed ${seed}: ${JSON.stringify(names)}`;
      mountOverlay({ lowerDirs, upper: { upperDir: upperDir!, workDir: workDir! }, options: [] }, target!, api);
      assertEquals((await namesIn(target!)).sort(), ["newest", "of-0", "of-1"], told);
      assertEquals(await Deno.readTextFile(`${target}/newest`), "0", told);
      await Deno.writeTextFile(`${target}/written`, "");
      assertEquals(await namesIn(upperDir!), ["written"], told);
      unmountLazily(target!);
    }
  });

  testNeeding(NEEDS, `by ${api} no option string mounts another directory`, async () => {
    await using directory = await TempDir.make();
    const [lower, target] = [await directory.mkdir("lower"), await directory.mkdir("merged")];
    await Deno.writeTextFile(`${lower}/of-lower`, "");
    let mounted = 0;
    let refused = 0;
    for (let round = 0; round < rounds * 2; round++) {
      const seed = SEED * 1000 + round;
      const random = randomNumbers(seed);
      const words = Array.from(
        { length: 1 + Math.floor(random() * 3) },
        () =>
          Array.from({ length: 1 + Math.floor(random() * 2) }, () => pick(random, WORDS)).join(pick(random, ["", ","])),
      );
      const upper = { upperDir: await directory.mkdir(`u${round}`), workDir: await directory.mkdir(`w${round}`) };
      try {
        mountOverlay({ lowerDirs: [lower], upper, options: parseMountOptions(words) }, target, api);
      } catch (error) {
        assert(isStorageError(error, "invalid_argument", "mount_failed"), `seed ${seed}: ${error}`);
        refused++;
        continue;
      }
      mounted++;
      assertEquals(await namesIn(target), ["of-lower"], `seed ${seed}: ${JSON.stringify(words)}`);
      unmountLazily(target);
    }
    assert(mounted > 0 && refused > 0, `${mounted} mounted, ${refused} refused`);
  });
}
