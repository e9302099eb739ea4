// SPDX-License-Identifier: Apache-2.0

/**
 * The commands that do in one step what takes several of the others.
 *
 * @module
 */

import type { CommandSpec } from "./command_spec.ts";
import { ARCHIVE_OUTPUT, DIGEST, LAYER, LIMIT, MANIFEST, MOUNT_OPTIONS, PARENT } from "./shared_options.ts";

/** Commands by name. */
export const EVERYDAY_COMMANDS = {
  run: {
    group: "Everyday",
    summary: "run a program in a new layer on this one",
    words: [LAYER, { name: "CMD", repeatable: true }],
    options: [
      { name: "rm", help: "remove the new layer when the program has ended" },
      { name: "commit", value: "NEW", help: "call it NEW; it is kept if the program ends with 0" },
      ...MOUNT_OPTIONS,
    ],
    example: "lamina run base --commit with-vim -- apt-get install -y vim",
    notes:
      "The layer is kept, and its id told, unless --rm says otherwise. ID is committed by it. With --read-only there is no " +
      "new layer, and the program sees ID. It has mounts and processes of its own: what it leaves running is ended. /proc, a " +
      "small /dev, /sys and the host's /etc/resolv.conf are shown to it, and made where they lack. All else is the host's: " +
      "network, host name, user ids. It is no jail: root in it can do what root can. It ends with the program's number, 128 + " +
      "N after signal N, 127 if there is no such program, 126 if it cannot be run.",
  },
  cp: {
    group: "Everyday",
    summary: "copy files out of a layer, or into one",
    words: [{ name: "FROM", completion: "file" }, { name: "TO", completion: "file" }],
    options: [],
    example: "lamina cp job-1:/etc/hosts /tmp",
    notes:
      "One of the two is ID:PATH, the other a path of the host, or - for a tar on standard input or output. PATH is " +
      "looked up with the layer as the root, so that no symbolic link and no .. leads out of it. A directory that is there " +
      "gets what is copied in it, and keeps what else it has; DIR/. stands for what is in DIR. Owners, modes, times, " +
      "attributes and links are kept. A layer on which another one lies is not copied into. In a tar, a name that begins with " +
      ".wh. deletes.",
  },
  export: {
    group: "Everyday",
    summary: "write all that is seen in a layer as a tar",
    words: [LAYER],
    options: [...ARCHIVE_OUTPUT, DIGEST],
    example: "lamina export job-1 --compress zstd -o rootfs.tar.zst",
    notes:
      "The archive is a whole root file system without whiteouts, whatever the layer lies on; lamina import takes it, and so " +
      "does tar. lamina diff writes what the layer itself changes.",
  },
  import: {
    group: "Everyday",
    summary: "make a layer of a root file system tar",
    words: [{ name: "ID" }, { name: "FILE|-", completion: "file" }],
    options: [PARENT, DIGEST, MANIFEST, LIMIT],
    example: "lamina import base rootfs.tar.gz",
    notes:
      "The layer must not be there yet, and is not there if it fails. lamina apply has more options, and also fills " +
      "a layer that is there.",
  },
  squash: {
    group: "Everyday",
    summary: "make one layer of a layer and those below it",
    words: [LAYER, { name: "NEW" }],
    options: [{ ...PARENT, help: "only of those above this one, on which NEW is to lie" }],
    example: "lamina squash job-1 release --parent base",
    notes: "NEW shows what ID shows. ID and the layers below it stay as they are. Sockets are left out.",
  },
} as const satisfies Readonly<Record<string, CommandSpec>>;
