// SPDX-License-Identifier: Apache-2.0

import { fileURLToPath } from "node:url";
import { runOk } from "../_helpers/run.ts";
import { assertEquals } from "../_helpers/std_assert.ts";

const FFI = fileURLToPath(new URL("../../ffi/", import.meta.url));

/** In a process of its own: here every symbol is open already. */
async function evaluate(source: string): Promise<string> {
  const { stdout } = await runOk(Deno.execPath(), ["eval", "--no-lock", source]);
  return stdout.trim();
}

Deno.test("the very first call of a process fails with the right errno", async () => {
  const answer = await evaluate(
    `import { tryOpenat } from "${FFI}file.ts"; console.log(tryOpenat(-100, "/nonexistent", 0), tryOpenat(-100, "/", 1));`,
  );
  assertEquals(answer, "-2 -21");
});

Deno.test("every symbol of the table is in the C library", async () => {
  const answer = await evaluate(
    `import { openAllSymbols } from "${FFI}_libc.ts"; openAllSymbols(); console.log("all");`,
  );
  assertEquals(answer, "all");
});

Deno.test("importing all of ffi opens nothing", async () => {
  const files = [
    "child",
    "directory",
    "errno",
    "file",
    "mount",
    "mount_api",
    "owner",
    "process",
    "socket",
    "stat",
    "statfs",
    "xattr",
  ];
  const imports = files.map((name) => `import "${FFI}${name}.ts";`).join("");
  const answer = await evaluate(
    `Deno.dlopen = () => { throw new Error("dlopen"); }; ${
      imports.replaceAll('import "', 'await import("').replaceAll('.ts";', '.ts");')
    } console.log("nothing");`,
  );
  assertEquals(answer, "nothing");
});
