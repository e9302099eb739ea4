// SPDX-License-Identifier: Apache-2.0

/** Whose project is whose: directories of a real XFS, and limits that are only noted down. */

import "../_helpers/warm_libc.ts";
import { setProject } from "../../ffi/quota.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import type { ProjectUsage } from "../../ffi/quota.ts";
import { type KernelQuotas, LayerQuotas } from "../../lib/drivers/_layer_quotas.ts";
import { StorageError } from "../../lib/errors.ts";
import { SILENT } from "../../lib/log.ts";
import { projectOf } from "../../lib/mount/project_quota.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { mountImage, needsImage, XFS } from "../_helpers/loop_images.ts";
import { needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const NEEDS = [needsRoot, needsProgram("mkfs.xfs"), needsImage("XFS", XFS)];
const GIB = 2 ** 30;

/** A kernel that remembers limits. Inodes are not counted: what it does not know takes nothing. */
class NotedQuotas implements KernelQuotas {
  readonly projects = new Map<number, ProjectUsage>();
  refusal: StorageError | undefined;

  requireEnforcement(): void {
    if (this.refusal !== undefined) throw this.refusal;
  }
  usage(id: number): ProjectUsage {
    return this.projects.get(id) ?? { limitBytes: 0, usedBytes: 0, usedInodes: 0 };
  }
  setLimit(id: number, limitBytes: number): void {
    this.projects.set(id, { ...this.usage(id), limitBytes });
  }
  /** The limits that hold. */
  get limits(): number[] {
    return [...this.projects.values()].map(({ limitBytes }) => limitBytes).filter((bytes) => bytes > 0);
  }
}

interface Home extends AsyncDisposable {
  path: string;
  quotas: LayerQuotas;
  kernel: NotedQuotas;
}

async function makeHome(): Promise<Home> {
  const directory = await TempDir.make();
  try {
    const path = `${await mountImage(directory, "at", XFS)}/home`;
    await Deno.mkdir(path);
    const kernel = new NotedQuotas();
    const quotas = new LayerQuotas(path, SILENT, kernel);
    return { path, quotas, kernel, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
  } catch (error) {
    await directory[Symbol.asyncDispose]();
    throw error;
  }
}

async function makeLayer({ path, quotas }: Home, id: string, sizeBytes = GIB): Promise<number> {
  await Deno.mkdir(`${path}/${id}`);
  await quotas.limit(`${path}/${id}`, sizeBytes);
  return projectOf(`${path}/${id}`)!.id;
}

async function release({ quotas }: Home, path: string): Promise<void> {
  using directory = new Fd(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  await quotas.release(path, directory.fd);
}

function give(path: string, id: number, inherited: boolean): void {
  using directory = new Fd(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  setProject(directory.fd, { id, inherited });
}

testNeeding(NEEDS, "each layer gets a project of its own, which what is made in it inherits", async () => {
  await using home = await makeHome();
  const ids = [await makeLayer(home, "a"), await makeLayer(home, "b"), await makeLayer(home, "c")];
  assertEquals(new Set(ids).size, 3);
  assert(ids.every((id) => id > 0xffff && id < 2 ** 31), String(ids));
  await Deno.mkdir(`${home.path}/a/diff`);
  assertEquals(projectOf(`${home.path}/a/diff`), { id: ids[0]!, inherited: true });
  assertEquals(home.quotas.read(`${home.path}/a`), { projectId: ids[0]!, limitBytes: GIB, usedBytes: 0 });
  assertEquals(home.kernel.limits, [GIB, GIB, GIB]);
});

testNeeding(NEEDS, "twenty layers at once, half of them through another object, share no project", async () => {
  await using home = await makeHome();
  const other = { ...home, quotas: new LayerQuotas(home.path, SILENT, home.kernel) };
  const ids = await Promise.all(
    Array.from({ length: 20 }, (_, i) => makeLayer(i % 2 === 0 ? home : other, `layer-${i}`)),
  );
  assertEquals(new Set(ids).size, 20);
});

testNeeding(NEEDS, "a project with files or a limit, or of a half-made layer, is not taken", async () => {
  await using home = await makeHome();
  const first = await makeLayer(home, "first");
  home.kernel.projects.set(first + 1, { limitBytes: 0, usedBytes: 4096, usedInodes: 1 });
  home.kernel.projects.set(first + 2, { limitBytes: GIB, usedBytes: 0, usedInodes: 0 });
  await Deno.mkdir(`${home.path}/.lamina-create-x`);
  give(`${home.path}/.lamina-create-x`, first + 3, true);
  assertEquals(await makeLayer(home, "second"), first + 4);
});

testNeeding(NEEDS, "a home with a project of its own counts on from there, and is not a layer's", async () => {
  await using home = await makeHome();
  give(home.path, 500, false);
  assertEquals(await makeLayer(home, "a"), 501);
  await Deno.mkdir(`${home.path}/same`);
  give(`${home.path}/same`, 500, true);
  home.kernel.setLimit(500, GIB);
  assertEquals(home.quotas.read(`${home.path}/same`), undefined);
  await release(home, `${home.path}/same`);
  assertEquals(home.kernel.usage(500).limitBytes, GIB);
});

testNeeding(NEEDS, "a released layer's limit is gone, and its project another's to take", async () => {
  await using home = await makeHome();
  const id = await makeLayer(home, "a");
  await release(home, `${home.path}/a`);
  assertEquals(home.kernel.limits, []);
  await Deno.remove(`${home.path}/a`);
  assertEquals(await makeLayer(home, "b"), id);
});

testNeeding(
  NEEDS,
  "of two layers with one project, which Docker can make, the first to go leaves the limit",
  async () => {
    await using home = await makeHome();
    const id = await makeLayer(home, "a");
    await Deno.mkdir(`${home.path}/twin`);
    give(`${home.path}/twin`, id, true);
    await release(home, `${home.path}/a`);
    assertEquals(home.kernel.limits, [GIB]);
    await Deno.remove(`${home.path}/a`);
    await release(home, `${home.path}/twin`);
    assertEquals(home.kernel.limits, []);
  },
);

testNeeding(
  NEEDS,
  "in a home that hands its project on nothing is limited, and what was can be renamed away",
  async () => {
    await using home = await makeHome();
    await makeLayer(home, "old");
    give(home.path, 500, true);
    await Deno.mkdir(`${home.path}/new`);
    const error = await assertFails(home.quotas.limit(`${home.path}/new`, GIB), "not_supported");
    assertStringIncludes(error.hint!, `chattr -P ${home.path}`);
    assertEquals(home.kernel.limits, [GIB]);
    await release(home, `${home.path}/old`);
    await Deno.rename(`${home.path}/old`, `${home.path}/.lamina-remove-x`);
    assertEquals(home.kernel.limits, []);
  },
);

testNeeding(NEEDS, "what cannot be limited keeps its project, and no limit is left behind", async () => {
  await using home = await makeHome();
  const missing = home.quotas.limit(`${home.path}/nothing`, GIB);
  await assertFails(missing, "system_error");
  assertEquals(home.kernel.limits, []);
  home.kernel.refusal = new StorageError("not_supported", "no quotas");
  await Deno.mkdir(`${home.path}/a`);
  await assertFails(home.quotas.limit(`${home.path}/a`, GIB), "not_supported");
  assertEquals(projectOf(`${home.path}/a`), { id: 0, inherited: false });
});

testNeeding(NEEDS, "giving a limit up takes it away", async () => {
  await using home = await makeHome();
  await Deno.mkdir(`${home.path}/a`);
  const undo = await home.quotas.limit(`${home.path}/a`, GIB);
  assertEquals(home.kernel.limits, [GIB]);
  undo[Symbol.dispose]();
  assertEquals(home.kernel.limits, []);
});

testNeeding(NEEDS, "no space is quota_exceeded where the limit is tighter than the disk, and only there", async () => {
  await using home = await makeHome();
  const full = new StorageError("no_space", "Cannot unpack", { cause: "write" });
  const id = await makeLayer(home, "small", 1 << 20);
  const layer = `${home.path}/small`;
  const explained = home.quotas.explain(full, layer);
  assert(explained instanceof StorageError);
  assertEquals([explained.code, explained.message, explained.cause], ["quota_exceeded", "Cannot unpack", "write"]);
  assertEquals(explained.hint, "the layer may take 1.05 MB: make it with a larger size");
  home.kernel.setLimit(id, 2 ** 50);
  assertEquals(home.quotas.explain(full, layer), full);
  home.kernel.setLimit(id, 0);
  assertEquals(home.quotas.explain(full, layer), full);
  assertEquals(home.quotas.explain(full, `${home.path}/other`), full);
  const broken = new StorageError("invalid_archive", "broken");
  assertEquals(home.quotas.explain(broken, layer), broken);
});

testNeeding(NEEDS, "a layer that took more than it may is refused", async () => {
  await using home = await makeHome();
  const id = await makeLayer(home, "a", 1 << 20);
  home.quotas.requireWithin(`${home.path}/a`);
  home.kernel.projects.set(id, { limitBytes: 1 << 20, usedBytes: 1 << 20, usedInodes: 3 });
  home.quotas.requireWithin(`${home.path}/a`);
  home.kernel.projects.set(id, { limitBytes: 1 << 20, usedBytes: (1 << 20) + 512, usedInodes: 3 });
  const error = assertThrows(() => home.quotas.requireWithin(`${home.path}/a`), StorageError);
  assertEquals(error.code, "quota_exceeded");
});
