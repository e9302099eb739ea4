// SPDX-License-Identifier: Apache-2.0

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { parseCommandLine } from "../../lib/cli/args.ts";
import type { Settings } from "../../lib/cli/command.ts";
import { placesAsEnvironment, withOwnPlaces } from "../../lib/cli/rootless/own_places.ts";
import { StorageError } from "../../lib/errors.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const UID = Deno.uid()!;

function settingsOf(...args: string[]): Settings {
  return parseCommandLine([...args, "ls"], () => undefined).settings;
}

/** Root and run root of a user whose environment is `env`. */
function places(env: Readonly<Record<string, string>>, tmp: string, ...args: string[]): (string | undefined)[] {
  const { root, runRoot } = withOwnPlaces(settingsOf(...args), UID, (name) => env[name], tmp);
  return [root, runRoot];
}

Deno.test("withOwnPlaces() takes the directories of XDG, and what stands for them", async () => {
  await using directory = await TempDir.make();
  const tmp = directory.path;
  const fallback = `${tmp}/lamina-${UID}`;
  const session = directory.join("session");
  await Deno.mkdir(session, { mode: 0o700 });
  assertEquals(places({ HOME: "/h", XDG_RUNTIME_DIR: session }, tmp), ["/h/.local/share/lamina", `${session}/lamina`]);
  assertEquals(places({ HOME: "/h", XDG_DATA_HOME: "/d", XDG_RUNTIME_DIR: session }, tmp)[0], "/d/lamina");
  assertEquals(places({ XDG_DATA_HOME: "/d", XDG_RUNTIME_DIR: session }, tmp)[0], "/d/lamina");
  assertEquals(await Array.fromAsync(Deno.readDir(tmp), ({ name }) => name), ["session"]);

  assertEquals(places({ HOME: "/h" }, tmp), ["/h/.local/share/lamina", fallback]);
  assertEquals((await Deno.stat(fallback)).mode! & 0o7777, 0o700);
  assertEquals(places({ HOME: "/h", XDG_DATA_HOME: "d", XDG_RUNTIME_DIR: "s" }, tmp), [
    "/h/.local/share/lamina",
    fallback,
  ]);
});

Deno.test("withOwnPlaces() leaves alone what was said", async () => {
  await using directory = await TempDir.make();
  const tmp = directory.path;
  assertEquals(places({}, tmp, "--root", "/r", "--run-root", "/rr"), ["/r", "/rr"]);
  assertEquals(places({}, tmp, "--home", "/r/overlay2", "--run-root", "/rr"), [undefined, "/rr"]);
  assertEquals(await Array.fromAsync(Deno.readDir(tmp)), []);
  const error = assertThrows(() => places({}, tmp, "--run-root", "/rr"), StorageError);
  assertEquals(error.code, "invalid_argument");
  assertStringIncludes(error.hint!, "--root");
});

Deno.test("withOwnPlaces() passes over a session directory that others can use, or that is not there", async () => {
  await using directory = await TempDir.make();
  const fallback = directory.join(`lamina-${UID}`);
  const open = await directory.mkdir("open");
  await Deno.chmod(open, 0o755);
  for (const session of [open, directory.join("absent")]) {
    assertEquals(places({ HOME: "/h", XDG_RUNTIME_DIR: session }, directory.path)[1], fallback);
  }
});

const NOT_OURS: readonly [what: string, make: (path: string) => Promise<void>, reason: string][] = [
  ["a file", (path): Promise<void> => Deno.writeTextFile(path, ""), "not a directory"],
  ["a link to a directory of ours", (path): Promise<void> => Deno.symlink(".", path), "not a directory"],
  ["a directory that others can read", (path): Promise<void> => Deno.mkdir(path, { mode: 0o750 }), "other users"],
];

for (const [what, make, reason] of NOT_OURS) {
  Deno.test(`withOwnPlaces() refuses ${what} in /tmp`, async () => {
    await using directory = await TempDir.make();
    await make(directory.join(`lamina-${UID}`));
    const error = assertThrows(() => places({ HOME: "/h" }, directory.path), StorageError);
    assertEquals(error.code, "unsafe_path");
    assertStringIncludes(error.message, reason);
  });
}

Deno.test("withOwnPlaces() refuses a directory of somebody else in /tmp", async () => {
  await using directory = await TempDir.make();
  await Deno.mkdir(directory.join(`lamina-${UID + 1}`), { mode: 0o700 });
  const error = assertThrows(
    () => withOwnPlaces(settingsOf("--root", "/r"), UID + 1, () => undefined, directory.path),
    StorageError,
  );
  assertStringIncludes(error.message, `it belongs to user ${UID}`);
});

Deno.test("placesAsEnvironment() names a store from everywhere", () => {
  assertEquals(placesAsEnvironment({ root: "r/./s", runRoot: "/rr" }), {
    LAMINA_ROOT: `${Deno.cwd()}/r/s`,
    LAMINA_RUN_ROOT: "/rr",
  });
  assertEquals(placesAsEnvironment({ root: undefined, runRoot: undefined }), {});
});
