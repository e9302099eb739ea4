// SPDX-License-Identifier: Apache-2.0

/** A store in which something else is in place of any of its files and directories. */

import { assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { DRIVER_NAMES } from "../../lib/drivers/registry.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay, needsProgram("timeout")];
const PROGRAM = fileURLToPath(new URL("./_odd_store.ts", import.meta.url));

for (const driver of DRIVER_NAMES) {
  testNeeding(
    NEEDS,
    `${driver} keeps within a store that holds something else anywhere, waits for nothing, and says why`,
    async () => {
      await using directory = await TempDir.make();
      const deno = [Deno.execPath(), "run", "--no-lock", "--no-check", "--allow-all", PROGRAM, driver, directory.path];
      const { code, stdout, stderr } = await run("timeout", ["--signal=KILL", "300", ...deno]);
      assertEquals({ code, stdout, stderr }, { code: 0, stdout: "", stderr: "" });
    },
  );
}
