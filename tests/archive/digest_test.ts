// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assertEquals } from "@std/assert";
import { AT_FDCWD, Fd, O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY, openat } from "../../ffi/file.ts";
import type { Digest } from "../../lib/digest.ts";
import type { ApplyResult, GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver } from "../../lib/drivers/registry.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { needsOverlay, needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { run, runBytes, runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { laminaCommand, TestStore } from "../cli/_run_lamina.ts";
import { tarOf } from "./_tar_of.ts";

const NEEDS = [needsRoot, needsOverlay, ...["sha256sum", "gzip", "zstd", "bash"].map(needsProgram)];

/** What sha256sum(1) says of a file. */
async function sha256(path: string): Promise<Digest> {
  return `sha256:${(await runOk("sha256sum", ["-b", path])).stdout.slice(0, 64)}`;
}

/** Does not compress, and repeats nowhere. */
function noise(length: number): string {
  let state = length;
  return Array.from(
    { length },
    () => String.fromCharCode((state = (state * 1103515245 + 12345) & 0x7fffffff) >> 16 & 0xff),
  )
    .join("");
}

const ONE = tarOf([{ path: "a", data: "a" }]);
const ARCHIVES: readonly [what: string, bytes: Uint8Array<ArrayBuffer>][] = [
  ["nothing", tarOf([])],
  ["one small file", ONE],
  ["a file below 128 KiB", tarOf([{ path: "f", data: noise(131071) }, { path: "g", data: "g" }])],
  ["a file of 128 KiB", tarOf([{ path: "f", data: noise(131072) }, { path: "g", data: "g" }])],
  [
    "files larger than the memory that goes round",
    tarOf([
      { path: "f", data: noise(3_000_000) },
      { path: "g", data: noise(262_144) },
      { path: "h", data: noise(2_097_152 - 512) },
    ]),
  ],
  ["many small files", tarOf(Array.from({ length: 1200 }, (_, i) => ({ path: `f-${i}`, data: noise(i % 1500) })))],
  ["zeros behind the end", new Uint8Array([...ONE, ...new Uint8Array(9000)])],
  ["other bytes behind the end", new Uint8Array([...ONE, ...new TextEncoder().encode(noise(400_000))])],
];

type Source = "descriptor" | "stream";

async function withDriver(use: (driver: GraphDriver, directory: TempDir) => Promise<void>): Promise<void> {
  await using directory = await TempDir.make();
  await using driver = await openDriver({
    root: directory.join("root"),
    runRoot: directory.join("run"),
    work: "worker",
  });
  await use(driver, directory);
}

async function apply(driver: GraphDriver, id: string, path: string, source: Source): Promise<ApplyResult> {
  await driver.create(id);
  if (source === "stream") return await driver.applyDiff(id, (await Deno.open(path)).readable, { digest: true });
  using file = new Fd(openat(AT_FDCWD, path, O_RDONLY));
  return await driver.applyDiff(id, file, { digest: true });
}

/** `bytes` in three files: plain, by gzip(1), by zstd(1). */
async function inAllForms(bytes: Uint8Array<ArrayBuffer>, directory: TempDir): Promise<string[]> {
  const paths = ["plain", "gzip", "zstd"].map((name) => directory.join(name));
  await Deno.writeFile(paths[0]!, bytes);
  for (const program of ["gzip", "zstd"]) {
    await Deno.writeFile(directory.join(program), (await runBytes(program, ["-c"], { input: bytes })).stdout);
  }
  return paths;
}

for (const [what, bytes] of ARCHIVES) {
  testNeeding(NEEDS, `applyDiff() tells the digests of an archive with ${what}`, async () => {
    await withDriver(async (driver, directory) => {
      const paths = await inAllForms(bytes, directory);
      const diffId = await sha256(paths[0]!);
      for (const path of paths) {
        for (const source of ["descriptor", "stream"] as const) {
          const result = await apply(driver, `${path.split("/").at(-1)}-${source}`, path, source);
          assertEquals([result.diffId, result.archiveDigest], [diffId, await sha256(path)], `${path}, ${source}`);
        }
      }
    });
  });
}

testNeeding(NEEDS, "applyDiff() counts what lies behind a gzip into the digest of it as it came", async () => {
  await withDriver(async (driver, directory) => {
    const [plain, gzip] = await inAllForms(ONE, directory);
    await runOk("bash", ["-c", 'head -c 100000 /dev/zero >>"$0"', gzip!]);
    const result = await apply(driver, "layer", gzip!, "descriptor");
    assertEquals([result.diffId, result.archiveDigest], [await sha256(plain!), await sha256(gzip!)]);
  });
});

