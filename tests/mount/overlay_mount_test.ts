// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { SyscallError } from "../../ffi/errno.ts";
import { StorageError } from "../../lib/errors.ts";
import { overlayMountData } from "../../lib/mount/mount_classic.ts";
import { mountOverlay, type OverlayMount } from "../../lib/mount/overlay_mount.ts";
import { isOverlayMounted, removeMountPoint, unmountLazily } from "../../lib/mount/unmount.ts";
import { isMountPoint, mountPointsBelow } from "../_helpers/mount_points.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay];
const APIS = ["new", "classic", "from"] as const;

/** Lower, upper, work and target below `at`, with a file in the lower one. */
async function makeLayers(directory: TempDir, at = "x"): Promise<{ overlay: OverlayMount; target: string }> {
  for (const name of ["lower", "upper", "work", "merged"]) {
    await Deno.mkdir(directory.join(at, name), { recursive: true });
  }
  await Deno.writeTextFile(directory.join(at, "lower/file"), "from below");
  const upper = { upperDir: directory.join(at, "upper"), workDir: directory.join(at, "work") };
  return {
    overlay: { lowerDirs: [directory.join(at, "lower")], upper, options: [] },
    target: directory.join(at, "merged"),
  };
}

Deno.test("overlayMountData() escapes what divides options and layers, in paths only", () => {
  const upper = { upperDir: "/u:1,2\\3", workDir: "/w" };
  assertEquals(
    overlayMountData({ lowerDirs: ["/a:b", "/c,d", "/e\\f", "/g h\"'ü"], upper, options: ["index=off"] }),
    String.raw`index=off,lowerdir=/a\:b:/c\,d:/e\\f:/g h"'ü,upperdir=/u\:1\,2\\3,workdir=/w`,
  );
});

Deno.test("overlayMountData() quotes a security context, and leaves ro to the mount's flags", () => {
  assertEquals(
    overlayMountData({ lowerDirs: ["/a", "/b"], upper: undefined, options: ["ro", "context=u:r:t:s0:c1,c2"] }),
    `context="u:r:t:s0:c1,c2",lowerdir=/a:/b`,
  );
});

for (const api of APIS) {
  for (
    const name of ["plain", "a:b", "a,b", "a\\b", "a b", "ü€😀", "quote'\"", "a\nb", "lowerdir=x,y:z", "-o", "%s$(x)"]
  ) {
    testNeeding(NEEDS, `mountOverlay() by ${api} takes the path ${JSON.stringify(name)}`, async () => {
      await using directory = await TempDir.make();
      const { overlay, target } = await makeLayers(directory, name);
      mountOverlay(overlay, target, api);
      assert(isOverlayMounted(target));
      assertEquals(await Deno.readTextFile(`${target}/file`), "from below");
      await Deno.writeTextFile(`${target}/file`, "changed");
      assertEquals(await Deno.readTextFile(directory.join(name, "upper/file")), "changed");
      assertEquals(await Deno.readTextFile(directory.join(name, "lower/file")), "from below");
      unmountLazily(target);
      assert(!isMountPoint(target));
    });
  }

  testNeeding(
    NEEDS,
    `mountOverlay() by ${api} without an upper directory is read-only, and so it is by ro`,
    async () => {
      await using directory = await TempDir.make();
      const { overlay, target } = await makeLayers(directory);
      const second = await directory.mkdir("second");
      const lowerDirs = [second, ...overlay.lowerDirs];
      for (const readOnly of [{ ...overlay, lowerDirs, upper: undefined }, { ...overlay, options: ["ro"] }]) {
        mountOverlay(readOnly, target, api);
        assertEquals(await Deno.readTextFile(`${target}/file`), "from below");
        const error = assertThrows(() => Deno.writeTextFileSync(`${target}/new`, ""), Error);
        assertStringIncludes(error.message, "os error 30");
        unmountLazily(target);
      }
    },
  );

  testNeeding(NEEDS, `mountOverlay() by ${api} says what the kernel said, and leaves no mount`, async () => {
    await using directory = await TempDir.make();
    const { overlay, target } = await makeLayers(directory);
    const missing = directory.join("missing");
    const wrong: readonly [Partial<OverlayMount>, says: readonly string[], hint: string][] = [
      [{ lowerDirs: [missing] }, ["ENOENT", `${missing} is missing`], "restore it"],
      [{ options: ["no_such_option=1"] }, ["EINVAL"], "dmesg"],
    ];
    for (const [part, says, hint] of wrong) {
      const error = assertThrows(() => mountOverlay({ ...overlay, ...part }, target, api), StorageError);
      assertEquals(error.code, "mount_failed");
      for (const part of says) assertStringIncludes(error.message, part);
      assertStringIncludes(error.message, target);
      assertStringIncludes(error.hint ?? "", hint);
      assert(error.cause instanceof SyscallError);
    }
    const noTarget = assertThrows(() => mountOverlay(overlay, directory.join("nowhere"), api), StorageError);
    assertEquals(noTarget.code, "mount_failed");
    assertEquals(mountPointsBelow(directory.path), []);
    // A failed attempt must not hold the directories.
    mountOverlay(overlay, target, api);
    assert(isMountPoint(target));
  });
}

