// SPDX-License-Identifier: Apache-2.0

/** Lower directories under other ids. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { StorageError, type StorageErrorCode } from "../../lib/errors.ts";
import type { IdMap, IdMaps } from "../../lib/id_map.ts";
import { namespaceOf } from "../../lib/mount/id_map_namespace.ts";
import { IdMappedLowers } from "../../lib/mount/id_mapped_lowers.ts";
import { isIdMapped, mountIdMapped } from "../../lib/mount/mount_id_mapped.ts";
import { mountOverlay, type OverlayMount } from "../../lib/mount/overlay_mount.ts";
import { isOverlayMounted, unmountLazily } from "../../lib/mount/unmount.ts";
import { childProcesses } from "../_helpers/children.ts";
import { needsIdMappedMounts } from "../_helpers/id_mapped_mounts.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsOverlay, needsIdMappedMounts];
const APIS = ["auto", "new", "classic", "from"] as const;

function mapsOf(...maps: IdMap[]): IdMaps {
  return { uidMaps: maps, gidMaps: maps };
}

const MAPS = mapsOf({ containerId: 0, hostId: 100_000, size: 65_536 });

/** Two lower directories, and an upper one made for the container's root. */
async function makeLayers(directory: TempDir): Promise<{ overlay: OverlayMount; target: string }> {
  const script = `
    mkdir upper work merged run lower other; chown 100000:100000 upper
    for id in 0 1000 65534 65535 65536; do echo $id >lower/$id; chown $id:$id lower/$id; done
    mkdir other/bin; echo x >other/bin/suid; chown 1:2 other/bin/suid; chmod 6755 other/bin/suid
    ln -s suid other/bin/soft; chown -h 3:4 other/bin/soft; ln other/bin/suid other/bin/hard`;
  await runOk("bash", ["-ec", script], { cwd: directory.path });
  const [lower, other, upperDir, workDir, target] = ["lower", "other", "upper", "work", "merged"].map((name) =>
    directory.join(name)
  );
  const overlay = { lowerDirs: [lower!, other!], upper: { upperDir: upperDir!, workDir: workDir! }, options: [] };
  return { overlay, target: target! };
}

async function owners(directory: string, ...names: string[]): Promise<string[]> {
  const { stdout } = await runOk("stat", ["-c", "%n %a %u:%g %h", "--", ...names], { cwd: directory });
  return stdout.trim().split("\n");
}

const SEEN = ["0", "1000", "65534", "65535", "65536", "bin/suid", "bin/soft", ".", "bin"];
const MAPPED = [
  "0 644 100000:100000 1",
  "1000 644 101000:101000 1",
  "65534 644 165534:165534 1",
  "65535 644 165535:165535 1",
  "65536 644 65534:65534 1",
  "bin/suid 6755 100001:100002 2",
  "bin/soft 777 100003:100004 1",
  ". 755 100000:100000 1",
  "bin 755 100000:100000 2",
];

function refused(code: StorageErrorCode, mount: () => unknown): StorageError {
  const error = assertThrows(mount, StorageError);
  assertEquals(error.code, code, error.message);
  return error;
}

for (const api of APIS) {
  testNeeding(
    NEEDS,
    `mountIdMapped() by ${api} shows lower files under the host's ids, others as nobody's`,
    async () => {
      await using directory = await TempDir.make();
      const { overlay, target } = await makeLayers(directory);
      mountIdMapped(overlay, MAPS, target, api, directory.join("run"));
      assertEquals(mountPointsBelow(directory.path), [target]);
      assertEquals(await namesIn(directory.join("run")), []);
      assertEquals(await owners(target, ...SEEN), MAPPED);
      assert(isIdMapped(target));
      await runOk("bash", ["-ec", "echo y >>bin/suid; echo z >>65534"], { cwd: target });
      assertEquals(await owners(directory.join("upper"), "bin", "bin/suid", "65534"), [
        "bin 755 100000:100000 2",
        // Overlayfs as root writes without the mode bits going.
        `bin/suid ${(await owners(target, "bin/suid"))[0]!.split(" ")[1]} 100001:100002 1`,
        "65534 644 165534:165534 1",
      ]);
      assertEquals(await owners(directory.join("lower"), "65534"), ["65534 644 65534:65534 1"]);
      unmountLazily(target);
      // The layer can be mounted without the maps as well.
      mountOverlay(overlay, target, api);
      assert(!isIdMapped(target));
      assertEquals(await owners(target, "1000", "65534"), ["1000 644 1000:1000 1", "65534 644 165534:165534 1"]);
    },
  );
}

