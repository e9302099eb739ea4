// SPDX-License-Identifier: Apache-2.0

/** Each damage to a store of Docker's legacy driver: found, left alone by a look, and repaired. */

import "../_helpers/warm_libc.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { type Damage, testDamage } from "./_damaged_store.ts";

const NEEDS = [needsRoot, needsOverlay];
/** Makes `job`, a layer over the image `top` as Docker makes it, and `copy`, which lamina made of that. */
const JOB = `mkdir -p job/{upper,work,merged} copy/{upper,work,merged}; printf top >job/lower-id
  printf top >copy/lower-id; printf job >copy/.lamina-parent; `;

const DAMAGES: readonly Damage[] = [
  { name: "layers as they should be", script: JOB, finds: [] },
  { name: "lower-id is missing", script: `${JOB} rm copy/lower-id`, finds: ["lower_missing"] },
  { name: "lower-id is empty", script: `${JOB} : >copy/lower-id`, finds: ["lower_empty"] },
  {
    name: "lower-id leads out",
    script: `${JOB} printf ../../etc >copy/lower-id`,
    finds: ["lower_unsafe"],
    moves: [/^copy-lower-id$/],
  },
  {
    name: "lower-id names no image",
    script: `${JOB} printf gone >copy/lower-id`,
    finds: ["lower_gone"],
    moves: [/^copy-lower-id$/],
  },
  {
    name: "lower-id is empty, and nothing else tells the image",
    script: `${JOB} : >job/lower-id`,
    finds: ["lower_empty"],
    leaves: ["lower_empty"],
  },
  { name: "a work directory is missing", script: `${JOB} rmdir job/work`, finds: ["work_missing"] },
  {
    name: "an upper directory is missing",
    script: `${JOB} rmdir job/upper`,
    finds: ["content_missing"],
    leaves: ["content_missing"],
  },
  {
    name: "the parent is noted by something that is no id",
    script: "printf ../x >top/.lamina-parent",
    finds: ["parent_unsafe"],
    moves: [/^top-\.lamina-parent$/],
    // Without a parent it is a base layer.
    restores: true,
  },
  {
    name: "an apply was interrupted when the layer had become an image",
    script: "mkdir top/{upper,work,.lamina-applying}; printf mid >top/lower-id",
    finds: ["left_over", "left_over", "left_over", "left_over"],
    moves: [/^top-\.lamina-applying$/, /^top-lower-id$/, /^top-upper$/, /^top-work$/],
  },
  {
    name: "an apply was interrupted, by lamina and by Docker",
    script: `${JOB} mkdir -p job/.lamina-applying/{upper,work,merged} copy/tmproot123
      mount -t overlay overlay -o lowerdir=top/root,upperdir=job/.lamina-applying/upper,workdir=job/.lamina-applying/work \\
        job/.lamina-applying/merged`,
    finds: ["half_applied", "left_over"],
    moves: [/^copy-tmproot123$/, /^job-\.lamina-applying$/],
  },
  {
    name: "layers of containers/storage among them",
    script: "mkdir -p other2/diff; printf x >other2/link",
    finds: ["other_driver"],
    leaves: ["other_driver"],
  },
];

for (const damage of DAMAGES) {
  testNeeding(NEEDS, `check() of overlay: ${damage.name}`, () => testDamage("overlay", damage));
}