testNeeding(NEEDS, "mountOverlay() by new tells the kernel's own words on a wrong option", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  const error = assertThrows(() => mountOverlay({ ...overlay, options: ["bogus"] }, target, "new"), StorageError);
  assertStringIncludes(error.message.toLowerCase(), "unknown parameter");
});

testNeeding(NEEDS, "mountOverlay() by new takes paths of 300 bytes and more, each of them", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory, `${"long-".repeat(40)}/${"ü".repeat(100)}`);
  assert(new TextEncoder().encode(overlay.lowerDirs[0]).length > 400);
  mountOverlay(overlay, target, "new");
  assertEquals(await Deno.readTextFile(`${target}/file`), "from below");
  await Deno.writeTextFile(`${target}/new`, "x");
  assertEquals(await Deno.readTextFile(`${overlay.upper!.upperDir}/new`), "x");
});

testNeeding(
  NEEDS,
  "mountOverlay() by classic counts bytes, since the kernel cuts longer data without a word",
  async () => {
    await using directory = await TempDir.make();
    const { overlay, target } = await makeLayers(directory);
    const long = await directory.mkdir("ü".repeat(100));
    const count = Math.ceil(4096 / new TextEncoder().encode(long).length);
    const lowerDirs = Array.from({ length: count }, (_, i) => `${long}/${i}`);
    for (const lowerDir of lowerDirs) await Deno.mkdir(lowerDir);
    // In characters it would fit.
    assert(overlayMountData({ ...overlay, lowerDirs }).length < 4096);
    const error = assertThrows(() => mountOverlay({ ...overlay, lowerDirs }, target, "classic"), StorageError);
    assertEquals(error.code, "mount_failed");
    assertStringIncludes(error.message, `${count} lower layers`);
    assert(!isMountPoint(target));
    mountOverlay({ ...overlay, lowerDirs }, target, "auto");
    assert(isMountPoint(target));
  },
);

testNeeding(NEEDS, "unmountLazily() lets go of a mount in use, and of none", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  mountOverlay(overlay, target);
  {
    using file = await Deno.open(`${target}/file`);
    unmountLazily(target);
    assert(!isMountPoint(target));
    assertEquals(await file.read(new Uint8Array(4)), 4);
  }
  unmountLazily(target);
  unmountLazily(directory.join("missing"));
  removeMountPoint(target);
  removeMountPoint(target);
  assertEquals(isOverlayMounted(target), false);
  assertEquals(isOverlayMounted(directory.join("x/lower/file/x")), false);
});