testNeeding(NEEDS, "IdMappedLowers attaches its clones where the kernel wants it, and takes them away", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  {
    using lowers = new IdMappedLowers(overlay, MAPS);
    lowers.attach(directory.join("run"));
    assertEquals(mountPointsBelow(directory.path).length, 1);
    mountOverlay(lowers.overlay, target, "classic");
  }
  assertEquals(mountPointsBelow(directory.path), [target]);
  assertEquals(await namesIn(directory.join("run")), []);
  assertEquals(await owners(target, ...SEEN), MAPPED);
});

testNeeding(NEEDS, "IdMappedLowers follows links and takes layers of several mounts", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  const store = await directory.mkdir("store");
  await runOk("bash", [
    "-ec",
    "mount -t tmpfs store store; mkdir -p store/a l; echo x >store/a/far; ln -s ../lower l/A",
  ], {
    cwd: directory.path,
  });
  const lowerDirs = [directory.join("l/A"), `${store}/a`, overlay.lowerDirs[1]!];
  mountIdMapped({ ...overlay, lowerDirs }, MAPS, target, "auto", directory.join("run"));
  assertEquals(await owners(target, "1000", "far", "bin/suid"), [
    "1000 644 101000:101000 1",
    "far 644 100000:100000 1",
    "bin/suid 6755 100001:100002 2",
  ]);
});

testNeeding(
  NEEDS,
  "mountIdMapped() leaves a lower directory as it is that was written under the host's ids",
  async () => {
    await using directory = await TempDir.make();
    const { overlay, target } = await makeLayers(directory);
    await runOk("bash", ["-ec", "echo x >upper/made; chown 101234:101234 upper/made"], { cwd: directory.path });
    const view = { ...overlay, lowerDirs: [directory.join("upper"), ...overlay.lowerDirs], upper: undefined };
    mountIdMapped(view, MAPS, target, "auto", directory.join("run"));
    assertEquals(await owners(target, "made", "1000"), ["made 644 101234:101234 1", "1000 644 101000:101000 1"]);
    assertStringIncludes(assertThrows(() => Deno.writeTextFileSync(`${target}/new`, ""), Error).message, "os error 30");
  },
);

testNeeding(NEEDS, "one map for root and another for the rest, and maps of groups alone", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  const rows: readonly [maps: IdMaps, root: string, seen: string[]][] = [
    [
      mapsOf({ containerId: 0, hostId: 1000, size: 1 }, { containerId: 1, hostId: 200_000, size: 1000 }),
      "1000:1000",
      ["0 644 1000:1000 1", "1000 644 200999:200999 1", "65534 644 65534:65534 1"],
    ],
    [
      { uidMaps: [], gidMaps: MAPS.gidMaps },
      "0:100000",
      ["0 644 0:100000 1", "1000 644 1000:101000 1", "65534 644 65534:165534 1"],
    ],
  ];
  for (const [maps, root, seen] of rows) {
    await runOk("chown", [root, directory.join("upper")]);
    mountIdMapped(overlay, maps, target, "auto", directory.join("run"));
    assertEquals(await owners(target, "0", "1000", "65534"), seen);
    unmountLazily(target);
  }
});

