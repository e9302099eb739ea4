// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { CLONE_NEWUSER, endSleeper, startSleeper } from "../../ffi/child.ts";
import { assertErrno } from "../_helpers/assert_errno.ts";
import { childProcesses } from "../_helpers/children.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { assert, assertEquals } from "../_helpers/std_assert.ts";

Deno.test("startSleeper() makes a child that sleeps, and endSleeper() leaves nothing of it", async () => {
  const pid = startSleeper(0, 60);
  try {
    assertEquals(childProcesses(), [String(pid)]);
    assertEquals(await Deno.readLink(`/proc/${pid}/exe`), await Deno.readLink("/proc/self/exe"));
    // Children of Deno's own come and go beside it.
    await runOk("true", []);
  } finally {
    endSleeper(pid);
  }
  assertEquals(childProcesses(), []);
});

Deno.test("a sleeper ends by itself", async () => {
  const pid = startSleeper(0, 0);
  const hasEnded = async (): Promise<boolean> => (await Deno.readTextFile(`/proc/${pid}/stat`)).includes(") Z ");
  while (!await hasEnded()) await new Promise((wake) => setTimeout(wake, 5));
  endSleeper(pid);
  assertEquals(childProcesses(), []);
});

testNeeding([needsRoot], "startSleeper() puts the child into a user namespace of its own", () => {
  const pid = startSleeper(CLONE_NEWUSER, 60);
  try {
    assert(Deno.readLinkSync(`/proc/${pid}/ns/user`) !== Deno.readLinkSync("/proc/self/ns/user"));
    assertEquals(Deno.readTextFileSync(`/proc/${pid}/uid_map`), "");
  } finally {
    endSleeper(pid);
  }
});

Deno.test("startSleeper() answers EINVAL for flags that exclude each other; endSleeper() ESRCH", () => {
  const CLONE_FS = 0x200;
  assertErrno(() => startSleeper(CLONE_NEWUSER | CLONE_FS, 1), "EINVAL");
  assertErrno(() => endSleeper(0x7fffffff), "ESRCH");
});
