// SPDX-License-Identifier: Apache-2.0

/**
 * File systems in files. They are mounted below a TempDir, which unmounts them; the kernel then gives the loop device back.
 *
 * @module
 */

import type { Requirement } from "./requires.ts";
import { runOk } from "./run.ts";
import { TempDir } from "./temp_dir.ts";

/** How a file system is made and mounted. */
export interface Image {
  /** Of the file, which is sparse: `400M`. */
  size: string;
  /** The program that makes the file system, and its arguments but for the file. */
  mkfs: readonly string[];
  /** Options of the mount. */
  options?: string;
}

/** XFS is not made smaller. */
export const XFS: Image = { size: "400M", mkfs: ["mkfs.xfs", "-q"] };
/** As Debian's mkfs makes it. */
export const EXT4: Image = { size: "64M", mkfs: ["mkfs.ext4", "-q"] };
/** Not made smaller than some 110 MB. */
export const BTRFS: Image = { size: "256M", mkfs: ["mkfs.btrfs", "-q"] };
/** With all that project quotas take. */
export const QUOTA_IMAGES: Readonly<Record<"xfs" | "ext4", Image>> = {
  xfs: { ...XFS, options: "pquota" },
  ext4: { size: "64M", mkfs: ["mkfs.ext4", "-q", "-O", "project,quota"], options: "prjquota" },
};

const SCRIPT = 'truncate -s "$1" "$2.image"; mkdir "$2"; mount_options=$3; shift 3; "$@"; mount -o "$mount_options" ';

function script({ size, mkfs, options }: Image, name: string): string[] {
  const mountOptions = options === undefined ? "loop" : `loop,${options}`;
  const line = `${SCRIPT}"${name}.image" "${name}"`;
  return ["-ec", line, "bash", size, name, mountOptions, ...mkfs, `${name}.image`];
}

/** Makes a file system and mounts it at `name` in `directory`; returns where that is. */
export async function mountImage(directory: TempDir, name: string, image: Image): Promise<string> {
  await runOk("bash", script(image, name), { cwd: directory.path });
  return directory.join(name);
}

/** The machine makes and mounts such a file system: found out by trying. */
export function needsImage(name: string, image: Image): Requirement {
  let answer: { reason: string | undefined } | undefined;
  return { name, missing: () => (answer ??= { reason: refusal(name, image) }).reason };
}

function refusal(name: string, image: Image): string | undefined {
  if (Deno.uid() !== 0) return "needs root";
  using directory = TempDir.makeSync();
  const { success, stderr } = new Deno.Command("bash", { args: script(image, "image"), cwd: directory.path })
    .outputSync();
  return success ? undefined : `needs ${name}: ${new TextDecoder().decode(stderr).trim().split("\n")[0]}`;
}
