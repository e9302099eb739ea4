// SPDX-License-Identifier: Apache-2.0

/** `--mount-api`: each way to mount, from the command line; with LAMINA_BINARY the compiled program starts itself. */

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TestStore } from "./_run_lamina.ts";

for (const api of ["auto", "new", "classic", "from"]) {
  testNeeding([needsRoot, needsOverlay], `lamina --mount-api ${api} mounts a layer`, async () => {
    await using store = await TestStore.make();
    await store.ok(["create", "base"]);
    await store.ok(["create", "job", "--parent", "base", "--read-write"]);
    const path = (await store.ok(["--mount-api", api, "mount", "job"])).trimEnd();
    await Deno.writeTextFile(`${path}/new`, "");
    assertEquals(await store.ok(["changes", "job"]), "A /new\n");
    await store.ok(["unmount", "job"]);
    // A variable that was left over is nobody's request.
    const env = { LAMINA_MOUNT_FROM: JSON.stringify({ parent: 1, target: path, flags: 0, data: "" }) };
    assertEquals(await store.ok(["ls"], { env }), "base\njob\n");
  });
}
