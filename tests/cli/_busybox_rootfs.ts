// SPDX-License-Identifier: Apache-2.0

/**
 * A root file system in which programs run: busybox, and nothing else.
 *
 * @module
 */

import { needsProgram, type Requirement } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import type { TempDir } from "../_helpers/temp_dir.ts";

export const NEEDS_BUSYBOX: readonly Requirement[] = ["busybox", "tar"].map(needsProgram);

const MAKE = `
  mkdir -p "$1/bin" "$1/etc" && cp "$(command -v busybox)" "$1/bin/" && cd "$1/bin"
  for name in sh ls cat ps sleep mount readlink rm mkdir touch; do ln -s busybox $name; done
  tar -C "$1" --owner 0 --group 0 -cf "$2" .`;

/** Makes it; the path of its archive. */
export async function makeBusyboxRootfs(directory: TempDir): Promise<string> {
  const archive = directory.join("busybox.tar");
  await runOk("sh", ["-ec", MAKE, "sh", directory.join("busybox"), archive]);
  return archive;
}
