// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { mountsBelow, parseMountInfo } from "../../lib/mount/mountinfo.ts";
import { unmountBelow } from "../../lib/mount/unmount.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

Deno.test("parseMountInfo() reads lines with any number of optional fields", () => {
  const text = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 unbindable - ext3 /dev/root rw,errors=continue
40 22 0:40 / /merged rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/c,workdir=/d
`;
  assertEquals(parseMountInfo(text), [
    { id: 22, device: "8:1", mountPoint: "/", root: "/", fileSystemType: "ext4", superOptions: "rw,errors=remount-ro" },
    {
      id: 36,
      device: "98:0",
      mountPoint: "/mnt2",
      root: "/mnt1",
      fileSystemType: "ext3",
      superOptions: "rw,errors=continue",
    },
    {
      id: 40,
      device: "0:40",
      mountPoint: "/merged",
      root: "/",
      fileSystemType: "overlay",
      superOptions: "rw,lowerdir=/a:/b,upperdir=/c,workdir=/d",
    },
  ]);
});

Deno.test("parseMountInfo() undoes the kernel's octal escapes, each once", () => {
  const text = String.raw`1 2 0:1 / /a\040b\011c\012d\134040e rw - tmpfs none rw,x=\134y` + "\n";
  assertEquals(parseMountInfo(text), [
    {
      id: 1,
      device: "0:1",
      mountPoint: "/a b\tc\nd\\040e",
      root: "/",
      fileSystemType: "tmpfs",
      superOptions: "rw,x=\\y",
    },
  ]);
});

Deno.test("parseMountInfo() passes over what is no line of the table", () => {
  assertEquals(parseMountInfo(""), []);
  assertEquals(parseMountInfo("\n\nnonsense\n1 2 3 4 5 6 7\n"), []);
});

Deno.test("mountsBelow() of a directory without mounts is empty", async () => {
  await using directory = await TempDir.make();
  assertEquals(mountsBelow(directory.path), []);
});

testNeeding(
  [needsRoot],
  "mountsBelow() and unmountBelow() take names with blanks, stacks, and no neighbours",
  async () => {
    await using directory = await TempDir.make();
    const top = await directory.mkdir("top");
    const neighbour = await directory.mkdir("top-neighbour");
    for (const place of [top, neighbour, `${top}/a b\\c\nd`, `${top}/ü`, `${top}/ü`]) {
      await Deno.mkdir(place, { recursive: true });
      await runOk("mount", ["-t", "tmpfs", "tmpfs", place]);
    }
    assertEquals(mountsBelow(top).map(({ mountPoint }) => mountPoint), [
      `${top}/a b\\c\nd`,
      `${top}/ü`,
      `${top}/ü`,
      top,
    ]);
    assertEquals(unmountBelow(top).length, 3);
    assertEquals(mountPointsBelow(directory.path).sort(), [top, neighbour]);
    assertEquals(unmountBelow(top), []);
  },
);
