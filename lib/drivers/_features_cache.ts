// SPDX-License-Identifier: Apache-2.0

/**
 * What overlayfs can do in a home, tried once and kept in the run root: trying takes milliseconds, a mount microseconds.
 *
 * @module
 */

import { AT_FDCWD, readlinkat } from "../../ffi/file.ts";
import type { Mounter } from "../mount/mounter.ts";
import type { OverlayFeatures } from "../mount/overlay_features.ts";
import { randomId } from "../util/random_id.ts";
import { readTextFile, readTextFileIfExists } from "../util/read_file.ts";
import { replaceFileQuickly } from "../util/run_file.ts";
import { textOf } from "../util/text.ts";

interface CacheEntry {
  /** A new kernel may answer otherwise, and so may this one with other module options after a boot. */
  bootId: string;
  /** In a user namespace overlayfs keeps its marks elsewhere, and has other options. */
  userNamespace: string;
  /** Who mounts, and with which options. */
  mounter: string;
  asked: string;
  features: OverlayFeatures;
}

/** The features of `home`, from `cacheFile` if that was written since the machine started, for the same mount options. */
export function featuresOf(
  home: string,
  cacheFile: string,
  mounter: Mounter,
  mountOptions: readonly string[],
): OverlayFeatures {
  const asked = mountOptions.join(",");
  const bootId = readTextFile("/proc/sys/kernel/random/boot_id").trim();
  const userNamespace = textOf(readlinkat(AT_FDCWD, "/proc/self/ns/user"));
  const cached = parse(readTextFileIfExists(cacheFile));
  const isSame = cached?.bootId === bootId && cached.userNamespace === userNamespace &&
    cached.mounter === mounter.name && cached.asked === asked;
  if (isSame) return cached.features;
  const features = mounter.probe(home, mountOptions);
  // Several processes may find a new home at once, and there is no layer yet to lock.
  const temporary = `${cacheFile}.${randomId(10)}`;
  replaceFileQuickly(
    cacheFile,
    JSON.stringify({ bootId, userNamespace, mounter: mounter.name, asked, features } satisfies CacheEntry),
    temporary,
  );
  return features;
}

function parse(text: string | undefined): CacheEntry | undefined {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as CacheEntry;
  } catch {
    return undefined;
  }
}
