// SPDX-License-Identifier: Apache-2.0

/**
 * What a test needs of its machine, found out by trying it. A test that lacks something is skipped and says why in its
 * name. With `LAMINA_REQUIRE_ALL=1` (CI) it fails instead, unless tests/allowed_skips.json gives a reason for it.
 *
 * @module
 */

/** Something that a machine may lack. */
export interface Requirement {
  /** Key in tests/allowed_skips.json. */
  name: string;
  /** Why it cannot be had here; undefined where it can. */
  missing(): string | undefined;
}

function once(probe: () => string | undefined): () => string | undefined {
  let answer: { reason: string | undefined } | undefined;
  return () => (answer ??= { reason: probe() }).reason;
}

/** The test mounts, or gives files away. */
export const needsRoot: Requirement = {
  name: "root",
  missing: once(() => Deno.uid() === 0 ? undefined : `needs root, runs as user ${Deno.uid()}`),
};

/** The test stacks directories below the test directory. */
export const needsOverlay: Requirement = { name: "overlay", missing: once(probeOverlay) };

function probeOverlay(): string | undefined {
  const base = Deno.env.get("LAMINA_TEST_DIR") ?? "/var/tmp";
  const directory = Deno.makeTempDirSync({ dir: base, prefix: "lamina-probe-" });
  try {
    const [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map((name) => `${directory}/${name}`);
    for (const path of [lower!, upper!, work!, merged!]) Deno.mkdirSync(path);
    const data = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    const { success, stderr } = runSync("mount", ["-t", "overlay", "overlay", "-o", data, merged!]);
    if (!success) return `needs overlay mounts in ${base}: ${new TextDecoder().decode(stderr).trim()}`;
    runSync("umount", [merged!]);
    return undefined;
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** The test mounts by fuse-overlayfs. */
export const needsFuseOverlayfs: Requirement = { name: "fuse-overlayfs", missing: once(probeFuseOverlayfs) };

function probeFuseOverlayfs(): string | undefined {
  const directory = Deno.makeTempDirSync({
    dir: Deno.env.get("LAMINA_TEST_DIR") ?? "/var/tmp",
    prefix: "lamina-probe-",
  });
  try {
    const [lower, merged] = [`${directory}/lower`, `${directory}/merged`];
    for (const path of [lower, merged]) Deno.mkdirSync(path);
    const { success, stderr } = runSync("fuse-overlayfs", ["-o", `lowerdir=${lower}`, merged]);
    if (!success) return `needs fuse-overlayfs: ${new TextDecoder().decode(stderr).trim()}`;
    runSync("umount", [merged]);
    return undefined;
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

function runSync(program: string, args: string[]): { success: boolean; stderr: Uint8Array } {
  try {
    return new Deno.Command(program, { args, stdout: "null" }).outputSync();
  } catch (error) {
    return { success: false, stderr: new TextEncoder().encode(String(error)) };
  }
}

/** The test talks to `program`. */
export function needsProgram(program: string): Requirement {
  return {
    name: `program ${program}`,
    missing: once(() => isOnPath(program) ? undefined : `needs the program ${program}`),
  };
}

/** sbin is part of it: mkfs lives there, and an ordinary user's PATH lacks it. */
function isOnPath(program: string): boolean {
  const directories = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin", "/sbin"];
  return directories.some((directory) => {
    try {
      return Deno.statSync(`${directory}/${program}`).isFile;
    } catch {
      return false;
    }
  });
}

const ALLOWED_SKIPS = new URL("../allowed_skips.json", import.meta.url);

function isAllowed(requirement: Requirement): boolean {
  const reasons = JSON.parse(Deno.readTextFileSync(ALLOWED_SKIPS)) as Record<string, string>;
  return (reasons[requirement.name] ?? "") !== "";
}

/** Registers a test that runs where all of `requirements` can be had. */
export function testNeeding(
  requirements: readonly Requirement[],
  name: string,
  fn: (context: Deno.TestContext) => void | Promise<void>,
): void {
  const lacking = requirements.find((requirement) => requirement.missing() !== undefined);
  if (lacking === undefined) {
    Deno.test(name, fn);
    return;
  }
  const reason = lacking.missing();
  if (Deno.env.get("LAMINA_REQUIRE_ALL") === "1" && !isAllowed(lacking)) {
    Deno.test(name, () => {
      throw new Error(
        `Skipping is not allowed here: ${reason}. Provide it, or list "${lacking.name}" in ${ALLOWED_SKIPS}`,
      );
    });
    return;
  }
  Deno.test({ name: `${name} (skipped: ${reason})`, ignore: true, fn });
}
