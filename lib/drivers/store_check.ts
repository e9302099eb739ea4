// SPDX-License-Identifier: Apache-2.0

/**
 * What `check` looks for, and what `repair` does about it.
 *
 * Damage is what makes a layer unusable, or will; a note is what somebody may want to know. Nothing is ever deleted but
 * empty mount points, counts without a mount, and layers whose removal had begun. What can be told from a second
 * place is written again from there; what cannot is left, and told; what is nobody's goes to `lost+found` in the home,
 * from where it can be taken back.
 *
 * A finding is only told when two looks at the store agree on it, and a repair looks once more, under the layer's lock:
 * other processes of lamina may go on meanwhile. dockerd and Podman take no such locks: stop them before a repair.
 *
 * Short names (`overlay2`, `containers-overlay`; the files are described in _layer_layout.ts):
 *
 * | code | what is wrong | repair |
 * | --- | --- | --- |
 * | `names_missing` | the directory `l` is missing, or no directory | made; what was there goes to lost+found |
 * | `link_missing` | a layer has no `link` file | from the link in `l` that leads to the layer, from a child's `lower`, or a new name if nobody can mean the old one |
 * | `link_empty` | it is empty, as after a power cut | the same |
 * | `link_unsafe` | it holds no short name, or is no file | the same |
 * | `link_wrong` | it names what leads to nothing or another layer | the same |
 * | `link_twice` | two layers have one short name | the other than the one it leads to gets another |
 * | `name_missing` | a layer's short name is not in `l` | made again |
 * | `name_unsafe` | something in `l` is no link to a layer's content | to lost+found, and made again where it is a layer's |
 * | `name_dangling` | it leads to a layer that is not there, and no layer needs it | to lost+found |
 * | `name_surplus` | a layer has several, and this one is not used | to lost+found |
 * | `lower_missing` | a layer with parents has no `lower` file | from the `lower` of a layer above it, or its parent's |
 * | `lower_empty` | it is empty | the same |
 * | `lower_unsafe` | it holds something else than short names, or is no file | the same |
 * | `lower_gone` | it names what is not there | the same, if that tells other names; else told with who needs it |
 * | `lower_disagrees` | it is not its parent and what is below that one | from the parent, where it is only cut short or spelled otherwise |
 * | `content_missing` | a layer's content is not there | none: it was nowhere else |
 * | `work_missing` | the directory for the kernel's work is not there | made |
 *
 * Docker's legacy `overlay` has `lower_missing`, `lower_empty`, `lower_unsafe`, `lower_gone` for its file `lower-id`, which
 * is written again from `.lamina-parent` or from dockerd's books; and `parent_unsafe` for `.lamina-parent` (to
 * lost+found), beside `content_missing` and `work_missing`.
 *
 * `containers-overlay` has `flag_unsafe`: `.has-mount-program` says neither `true` nor `false`; and `older_content_gap`:
 * `diff1`, `diff2`… are not in a row, so that what lies behind the gap is not seen. Neither is repaired.
 *
 * All drivers:
 *
 * | code | what is wrong | repair |
 * | --- | --- | --- |
 * | `half_applied` | an apply was interrupted | its content to lost+found: the layer is as empty as before |
 * | `left_over` | something that was being made or replaced when its process died | to lost+found, unmounted where it tried mounts |
 * | `removal_begun` | a layer was being removed | removed |
 * | `stray` | in the home lies what is no layer and belongs to no driver | to lost+found |
 * | `other_driver` | layers of another driver, in the same root or home | none: only you know whose the root is |
 * | `mount_point_not_empty` | something was written where a layer is mounted when it was not | to lost+found |
 * | `mount_of_no_layer` | something is mounted in the home, and there is no layer | overlays are unmounted |
 * | `mount_dead` | the program that served a mount has died | unmounted |
 * | `mode_unsafe` | others than the owner may write | that right is taken away |
 * | `owner_wrong` | neither ours, root's nor the container's | none |
 * | `lost_found_unsafe` | `lost+found` is no directory of ours | none, nor of what would go there |
 * | `manifest_differs` | with `deep`: the content is not what its manifest says (`verify` tells each file) | none |
 *
 * Notes, which do not make a check fail:
 *
 * | code | what is to be known | repair |
 * | --- | --- | --- |
 * | `mount_point_left` | an empty mount point, where the driver makes them as it mounts | removed |
 * | `parent_unmarked` | `overlay2`: others lie on the layer, and no file `committed` says so, as before Docker 20.10: `get` shows it to be written | marked |
 * | `count_stale` | a count of mounts, and no mount | removed |
 * | `mount_uncounted` | a mount that lamina did not make | none needed: it counts as one |
 * | `layer_unreferenced` | neither dockerd's nor Podman's books know the layer, and how many bytes it has | none: yours to remove |
 * | `whiteout_idle` | with `deep`: deletions where nothing is below | none |
 * | `whiteout_name` | with `deep`: files named `.wh.…`, which the kernel's overlayfs shows | none |
 *
 * @module
 */

