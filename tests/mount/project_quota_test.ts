// SPDX-License-Identifier: Apache-2.0

/** Which file systems limit what a directory takes, and what is said of those that do not. */

import "../_helpers/warm_libc.ts";
import { hasQuotactlFd, hasQuotas } from "../../ffi/quota.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import { StorageError } from "../../lib/errors.ts";
import { moveToProject, projectOf, ProjectQuotas, type QuotaApi } from "../../lib/mount/project_quota.ts";
import { EXT4, type Image, mountImage, needsImage, QUOTA_IMAGES, XFS } from "../_helpers/loop_images.ts";
import { needsProgram, needsRoot, type Requirement, testNeeding } from "../_helpers/requires.ts";
import { run, runOk } from "../_helpers/run.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const APIS: readonly QuotaApi[] = hasQuotactlFd() ? ["fd", "device"] : ["device"];
const NEEDS_XFS = [needsRoot, needsProgram("mkfs.xfs"), needsImage("XFS", XFS)];
const NEEDS_EXT4 = [needsRoot, needsProgram("mkfs.ext4"), needsImage("ext4 in a file", EXT4)];

/** The same answer whichever way the kernel is asked. */
function refusalOf(home: string): StorageError {
  const errors = APIS.map((api) => assertThrows(() => new ProjectQuotas(home, api).requireEnforcement(), StorageError));
  for (const { code, message, hint } of errors) {
    assertEquals({ code, message, hint }, {
      code: "not_supported",
      message: errors[0]!.message,
      hint: errors[0]!.hint,
    });
    assertStringIncludes(message, `Cannot limit the size of layers in ${home}: `);
  }
  return errors[0]!;
}

testNeeding([needsRoot], "a file system without project quotas is named, and those that have them", async () => {
  await using directory = await TempDir.make();
  await runOk("mount", ["-t", "tmpfs", "tmpfs", directory.path]);
  const { message, hint } = refusalOf(directory.path);
  assertMatch(message, /its file system \(tmpfs\) has no project quotas/);
  assertMatch(hint!, /XFS mounted with pquota.*ext4.*project and quota.*prjquota/);
});

testNeeding(NEEDS_EXT4, "ext4 without the features says how to add them, and where it is mounted", async () => {
  await using directory = await TempDir.make();
  const mounted = await mountImage(directory, "at", EXT4);
  const { message, hint } = refusalOf(mounted);
  assertStringIncludes(message, `${mounted} is ext4 without the features project and quota`);
  assertStringIncludes(hint!, `unmount ${mounted}, run tune2fs -O project,quota`);
  await Deno.symlink(`${mounted}/home`, directory.join("link"));
  await Deno.mkdir(`${mounted}/home`);
  assertStringIncludes(refusalOf(`${directory.path}/link/.`).message, `: ${mounted} is ext4`);
});

testNeeding(NEEDS_XFS, "XFS without pquota says so, or that the kernel has no quotas for it", async () => {
  await using directory = await TempDir.make();
  const mounted = await mountImage(directory, "at", XFS);
  using fd = new Fd(openat(AT_FDCWD, mounted, O_RDONLY | O_DIRECTORY));
  const { message, hint } = refusalOf(mounted);
  if (hasQuotas(fd.fd)) {
    assertStringIncludes(message, `${mounted} is XFS mounted without pquota`);
    assertStringIncludes(hint!, "rootflags=pquota");
  } else {
    assertMatch(message, /the kernel has no quotas for XFS/);
    assertStringIncludes(hint!, "CONFIG_XFS_QUOTA");
  }
});

/** Counted, and not limited. */
const NOT_ENFORCED: readonly [name: string, image: Image, says: RegExp, hint: RegExp][] = [
  ["xfs", { ...XFS, options: "pqnoenforce" }, /counts what projects take and does not limit it/, /option pquota/],
  ["ext4", { ...QUOTA_IMAGES.ext4, options: "rw" }, /is ext4 mounted without prjquota/, /option prjquota/],
];

for (const [name, image, says, advises] of NOT_ENFORCED) {
  const needs: Requirement[] = [needsRoot, needsProgram(image.mkfs[0]!), needsQuotas(name as "xfs" | "ext4")];
  testNeeding(needs, `${name} that counts and does not limit says which mount option is missing`, async () => {
    await using directory = await TempDir.make();
    const { message, hint } = refusalOf(await mountImage(directory, "at", image));
    assertMatch(message, says);
    assertMatch(hint!, advises);
  });
}

function needsQuotas(name: "xfs" | "ext4"): Requirement {
  return needsImage(`project quotas on ${name}`, QUOTA_IMAGES[name]);
}

for (const name of ["xfs", "ext4"] as const) {
  for (const api of APIS) {
    testNeeding(
      [needsRoot, needsProgram(`mkfs.${name}`), needsQuotas(name)],
      `${name}: a limit holds for a directory and all below, asked by ${api}`,
      async () => {
        await using directory = await TempDir.make();
        const mounted = await mountImage(directory, "at", QUOTA_IMAGES[name]);
        const quotas = new ProjectQuotas(mounted, api);
        quotas.requireEnforcement();
        await Deno.mkdir(`${mounted}/d`);
        moveToProject(`${mounted}/d`, { id: 70000, inherited: true });
        quotas.setLimit(70000, 2 << 20);
        await Deno.mkdir(`${mounted}/d/e`);
        assertEquals(projectOf(`${mounted}/d/e`), { id: 70000, inherited: true });
        await Deno.writeFile(`${mounted}/d/e/small`, new Uint8Array(1 << 20));
        // Whoever may overdraw resources may take more on ext4.
        const write = ["--bounding-set=-sys_resource", "bash", "-c", "head -c 4M /dev/zero >d/e/big"];
        const { code, stderr } = await run("setpriv", write, { cwd: mounted });
        assertEquals(code, 1);
        assertMatch(stderr, name === "xfs" ? /No space left/ : /Disk quota exceeded/);
        const { limitBytes, usedBytes } = quotas.usage(70000)!;
        assertEquals(limitBytes, 2 << 20);
        assert(usedBytes > 1 << 20 && usedBytes <= 2 << 20, String(usedBytes));
        quotas.setLimit(70000, 0);
        await runOk("setpriv", write, { cwd: mounted });
      },
    );
  }
}

testNeeding(NEEDS_XFS, "usage that the kernel does not tell is undefined, and so is the project of /proc", async () => {
  await using directory = await TempDir.make();
  const mounted = await mountImage(directory, "at", XFS);
  for (const api of APIS) assertEquals(new ProjectQuotas(mounted, api).usage(70000), undefined);
  assertEquals(projectOf("/proc"), undefined);
  assertEquals(projectOf(`${mounted}/nothing`), undefined);
  assertEquals(projectOf(mounted), { id: 0, inherited: false });
});
