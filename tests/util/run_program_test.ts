// SPDX-License-Identifier: Apache-2.0

import { assert, assertEquals } from "@std/assert";
import { runProgram } from "../../lib/util/run_program.ts";

Deno.test("runProgram() kills a program that takes too long", async () => {
  const start = performance.now();
  const { isSuccess, how, said } = await runProgram("/bin/sh", ["-c", "echo waiting >&2; exec sleep 60"], 200);
  assert(performance.now() - start < 10_000);
  assertEquals(isSuccess, false);
  assertEquals(how, "took longer than 0.2 seconds, and was killed");
  assertEquals(said, "waiting");
});

Deno.test("runProgram() does not keep the directory it was called from", async () => {
  const { said } = await runProgram("/bin/sh", ["-c", "pwd >&2"], 10_000);
  assertEquals(said, "/");
});