import type { WorkOptions } from "./work_options.ts";

/** How serious a finding is. */
export type FindingKind = "damage" | "note";

/** All codes, and how serious each is. Codes are only ever added. */
export const FINDING_KINDS = {
  "names_missing": "damage",
  "link_missing": "damage",
  "link_empty": "damage",
  "link_unsafe": "damage",
  "link_wrong": "damage",
  "link_twice": "damage",
  "name_missing": "damage",
  "name_unsafe": "damage",
  "name_dangling": "damage",
  "name_surplus": "damage",
  "lower_missing": "damage",
  "lower_empty": "damage",
  "lower_unsafe": "damage",
  "lower_gone": "damage",
  "lower_disagrees": "damage",
  "content_missing": "damage",
  "work_missing": "damage",
  "parent_unsafe": "damage",
  "flag_unsafe": "damage",
  "older_content_gap": "damage",
  "half_applied": "damage",
  "left_over": "damage",
  "removal_begun": "damage",
  stray: "damage",
  "other_driver": "damage",
  "mount_point_not_empty": "damage",
  "mount_dead": "damage",
  "mount_of_no_layer": "damage",
  "mode_unsafe": "damage",
  "owner_wrong": "damage",
  "lost_found_unsafe": "damage",
  "manifest_differs": "damage",
  "mount_point_left": "note",
  "parent_unmarked": "note",
  "count_stale": "note",
  "mount_uncounted": "note",
  "layer_unreferenced": "note",
  "whiteout_idle": "note",
  "whiteout_name": "note",
} as const;

/** What a finding is. */
export type FindingCode = keyof typeof FINDING_KINDS;

/** One thing that `check` found. */
export interface Finding {
  /** What it is. */
  code: FindingCode;
  /** How serious it is. */
  kind: FindingKind;
  /** Whose it is; left out where it is no layer's. */
  layer?: string;
  /** What it is about. Bytes that are no UTF-8 show as U+FFFD. */
  path: string;
  /** What is wrong, as the end of a sentence that begins with the path: `is empty`. */
  problem: string;
  /** What `repair` does, or did, about it; of what it cannot repair, what you can do. */
  action: string;
  /** Whether `repair` can do it. */
  repairable: boolean;
  /** Whether it was done. */
  repaired: boolean;
  /** Why it could not be done. */
  failure?: string;
  /** Bytes of the files of a layer that nobody refers to. */
  sizeBytes?: number;
}

/** How a store is checked. */
export interface CheckOptions extends Omit<WorkOptions, "onProgress"> {
  /** Repairs what can be repaired. Left out, nothing is changed. */
  repair?: boolean;
  /** Looks into all layers as well: for whiteouts where there should be none, and whether manifests hold. */
  deep?: boolean;
  /** dockerd's data-root, whose books say which layers are whose, and which layer is whose parent. */
  dockerRoot?: string;
}
