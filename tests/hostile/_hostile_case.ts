// SPDX-License-Identifier: Apache-2.0

/**
 * A hostile archive and a host that must not notice it.
 *
 * @module
 */

import { assertEquals, assertInstanceOf } from "@std/assert";
import { StorageError, type StorageErrorCode } from "../../lib/errors.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { differences, snapshot } from "../_helpers/snapshot.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { unpackFile } from "../archive/_engine.ts";
import { type TarItem, tarOf } from "../archive/_tar_of.ts";

/** An archive, and what must come of it. */
export interface HostileCase {
  name: string;
  /** @param outside Absolute path of the host's directory; from the root it is `../outside`. */
  items: (outside: string) => readonly TarItem[];
  /** The code it must fail with; undefined if it goes well, inside. */
  code: StorageErrorCode | undefined;
  /** What else must hold of the root. */
  check?: (root: string) => void | Promise<void>;
}

/** Files of the host beside a root: a directory `outside` with the file `secret` and the directory `inner`. */
export class Host {
  readonly outside: string;
  readonly root: string;
  #before: string[];

  private constructor(readonly directory: TempDir) {
    this.outside = directory.join("outside");
    this.root = directory.join("root");
    Deno.mkdirSync(`${this.outside}/inner`, { recursive: true });
    Deno.mkdirSync(this.root);
    for (const path of [`${this.outside}/secret`, `${this.outside}/inner/deep`]) {
      Deno.writeTextFileSync(path, "the host's");
      Deno.chmodSync(path, 0o600);
      Deno.utimeSync(path, 1000, 1000);
    }
    Deno.chmodSync(this.outside, 0o750);
    Deno.writeTextFileSync(directory.join("a.tar"), "");
    this.#before = this.#snapshot();
  }

  static async make(): Promise<Host> {
    return new Host(await TempDir.make());
  }

  /** Content, modes, owners, times, numbers of links and attributes of everything but the root and the archive. */
  #snapshot(): string[] {
    return snapshot(this.directory.path, { skip: "root" }).filter((line) => !/^(root|a\.tar) /.test(line));
  }

  /** Unpacks the archive of `items`; what it failed with. */
  unpack(items: readonly TarItem[]): StorageError | undefined {
    Deno.writeFileSync(this.directory.join("a.tar"), tarOf(items));
    return failureOf(() => unpackFile(this.directory.join("a.tar"), this.root));
  }

  /** Fails if the host noticed anything. */
  assertUntouched(): void {
    assertEquals(differences(this.#before, this.#snapshot()), [], "SOMETHING OUTSIDE THE ROOT WAS CHANGED");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.directory[Symbol.asyncDispose]();
  }
}

/** What `action` fails with; anything but a {@linkcode StorageError} fails the test. */
export function failureOf(action: () => unknown): StorageError | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    assertInstanceOf(error, StorageError);
    return error;
  }
}

/** Registers one test for each case. */
export function testHostileCases(cases: readonly HostileCase[]): void {
  for (const { name, items, code, check } of cases) {
    testNeeding([needsRoot], `unpack() of ${name} ${code === undefined ? "stays inside" : `is ${code}`}`, async () => {
      await using host = await Host.make();
      const error = host.unpack(items(host.outside));
      assertEquals(error?.code, code, error?.message);
      host.assertUntouched();
      await check?.(host.root);
    });
  }
}
