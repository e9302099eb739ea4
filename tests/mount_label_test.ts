// SPDX-License-Identifier: Apache-2.0

import "./_helpers/warm_libc.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { StorageError } from "../lib/errors.ts";
import { formatLabel, isSelinuxEnabled, withLabel } from "../lib/mount_label.ts";

const LABEL = "system_u:object_r:container_file_t:s0:c123,c456";

/** Left what is given, right what FormatMountLabel of github.com/opencontainers/selinux makes of it. */
const ROWS: readonly [options: string, label: string, expected: string][] = [
  ["", "", ""],
  ["nodev,lowerdir=/a", "", "nodev,lowerdir=/a"],
  ["", LABEL, `context="${LABEL}"`],
  ["nodev", LABEL, `nodev,context="${LABEL}"`],
  ["nodev,nosuid", "u:r:t", `nodev,nosuid,context="u:r:t"`],
  ["", "u:r:t:s0", `context="u:r:t:s0"`],
  ["", "u:r:t:s0-s15:c0.c1023", `context="u:r:t:s0-s15:c0.c1023"`],
  ["", "u:r:t:s0:c1,c2,c3,c4", `context="u:r:t:s0:c1,c2,c3,c4"`],
];

Deno.test("withLabel() writes labels as the SELinux library does", () => {
  for (const [options, label, expected] of ROWS) assertEquals(withLabel(options, label), expected, label);
});

Deno.test("formatLabel() writes each kind of label", () => {
  assertEquals(formatLabel("u:r:t", "fscontext"), `fscontext="u:r:t"`);
  assertEquals(formatLabel("u:r:t", "defcontext"), `defcontext="u:r:t"`);
  assertEquals(formatLabel("u:r:t:s0", "rootcontext"), `rootcontext="u:r:t:s0"`);
  assertEquals(formatLabel("", "fscontext"), "");
});

Deno.test("formatLabel() refuses what is no label, and what would end its quotes", () => {
  const wrong = [
    "x",
    "u:r",
    "u::t",
    ":r:t",
    "u:r:t:",
    'u:r:t"',
    'u:r:t:s0",upperdir=/etc,x="',
    "u:r:t\\",
    "u:r:t s0",
    "u:r:t\n",
    "u:r:t\0",
  ];
  for (const label of wrong) {
    const error = assertThrows(() => formatLabel(label), StorageError, undefined, label);
    assertEquals(error.code, "invalid_argument");
  }
});

Deno.test("isSelinuxEnabled() asks the kernel's own file system", () => {
  assertEquals(isSelinuxEnabled("/proc"), false);
  assertEquals(isSelinuxEnabled("/nowhere"), false);
  // On a machine that has it, its status file is there too.
  let hasStatus = true;
  try {
    Deno.statSync("/sys/fs/selinux/status");
  } catch {
    hasStatus = false;
  }
  assertEquals(isSelinuxEnabled(), hasStatus);
});
