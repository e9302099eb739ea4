// SPDX-License-Identifier: Apache-2.0

/**
 * Why an ordinary user gets no user namespace, and which switch it is.
 *
 * @module
 */

import { StorageError } from "../../errors.ts";
import { readTextFileIfExists } from "../../util/read_file.ts";

/** A switch of the kernel that forbids user namespaces. */
interface Switch {
  /** Its name for sysctl(8). */
  name: string;
  /** What it is set to where it forbids. */
  forbidding: string;
  /** What to set it to. */
  allowing: string;
}

const SWITCHES: readonly Switch[] = [
  { name: "user.max_user_namespaces", forbidding: "0", allowing: "15000" },
  // A patch of Debian's, and of those who took it from there.
  { name: "kernel.unprivileged_userns_clone", forbidding: "0", allowing: "1" },
  // Ubuntu since 23.10: a namespace is made, and is worth nothing.
  { name: "kernel.apparmor_restrict_unprivileged_userns", forbidding: "1", allowing: "0" },
];

/**
 * The error for a user namespace that was refused.
 *
 * @param said What the program wrote that tried to make it.
 * @param read The content of a file, if there is such a file.
 */
export function namespaceRefused(
  said: string,
  read: (path: string) => string | undefined = readTextFileIfExists,
): StorageError {
  const refusal = `Cannot enter a user namespace as user ${Deno.uid()}: ${said}`;
  if (read("/proc/self/uid_map") === undefined) {
    return new StorageError("not_supported", `${refusal}: the kernel has no user namespaces`, {
      hint: "run as root, or on a kernel with CONFIG_USER_NS",
    });
  }
  const found = SWITCHES.find(({ name, forbidding }) =>
    read(`/proc/sys/${name.replaceAll(".", "/")}`)?.trim() === forbidding
  );
  if (found === undefined) {
    return new StorageError("permission_denied", refusal, {
      hint:
        "look for a seccomp filter or a security module that forbids it, as in containers, or for a chroot; or run as root",
    });
  }
  const { name, forbidding, allowing } = found;
  return new StorageError("permission_denied", `${refusal}: ${name} is ${forbidding}`, {
    hint: `root can turn it on: sysctl -w ${name}=${allowing}, and the same in a file in /etc/sysctl.d`,
  });
}
