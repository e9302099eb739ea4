// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { mount } from "../../ffi/mount.ts";
import { unmountLazilyBeside } from "../../lib/mount/unmount.ts";
import { isMountPoint } from "../_helpers/mount_points.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

testNeeding([needsRoot], "many mounts are taken down at once, and who has a file open keeps it", async () => {
  await using directory = await TempDir.make();
  const places = Array.from({ length: 20 }, (_, i) => directory.join(`mount ${i} ü`));
  for (const place of places) {
    await Deno.mkdir(place);
    mount("tmpfs", place, "tmpfs", 0, null);
  }
  using held = await Deno.open(`${places[0]}/file`, { write: true, create: true });
  await Promise.all(places.map(unmountLazilyBeside));
  assertEquals(places.filter(isMountPoint), []);
  await held.write(new Uint8Array(1));
});

testNeeding([needsRoot], "where nothing is mounted, or nothing is at all, unmounting is no error", async () => {
  await using directory = await TempDir.make();
  await unmountLazilyBeside(directory.path);
  await unmountLazilyBeside(directory.join("missing"));
  assertEquals(await Array.fromAsync(Deno.readDir(directory.path)), []);
});
