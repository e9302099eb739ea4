// SPDX-License-Identifier: Apache-2.0

/**
 * The root file system of a minimal Debian, made by debootstrap(8) once for each machine.
 *
 * @module
 */

import type { Requirement } from "../_helpers/requires.ts";

const SUITE = "bookworm";
const CACHE = `${Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME") ?? "/root"}/.cache`}/lamina-tests`;

/** Where it is. No test may change it. */
export const DEBIAN_ROOTFS = `${CACHE}/${SUITE}`;

/** ping is there for its capability, which its package sets where it finds setcap. */
const MAKE = `
  set -e
  mkdir -p "$1"
  exec 9>"$1/lock"
  flock 9
  test ! -d "$1/$2" || exit 0
  rm -rf --one-file-system "$1/$2.new"
  debootstrap --variant=minbase --include=iputils-ping,libcap2-bin "$2" "$1/$2.new" 9>&- >&2
  rm -f "$1/$2.new"/var/cache/apt/archives/*.deb
  mv "$1/$2.new" "$1/$2"`;

let answer: { reason: string | undefined } | undefined;

/** The test works on {@linkcode DEBIAN_ROOTFS}. Asking makes it: a minute, and a network, the first time. */
export const needsDebianRootfs: Requirement = {
  name: "Debian's root file system",
  missing: () => (answer ??= { reason: make() }).reason,
};

function make(): string | undefined {
  if (Deno.uid() !== 0) return "needs root to make Debian's root file system";
  const { success, stderr } = new Deno.Command("bash", { args: ["-c", MAKE, "bash", CACHE, SUITE] }).outputSync();
  if (success) return undefined;
  const lastLine = new TextDecoder().decode(stderr).trimEnd().split("\n").at(-1);
  return `needs Debian's root file system, and debootstrap could not make ${DEBIAN_ROOTFS}: ${lastLine}`;
}
