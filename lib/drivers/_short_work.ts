// SPDX-License-Identifier: Apache-2.0

/**
 * Which work is not worth a Worker.
 *
 * @module
 */

import { AT_FDCWD, Fd, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat } from "../../ffi/file.ts";
import { isSmallTree } from "../util/remove_tree.ts";
import type { TaskName, Tasks } from "./_work.ts";

/** How many names a thread removes in about the time that it takes to ask another one to do it. */
const FEW_NAMES = 16;

/** Whether the task is done sooner than another thread could answer. */
export function isShort<N extends TaskName>(task: N, args: Tasks[N]["args"]): boolean {
  if (task !== "remove") return false;
  const { directory, name } = args as Tasks["remove"]["args"];
  using parent = new Fd(openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return isSmallTree(parent.fd, name, FEW_NAMES);
}
