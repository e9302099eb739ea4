// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { fileURLToPath } from "node:url";
import { assertEquals } from "@std/assert";
import { namesIn } from "../_helpers/names_in.ts";
import { needsProgram, type Requirement, testNeeding } from "../_helpers/requires.ts";
import { run } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";

const UNPACKER = fileURLToPath(new URL("./_unpacker.ts", import.meta.url));

const needsUserNamespace: Requirement = {
  name: "user namespace",
  missing: (): string | undefined => {
    const { success } = new Deno.Command("unshare", { args: ["-Ur", "true"], stderr: "null" }).outputSync();
    return success ? undefined : "needs unshare -Ur";
  },
};

/** What the root of a user namespace may not do. */
const FORBIDDEN: readonly (readonly [what: string, item: TarItem])[] = [
  ["a character device", { path: "x", type: "3", major: 1, minor: 3 }],
  ["a block device", { path: "x", type: "4", major: 8, minor: 0 }],
  ["a trusted attribute", { path: "x", pax: { "SCHILY.xattr.trusted.note": "x" } }],
];

for (const [what, item] of FORBIDDEN) {
  testNeeding(
    [needsProgram("unshare"), needsUserNamespace],
    `unpack() of ${what} in a user namespace is permission_denied, and ends there`,
    async () => {
      await using directory = await TempDir.make();
      const root = await directory.mkdir("root");
      await Deno.writeFile(directory.join("a.tar"), tarOf([{ path: "allowed", data: "x" }, item, { path: "later" }]));
      const args = ["-Ur", Deno.execPath(), "run", "--quiet", "--no-lock", "--allow-all", UNPACKER];
      const { code, stdout } = await run("unshare", [...args, directory.join("a.tar"), root]);
      assertEquals(code, 0);
      assertEquals(stdout, "permission_denied");
      const names = await namesIn(root);
      assertEquals([names.includes("allowed"), names.includes("later")], [true, false]);
    },
  );
}
