// SPDX-License-Identifier: Apache-2.0

/** What of a layer a diff can only say by a whiteout: sockets in the place of other files, and opaque directories. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { AT_FDCWD, Fd, O_CREAT, O_TRUNC, O_WRONLY, openat } from "../../ffi/file.ts";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { readArchive } from "../archive/_read_archive.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";
import { streamOf } from "./driver_suite.ts";

const NEEDS = [needsRoot, needsOverlay, needsProgram("python3"), needsProgram("setfattr")];

const BASE: readonly TarItem[] = [
  { path: "file", data: "file" },
  { path: "run/", type: "5", mode: 0o755 },
  { path: "run/file", data: "run/file" },
  { path: "run/link", type: "2", link: "file" },
  { path: "run/dir/", type: "5", mode: 0o755 },
  { path: "run/dir/inside", data: "inside" },
  { path: "gone", data: "gone" },
  { path: "hidden/file", data: "hidden" },
];
const MIDDLE: readonly TarItem[] = [
  { path: ".wh.gone" },
  { path: "hidden/.wh..wh..opq" },
  { path: "hidden/seen", data: "seen" },
];

/** Opens a store with the layers `base`, `middle` and `job`, and does `work` in the mounted `job`. */
async function withJob(
  directory: TempDir,
  work: (mount: string) => Promise<void>,
  use: (driver: GraphDriver) => Promise<void>,
): Promise<void> {
  await using driver = await openDriver({
    root: directory.join("root"),
    runRoot: directory.join("run"),
    work: "in-place",
  });
  await driver.create("base");
  await driver.applyDiff("base", streamOf(tarOf(BASE)));
  await driver.create("middle", { parent: "base" });
  await driver.applyDiff("middle", streamOf(tarOf(MIDDLE)));
  await driver.createReadWrite("job", { parent: "middle" });
  {
    await using job = await driver.get("job");
    await work(job.path);
  }
  await use(driver);
}

async function bindSockets(mount: string, paths: readonly string[]): Promise<void> {
  const script = "import socket, sys\nfor path in sys.argv[1:]: socket.socket(socket.AF_UNIX).bind(path)";
  await runOk("python3", ["-c", script, ...paths], { cwd: mount });
}

interface Said {
  /** Names of entries that are whiteouts. */
  whiteouts: string[];
  sockets: string[];
}

async function diffOf(driver: GraphDriver, id: string, directory: TempDir): Promise<Said> {
  using archive = new Fd(openat(AT_FDCWD, directory.join("diff.tar"), O_WRONLY | O_CREAT | O_TRUNC, 0o600));
  const { skippedSockets } = await driver.diffTo(id, archive);
  const bytes = await Deno.readFile(directory.join("diff.tar"));
  assertEquals(await new Response(await driver.diff(id)).bytes(), bytes);
  const paths = readArchive(bytes).map(({ path }) => path);
  return { whiteouts: paths.filter((path) => path.includes(".wh.")), sockets: skippedSockets };
}

testNeeding(NEEDS, "diff() leaves a whiteout where a socket replaced something, and none elsewhere", async () => {
  await using directory = await TempDir.make();
  const replaced = ["file", "run/dir", "run/file", "run/link"];
  const fresh = ["gone", "hidden/file", "new", "run/new"];
  await withJob(directory, async (mount) => {
    for (const path of replaced) await Deno.remove(`${mount}/${path}`, { recursive: true });
    await bindSockets(mount, [...replaced, ...fresh]);
    assert((await Deno.lstat(`${mount}/run/file`)).isSocket);
  }, async (driver) => {
    const { whiteouts, sockets } = await diffOf(driver, "job", directory);
    assertEquals(sockets.sort(), [...replaced, ...fresh].sort());
    assertEquals(whiteouts, [".wh.file", "run/.wh.dir", "run/.wh.file", "run/.wh.link"]);
    await driver.createReadWrite("copy", { parent: "middle" });
    await driver.applyDiff("copy", await driver.diff("job"));
    await using copy = await driver.get("copy");
    assertEquals(await namesIn(copy.path), ["hidden", "run"]);
    assertEquals(await namesIn(`${copy.path}/run`), []);
    assertEquals(await namesIn(`${copy.path}/hidden`), ["seen"]);
  });
});

testNeeding(NEEDS, "diff() lists the sockets of a new directory without a whiteout", async () => {
  await using directory = await TempDir.make();
  await withJob(directory, async (mount) => {
    await Deno.mkdir(`${mount}/new/deeper`, { recursive: true });
    await bindSockets(mount, ["new/deeper/socket"]);
  }, async (driver) => {
    assertEquals(await diffOf(driver, "job", directory), { whiteouts: [], sockets: ["new/deeper/socket"] });
  });
});

testNeeding(
  NEEDS,
  "diff() leaves no whiteout for a socket in a directory that was deleted and made again",
  async () => {
    await using directory = await TempDir.make();
    await withJob(directory, async (mount) => {
      await Deno.remove(`${mount}/run`, { recursive: true });
      await Deno.mkdir(`${mount}/run`);
      await bindSockets(mount, ["run/fresh"]);
    }, async (driver) => {
      const { whiteouts, sockets } = await diffOf(driver, "job", directory);
      assertEquals([whiteouts, sockets], [["run/.wh..wh..opq"], ["run/fresh"]]);
    });
  },
);

testNeeding(NEEDS, "diff() of a base layer lists its sockets, and has no whiteout for them", async () => {
  await using directory = await TempDir.make();
  await withJob(directory, async () => {}, async (driver) => {
    await driver.create("alone");
    await bindSockets((await driver.getMetadata("alone")).upperDir, ["socket"]);
    assertEquals(await diffOf(driver, "alone", directory), { whiteouts: [], sockets: ["socket"] });
  });
});

testNeeding(NEEDS, "diff() calls a directory opaque only where it hides something", async () => {
  await using directory = await TempDir.make();
  await withJob(directory, async () => {}, async (driver) => {
    const { upperDir } = await driver.getMetadata("job");
    const opaque = ["gone", "hidden", "hidden/dir", "new", "new/deeper", "run", "run/dir"];
    for (const path of opaque) await Deno.mkdir(`${upperDir}/${path}`, { recursive: true });
    const paths = opaque.map((path) => `${upperDir}/${path}`);
    await runOk("setfattr", ["-n", "trusted.overlay.opaque", "-v", "y", ...paths]);
    const { whiteouts } = await diffOf(driver, "job", directory);
    assertEquals(whiteouts, ["hidden/.wh..wh..opq", "run/.wh..wh..opq", "run/dir/.wh..wh..opq"]);
  });
});

testNeeding(NEEDS, "diff() of a base layer keeps its opaque marks", async () => {
  await using directory = await TempDir.make();
  await withJob(directory, async () => {}, async (driver) => {
    await driver.create("alone");
    await driver.applyDiff("alone", streamOf(tarOf([{ path: "d/.wh..wh..opq" }, { path: "d/f" }])));
    assertEquals((await diffOf(driver, "alone", directory)).whiteouts, ["d/.wh..wh..opq"]);
  });
});
