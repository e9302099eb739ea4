// SPDX-License-Identifier: Apache-2.0

/**
 * The options of a layer's mount: the home's own, what the caller asks for, and the label.
 *
 * @module
 */

import { StorageError } from "../errors.ts";
import { isSelinuxEnabled } from "../mount_label.ts";
import { overrideOptions, parseMountOptions } from "../mount/mount_options.ts";
import type { GetOptions } from "./driver.ts";

/** With these a layer's own directory no longer tells all that was changed, which diffs have to know. */
const KNOWN_TO_DIFFS: readonly string[] = ["metacopy=on", "redirect_dir=on"];

/**
 * The options of one mount.
 *
 * @param always Those of all mounts of the home.
 * @throws {StorageError} `invalid_argument`.
 */
export function optionsOfMount(
  always: readonly string[],
  { mountOptions = [], mountLabel = "", readOnly = false }: GetOptions,
): string[] {
  if (mountOptions.length === 0 && mountLabel === "") return [...always];
  const asked = parseMountOptions([...mountOptions, ...labelOptions(mountLabel)]);
  const stranger = asked.find((option) => KNOWN_TO_DIFFS.includes(option) && !always.includes(option));
  if (stranger !== undefined && !readOnly) {
    throw new StorageError("invalid_argument", `Cannot mount one layer with ${stranger}: its diffs would be wrong`, {
      hint: "give the option to the whole store, whose diffs then know: the storage option mountopt",
    });
  }
  if (readOnly) requireNothingToWrite(asked);
  return overrideOptions(always, asked);
}

/** A label means nothing to a kernel without SELinux, which would refuse the mount for it; `-o context=` insists. */
function labelOptions(label: string): string[] {
  return label !== "" && isSelinuxEnabled() ? [`context="${label}"`] : [];
}

function requireNothingToWrite(asked: readonly string[]): void {
  // What goes with ro goes with a view that is read-only for other reasons.
  parseMountOptions([...asked, "ro"]);
}