testNeeding(
  [...NEEDS, needsProgram("setfacl"), needsProgram("setcap")],
  "mountIdMapped() maps ACLs and keeps capabilities, also of files that are copied up",
  async () => {
    await using directory = await TempDir.make();
    const { overlay, target } = await makeLayers(directory);
    await runOk("bash", ["-ec", "setfacl -m u:7:rw,g:8:r lower/0; setcap cap_net_raw+ep lower/1000"], {
      cwd: directory.path,
    });
    mountIdMapped(overlay, MAPS, target, "auto", directory.join("run"));
    await runOk("touch", [`${target}/0`, `${target}/1000`]);
    for (const place of [target, directory.join("upper")]) {
      const { stdout } = await runOk("bash", ["-ec", "getfacl -ncp 0; getcap -n 1000"], { cwd: place });
      assertStringIncludes(stdout, "user:100007:rw-");
      assertStringIncludes(stdout, "group:100008:r--");
      // Its root is the container's.
      assertStringIncludes(stdout, "1000 cap_net_raw=ep [rootid=100000]");
    }
  },
);

testNeeding(NEEDS, "mountIdMapped() refuses a file system that maps no ids, and says which", async () => {
  await using directory = await TempDir.make();
  const { overlay, target } = await makeLayers(directory);
  const strange = await directory.mkdir("ramfs");
  await runOk("mount", ["-t", "ramfs", "ramfs", strange]);
  const error = refused(
    "not_supported",
    () =>
      mountIdMapped({ ...overlay, lowerDirs: [strange, ...overlay.lowerDirs] }, MAPS, target, "auto", directory.path),
  );
  assertStringIncludes(error.message, `the file system of ${strange}`);
  assertStringIncludes(error.message, "ramfs");
  assertStringIncludes(error.hint ?? "", "ext4");
  assert(!isOverlayMounted(target));
  assertEquals(mountPointsBelow(directory.path), [strange]);
});

testNeeding(
  NEEDS,
  "mountIdMapped() refuses an upper directory of nobody, wrong maps, and what is not there",
  async () => {
    await using directory = await TempDir.make();
    const { overlay, target } = await makeLayers(directory);
    const mount = (maps: IdMaps, part: Partial<OverlayMount> = {}): void =>
      mountIdMapped({ ...overlay, ...part }, maps, target, "auto", directory.join("run"));
    const upper = { upperDir: directory.join("lower"), workDir: directory.join("work") };
    const nobody = refused("invalid_argument", () => mount(MAPS, { lowerDirs: [directory.join("other")], upper }));
    assertStringIncludes(nobody.message, "belongs to 0:0");
    const twice = mapsOf({ containerId: 0, hostId: 100_000, size: 10 }, { containerId: 5, hostId: 300_000, size: 10 });
    assertStringIncludes(refused("invalid_argument", () => mount(twice)).message, "0:100000:10, 5:300000:10");
    const missing = refused("mount_failed", () => mount(MAPS, { lowerDirs: [directory.join("missing")] }));
    assertStringIncludes(missing.message, `${directory.join("missing")} is missing`);
    assertStringIncludes(
      refused("mount_failed", () => mount(MAPS, { options: ["no_such_option=1"] })).message,
      "EINVAL",
    );
    assertEquals(mountPointsBelow(directory.path), []);
    assertEquals(await namesIn(directory.join("run")), []);
  },
);

testNeeding(NEEDS, "namespaceOf() makes one namespace for the same maps, keeps a few, and leaves no process", () => {
  const namespace = (maps: IdMaps): string => Deno.readLinkSync(`/proc/self/fd/${namespaceOf(maps)}`);
  const first = namespace(MAPS);
  assertEquals(namespace(structuredClone(MAPS)), first);
  assert(namespace({ ...MAPS, gidMaps: [] }) !== first);
  const ours = Deno.readLinkSync("/proc/self/ns/user");
  const openNamespaces = (): number =>
    [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
      try {
        const target = Deno.readLinkSync(`/proc/self/fd/${name}`);
        return target.startsWith("user:[") && target !== ours;
      } catch {
        // The descriptor by which the directory is read.
        return false;
      }
    }).length;
  // Tests of other files have theirs in the same process.
  const before = openNamespaces();
  for (let i = 0; i < 40; i++) namespaceOf(mapsOf({ containerId: 0, hostId: 200_000 + i, size: 1 }));
  assert(openNamespaces() - before <= 16, `${openNamespaces() - before} namespaces more`);
  assertEquals(childProcesses(), []);
});
