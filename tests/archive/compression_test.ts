// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { AT_FDCWD, Fd, O_CREAT, O_DIRECTORY, O_RDONLY, O_TRUNC, O_WRONLY, openat } from "../../ffi/file.ts";
import { type Compression, openCompressedOutput, recogniseCompression } from "../../lib/archive/compression.ts";
import { pack } from "../../lib/archive/pack.ts";
import { StorageError } from "../../lib/errors.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runBytes, runOk } from "../_helpers/run.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { assertSameTree } from "../_helpers/tree.ts";
import { unpackFile } from "./_engine.ts";
import { tarOf } from "./_tar_of.ts";

// Some of it does not compress, so that the compressed forms are of some length as well.
const NOISE = Array.from({ length: 300_000 }, (_, i) => String.fromCharCode((i * i * 31 + (i >> 3)) & 0xff)).join("");
const TAR = tarOf([{ path: "small", data: "x" }, { path: "noise", data: NOISE }, {
  path: "zeros",
  data: "\0".repeat(1e6),
}]);

async function compressed(program: string, bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const { code, stdout } = await runBytes(program, ["-c"], { input: bytes });
  assertEquals(code, 0);
  return stdout;
}

function joined(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

/** Unpacks `bytes`; the names that came out. */
async function unpackBytes(bytes: Uint8Array): Promise<string[]> {
  await using directory = await TempDir.make();
  await Deno.writeFile(directory.join("archive"), bytes);
  unpackFile(directory.join("archive"), directory.join("root"));
  assertEquals(await Deno.readFile(directory.join("root", "noise")), Uint8Array.from(NOISE, (c) => c.charCodeAt(0)));
  return await namesIn(directory.join("root"));
}

async function failureOf(bytes: Uint8Array): Promise<StorageError> {
  await using directory = await TempDir.make();
  await Deno.writeFile(directory.join("archive"), bytes);
  return assertThrows(() => unpackFile(directory.join("archive"), directory.join("root")), StorageError);
}

const PROGRAMS = ["gzip", "zstd"] as const;
const ALL = ["noise", "small", "zeros"];

for (const program of PROGRAMS) {
  const needs = [needsRoot, needsProgram(program)];

  testNeeding(needs, `unpack() recognises ${program} by its content`, async () => {
    assertEquals(await unpackBytes(await compressed(program, TAR)), ALL);
  });

  testNeeding(needs, `unpack() reads ${program} in several pieces`, async () => {
    const cuts = [0, 1, 512, 100_000, TAR.length];
    const parts = await Promise.all(cuts.slice(1).map((end, i) => compressed(program, TAR.subarray(cuts[i], end))));
    assertEquals(await unpackBytes(joined(...parts)), ALL);
  });

  testNeeding(needs, `unpack() of ${program} cut short is invalid_archive`, async () => {
    const bytes = await compressed(program, TAR);
    for (const length of [4, 6, 10, 100, 1000, bytes.length >> 1, bytes.length - 9, bytes.length - 1]) {
      const error = await failureOf(bytes.subarray(0, length));
      assertEquals(error.code, "invalid_archive", `cut at ${length}: ${error.message}`);
    }
  });

  testNeeding(needs, `unpack() of damaged ${program} is invalid_archive`, async () => {
    const bytes = await compressed(program, TAR);
    for (
      const at of [
        bytes.length >> 2,
        bytes.length >> 1,
        bytes.length - 2,
        ...(program === "gzip" ? [bytes.length - 6] : []),
      ]
    ) {
      const damaged = bytes.slice();
      damaged[at]! ^= 0x55;
      const error = await failureOf(damaged);
      assertEquals(error.code, "invalid_archive", `damaged at ${at}: ${error.message}`);
    }
  });

  testNeeding(
    needs,
    `openCompressedOutput() writes what ${program} -t accepts, and unpack() takes it back`,
    async () => {
      await using directory = await TempDir.make();
      const tree = await directory.mkdir("tree");
      await runOk("bash", ["-c", "mkdir d; seq 100000 >d/numbers; head -c 500000 /dev/urandom >noise; ln -s d l"], {
        cwd: tree,
      });
      packCompressed(tree, directory.join("archive"), program);
      await runOk(program, ["-t"], { input: await Deno.readFile(directory.join("archive")) });
      unpackFile(directory.join("archive"), directory.join("copy"));
      await assertSameTree(tree, directory.join("copy"));
    },
  );
}

function packCompressed(tree: string, archive: string, compression: Compression): void {
  using root = new Fd(openat(AT_FDCWD, tree, O_RDONLY | O_DIRECTORY));
  using file = new Fd(openat(AT_FDCWD, archive, O_WRONLY | O_CREAT | O_TRUNC, 0o600));
  using output = openCompressedOutput(file.fd, compression);
  pack(root.fd, output.fd);
  output.finish(() => {});
}

testNeeding([needsRoot], "unpack() takes zeros behind a gzip, as tapes leave them", async () => {
  assertEquals(await unpackBytes(joined(await compressed("gzip", TAR), new Uint8Array(1000))), ALL);
});

testNeeding([needsRoot, needsProgram("zstd")], "unpack() passes over zstd frames to skip", async () => {
  const skip = new Uint8Array([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
  assertEquals(await unpackBytes(joined(skip, await compressed("zstd", TAR), skip)), ALL);
});

for (const program of ["xz", "bzip2"]) {
  testNeeding([needsRoot, needsProgram(program)], `unpack() of ${program} is not_supported and names it`, async () => {
    const error = await failureOf(await compressed(program, TAR));
    assertEquals(error.code, "not_supported");
    assert(error.message.includes(program), error.message);
    assert(error.hint?.includes(program));
  });
}

testNeeding([needsRoot], "unpack() of a gzip of no tar is invalid_archive", async () => {
  for (const text of ["", "hello", "hello ".repeat(1000)]) {
    const error = await failureOf(await compressed("gzip", new TextEncoder().encode(text)));
    assertEquals(error.code, "invalid_archive");
  }
});

const HEADS: readonly [head: number[], name: string][] = [
  [[], "none"],
  [[0x1f], "none"],
  [[0x1f, 0x8b, 8, 0, 0, 0], "gzip"],
  [[0x28, 0xb5, 0x2f, 0xfd], "zstd"],
  [[0x50, 0x2a, 0x4d, 0x18], "zstd"],
  [[0x5f, 0x2a, 0x4d, 0x18], "zstd"],
  [[0x60, 0x2a, 0x4d, 0x18], "none"],
  [[0x42, 0x5a, 0x68, 0x39], "bzip2"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], "xz"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a, 1], "none"],
  [[0, 0, 0, 0, 0, 0], "none"],
];

for (const [head, name] of HEADS) {
  Deno.test(`recogniseCompression() of [${head}] is ${name}`, () => {
    assertEquals(recogniseCompression(new Uint8Array(head)), name);
  });
}
