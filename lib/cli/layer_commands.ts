// SPDX-License-Identifier: Apache-2.0

/**
 * The commands that make, change, mount and unmount layers.
 *
 * @module
 */

import type { CommandSpec, OptionSpec } from "./command_spec.ts";
import {
  ARCHIVE_OUTPUT,
  COMPARE_CONTENT,
  COMPARED_WITH,
  DIGEST,
  LAYER,
  LIMIT,
  MANIFEST,
  MOUNT_OPTIONS,
  MOUNTED_WITH,
  PARENT,
} from "./shared_options.ts";

const ID_MAPS: readonly OptionSpec[] = [
  { name: "uid-map", value: "C:H:N", repeatable: true, help: "N users from C inside are those from H outside" },
  { name: "gid-map", value: "C:H:N", repeatable: true, help: "the same for groups; one kind stands for both" },
  { name: "map-user", value: "NAME", help: "or those of /etc/subuid, /etc/subgid, from 0 on" },
];

/** Commands by name. */
export const LAYER_COMMANDS = {
  create: {
    group: "Layers",
    summary: "make an empty layer",
    words: [{ name: "ID" }],
    options: [
      PARENT,
      { name: "read-write", help: "to be written in, as a container does" },
      { name: "template", value: "ID", help: "begin with parent and content of this layer", completion: "layer" },
      { name: "size", value: "SIZE", help: "limit of a read-write layer: 512m, 10G" },
      ...ID_MAPS,
    ],
    example: "lamina create job-1 --parent base --read-write",
  },
  apply: {
    group: "Layers",
    summary: "fill a layer from a tar, tar.gz or tar.zst",
    words: [LAYER, { name: "FILE|-", optional: true, completion: "file" }],
    options: [
      { ...PARENT, help: "the layer below, where the layer has to be made first" },
      { name: "allow-missing-end", help: "take a tar without its two closing zero blocks" },
      DIGEST,
      MANIFEST,
      { name: "xattrs", value: "NS=POLICY", repeatable: true, help: "user, …: require, best-effort or drop" },
      LIMIT,
    ],
    example: "lamina apply base rootfs.tar.gz",
  },
  diff: {
    group: "Layers",
    summary: "write what a layer changes as a tar",
    words: [LAYER],
    options: [
      { name: "summary", help: "tell what would be in it, and the largest files" },
      COMPARED_WITH,
      ...ARCHIVE_OUTPUT,
      { name: "xattrs", value: "NS,NS", help: "only attributes of user, security, trusted, system" },
      COMPARE_CONTENT,
      { name: "skip-errors", help: "leave out, and list, what cannot be archived" },
      DIGEST,
      ...MOUNTED_WITH,
    ],
    example: "lamina diff job-1 --compress zstd -o job-1.tar.zst",
  },
  remap: {
    group: "Layers",
    summary: "give the files of a layer to other ids",
    words: [LAYER],
    options: [
      ...ID_MAPS,
      { name: "from-uid-map", value: "C:H:N", repeatable: true, help: "how they are mapped now, if they are" },
      { name: "from-gid-map", value: "C:H:N", repeatable: true, help: "the same for groups" },
      { name: "from-map-user", value: "NAME", help: "or by the user's subordinate ids" },
    ],
    example: "lamina remap job-1 --uid-map 0:100000:65536",
  },
  rm: {
    group: "Layers",
    summary: "remove layers",
    words: [{ ...LAYER, repeatable: true }],
    options: [{ name: "force", help: "unmount first; a layer that is not there is no error" }],
    example: "lamina rm job-1 base",
    notes: "Ids have to be whole here. Most other commands take the beginning of one if no other id begins so.",
  },
  mount: {
    group: "Mounts",
    summary: "mount a layer, or joined ones, and print where",
    words: [{ ...LAYER, repeatable: true }],
    options: [
      { name: "at", value: "DIR", help: "show at DIR; several layers as one tree", completion: "directory" },
      ...MOUNT_OPTIONS,
      ...ID_MAPS,
    ],
    example: 'root=$(lamina mount job-1) && ls "$root"',
  },
  unmount: {
    group: "Mounts",
    summary: "take one mount back; the last one unmounts",
    words: [{ ...LAYER, optional: true }],
    options: [
      { name: "force", help: "take all of them back" },
      { name: "at", value: "DIR", help: "take down what mount --at shows at DIR", completion: "directory" },
    ],
    example: "lamina unmount job-1",
  },
  mounts: {
    group: "Mounts",
    summary: "list mounted layers and where",
    words: [],
    options: [],
    example: "lamina mounts",
  },
  cleanup: {
    group: "Mounts",
    summary: "unmount all layers, remove what was interrupted",
    words: [],
    options: [],
    example: "lamina cleanup",
  },
  unshare: {
    group: "Mounts",
    summary: "run a program, or a shell, that may mount",
    words: [{ name: "CMD", optional: true, repeatable: true, completion: "file" }],
    options: [],
    example: "lamina unshare -- sh -c 'ls \"$(lamina mount job-1)\"'",
    notes:
      "Mounts made in it can be seen in it only, and end with it. An ordinary user is root in it, followed by the " +
      "ids of /etc/subuid and /etc/subgid if newuidmap is installed; who is root already stays what he is. Most " +
      "other commands enter such a namespace by themselves. It ends with the number that the program ends with, or " +
      "128 + N after signal N. LAMINA_ROOT and LAMINA_RUN_ROOT name the store in it: without root, and unless told " +
      "otherwise, $XDG_DATA_HOME/lamina (~/.local/share/lamina) and $XDG_RUNTIME_DIR/lamina (/tmp/lamina-UID).",
  },
} as const satisfies Readonly<Record<string, CommandSpec>>;