testNeeding(NEEDS, "no digest is computed unless it is asked for", async () => {
  await withDriver(async (driver) => {
    await driver.create("layer");
    const result = await driver.applyDiff("layer", new Blob([ONE]).stream());
    assertEquals([result.diffId, result.archiveDigest], [undefined, undefined]);
  });
});

testNeeding(NEEDS, "an archive that fails at its last byte has no digest, and leaves nothing", async () => {
  await withDriver(async (driver) => {
    await driver.create("layer");
    const cut = ARCHIVES[5]![1].slice(0, -1025);
    await assertFails(driver.applyDiff("layer", new Blob([cut]).stream(), { digest: true }), "invalid_archive");
    assertEquals(await driver.diffSize("layer"), 0);
  });
});

for (const compression of [undefined, "gzip", "zstd"] as const) {
  testNeeding(NEEDS, `diffTo() tells the digests of what it writes (${compression ?? "plain"})`, async () => {
    await withDriver(async (driver, directory) => {
      for (const [i, [what, bytes]] of ARCHIVES.entries()) {
        await Deno.writeFile(directory.join("a.tar"), bytes);
        await apply(driver, `layer-${i}`, directory.join("a.tar"), "descriptor");
        const path = directory.join("diff");
        const result = await (async (): ReturnType<GraphDriver["diffTo"]> => {
          using file = new Fd(openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0o600));
          const options = compression === undefined ? {} : { compression };
          return await driver.diffTo(`layer-${i}`, file, { digest: true, ...options });
        })();
        const plain = directory.join("diff.tar");
        await runOk("bash", [
          "-c",
          `${compression === undefined ? "cat" : `${compression} -dc`} <"$0" >"$1"`,
          path,
          plain,
        ]);
        assertEquals([result.diffId, result.archiveDigest], [await sha256(plain), await sha256(path)], what);
        assertEquals(result.bytes, (await Deno.stat(plain)).size, what);
      }
    });
  });
}

testNeeding(NEEDS, "lamina apply --digest prints both digests, from a file and from a pipe", async () => {
  await using store = await TestStore.make();
  const [plain, gzip] = await inAllForms(ARCHIVES[4]![1], store.directory);
  const [diffId, archive] = [await sha256(plain!), await sha256(gzip!)];
  const lines = `diff-id ${diffId}\narchive ${archive}\n`;
  assertEquals(await store.ok(["apply", "a", gzip!, "--digest"]), lines);
  assertEquals(await store.ok(["apply", "b", "-", "--digest"], { input: await Deno.readFile(gzip!) }), lines);
  assertEquals(await store.ok(["apply", "c", plain!, "--digest"]), `diff-id ${diffId}\narchive ${diffId}\n`);
  assertEquals(await store.ok(["apply", "d", plain!]), "");
  const answer = await store.json(["apply", "e", gzip!, "--digest"]) as ApplyResult;
  assertEquals([answer.diffId, answer.archiveDigest], [diffId, archive]);
});

testNeeding(NEEDS, "lamina diff --digest prints both digests, beside an archive on stderr", async () => {
  await using store = await TestStore.make();
  const file = store.directory.join("a.tar");
  await Deno.writeFile(file, ARCHIVES[4]![1]);
  await store.ok(["apply", "layer", file]);
  const [program, ...args] = [...laminaCommand(), ...store.options, "diff", "layer", "--digest"];
  for (const compress of [[], ["--compress", "gzip"], ["--compress", "zstd"]]) {
    const out = store.directory.join("out");
    const printed = await store.ok(["diff", "layer", "--digest", "-o", out, ...compress]);
    const plain = store.directory.join("plain");
    await runOk("bash", ["-c", `${compress[1] === undefined ? "cat" : `${compress[1]} -dc`} <"$0" >"$1"`, out, plain]);
    const lines = `diff-id ${await sha256(plain)}\narchive ${await sha256(out)}\n`;
    assertEquals(printed, lines);
    const answer = await store.json(["diff", "layer", "--digest", "-o", out, ...compress]) as ApplyResult;
    assertEquals(`diff-id ${answer.diffId}\narchive ${answer.archiveDigest}\n`, lines);
    // A pipe: the archive has standard output to itself.
    const piped = store.directory.join("piped");
    const script = 'out=$1; shift; "$@" | cat >"$out"; exit ${PIPESTATUS[0]}';
    const { code, stderr } = await run("bash", ["-c", script, "bash", piped, program!, ...args, ...compress]);
    assertEquals([code, stderr], [0, lines]);
    assertEquals(await sha256(piped), await sha256(out));
  }
});
