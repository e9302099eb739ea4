// SPDX-License-Identifier: Apache-2.0

import { assertEquals, assertStringIncludes } from "@std/assert";
import { namespaceRefused } from "../../lib/cli/rootless/refusal.ts";
import type { StorageErrorCode } from "../../lib/errors.ts";

const KERNEL = { "/proc/self/uid_map": "0 0 4294967295\n" };

const ROWS: readonly {
  what: string;
  files: Readonly<Record<string, string>>;
  code: StorageErrorCode;
  says: string;
  hint: string;
}[] = [
  {
    what: "no user namespaces in the kernel",
    files: {},
    code: "not_supported",
    says: "the kernel has no user namespaces",
    hint: "CONFIG_USER_NS",
  },
  {
    what: "none allowed",
    files: { ...KERNEL, "/proc/sys/user/max_user_namespaces": "0\n" },
    code: "permission_denied",
    says: "user.max_user_namespaces is 0",
    hint: "sysctl -w user.max_user_namespaces=15000",
  },
  {
    what: "Debian's switch",
    files: {
      ...KERNEL,
      "/proc/sys/user/max_user_namespaces": "96365\n",
      "/proc/sys/kernel/unprivileged_userns_clone": "0\n",
    },
    code: "permission_denied",
    says: "kernel.unprivileged_userns_clone is 0",
    hint: "sysctl -w kernel.unprivileged_userns_clone=1",
  },
  {
    what: "Ubuntu's switch",
    files: {
      ...KERNEL,
      "/proc/sys/kernel/unprivileged_userns_clone": "1\n",
      "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n",
    },
    code: "permission_denied",
    says: "kernel.apparmor_restrict_unprivileged_userns is 1",
    hint: "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
  },
  {
    what: "no switch that is known",
    files: { ...KERNEL, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "0\n" },
    code: "permission_denied",
    says: "Cannot enter a user namespace",
    hint: "seccomp",
  },
];

for (const { what, files, code, says, hint } of ROWS) {
  Deno.test(`namespaceRefused() tells of ${what}`, () => {
    const error = namespaceRefused("unshare: Operation not permitted", (path) => files[path]);
    assertEquals(error.code, code);
    assertStringIncludes(error.message, "unshare: Operation not permitted");
    assertStringIncludes(error.message, says);
    assertStringIncludes(error.hint!, hint);
  });
}
