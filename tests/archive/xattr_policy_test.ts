// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { StorageError } from "../../lib/errors.ts";
import type { DroppedXattr, XattrPolicies } from "../../lib/archive/xattr_filter.ts";
import { unpackFile } from "./_engine.ts";
import { tarOf } from "./_tar_of.ts";

/** No file system keeps attributes of this name. */
const IMPOSSIBLE = "system.lamina-test";

async function unpackWith(
  directory: TempDir,
  names: readonly string[],
  xattrs?: XattrPolicies,
): Promise<DroppedXattr[]> {
  const pax = Object.fromEntries(names.map((name) => [`SCHILY.xattr.${name}`, "x"]));
  await Deno.writeFile(directory.join("a.tar"), tarOf([{ path: "f", pax }, { path: "d/", type: "5", pax }]));
  return unpackFile(directory.join("a.tar"), directory.join("tree"), { xattrs }).droppedXattrs;
}

testNeeding([needsRoot], "unpack() fails for an attribute that cannot be set", async () => {
  await using directory = await TempDir.make();
  const pax = { [`SCHILY.xattr.${IMPOSSIBLE}`]: "x" };
  await Deno.writeFile(directory.join("a.tar"), tarOf([{ path: "f", pax }]));
  const unpack = () => unpackFile(directory.join("a.tar"), directory.join("tree"));
  assertEquals(assertThrows(unpack, StorageError).code, "not_supported");
});

testNeeding([needsRoot], "unpack() reports an attribute that best effort did not set", async () => {
  await using directory = await TempDir.make();
  const dropped = await unpackWith(directory, [IMPOSSIBLE, "user.kept"], { system: "best-effort" });
  assertEquals(dropped, [{ name: IMPOSSIBLE, reason: "not_supported" }]);
  const { stdout } = await runOk("getfattr", ["-d", "-m", "-", directory.join("tree", "f")]);
  assertEquals(stdout.match(/^\S+=/gm), ["user.kept="]);
});

testNeeding([needsRoot], "unpack() sets nothing of a namespace that is dropped", async () => {
  await using directory = await TempDir.make();
  const names = ["user.a", "trusted.b"];
  assertEquals(await unpackWith(directory, names, { user: "drop" }), [{ name: "user.a", reason: "policy" }]);
  const { stdout } = await runOk("getfattr", ["-d", "-m", "-", directory.join("tree", "f")]);
  assertEquals(stdout.match(/^\S+=/gm), ["trusted.b="]);
});

testNeeding([needsRoot], "unpack() leaves SELinux labels to the host", async () => {
  await using directory = await TempDir.make();
  assertEquals(await unpackWith(directory, ["security.selinux"]), [{ name: "security.selinux", reason: "host" }]);
});
