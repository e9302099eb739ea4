// SPDX-License-Identifier: Apache-2.0

/**
 * Where the layers of an ordinary user lie, who can write neither to /var/lib nor to /run: by the XDG Base Directory
 * Specification.
 *
 * @module
 */

import { StorageError } from "../../errors.ts";
import { absolutePath } from "../../util/absolute_path.ts";
import type { Settings } from "../command.ts";

/** Looks up an environment variable. */
export type Environment = (name: string) => string | undefined;

/** Where a store lies. */
export type Places = Pick<Settings, "root" | "runRoot">;

/** The variables that give the commands of a namespace the store that it was entered with. */
export function placesAsEnvironment({ root, runRoot }: Places): Record<string, string> {
  return {
    ...(root === undefined ? {} : { LAMINA_ROOT: absolutePath(root) }),
    ...(runRoot === undefined ? {} : { LAMINA_RUN_ROOT: absolutePath(runRoot) }),
  };
}

/**
 * `settings` with the places of user `uid` where they name none.
 *
 * @param tmp Where the run root is made if the session has no directory for it.
 * @throws {StorageError} `invalid_argument`: the environment names no home; `unsafe_path`: the directory in `tmp` is
 * somebody else's, or others can write to it.
 */
export function withOwnPlaces(settings: Settings, uid: number, env: Environment, tmp = "/tmp"): Settings {
  return {
    ...settings,
    root: settings.root ?? (settings.home === undefined ? ownRoot(env) : undefined),
    runRoot: settings.runRoot ?? ownRunRoot(uid, env, tmp),
  };
}

/** Relative paths in these variables do not count: the specification says so. */
function directoryFrom(env: Environment, name: string): string | undefined {
  const path = env(name);
  return path?.startsWith("/") ? path : undefined;
}

function ownRoot(env: Environment): string {
  const home = directoryFrom(env, "HOME");
  const data = directoryFrom(env, "XDG_DATA_HOME") ?? (home === undefined ? undefined : `${home}/.local/share`);
  if (data !== undefined) return `${data}/lamina`;
  throw new StorageError("invalid_argument", "Cannot tell where your layers lie: HOME and XDG_DATA_HOME are not set", {
    hint: "say --root DIR",
  });
}

/** `su` keeps the variable of who called it, so that the directory may be another user's. */
function ownRunRoot(uid: number, env: Environment, tmp: string): string {
  const session = directoryFrom(env, "XDG_RUNTIME_DIR");
  if (session !== undefined && reasonNotToUse(session, uid) === undefined) return `${session}/lamina`;
  const path = `${tmp}/lamina-${uid}`;
  try {
    Deno.mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
  const reason = reasonNotToUse(path, uid);
  if (reason === undefined) return path;
  throw new StorageError("unsafe_path", `Cannot keep what ends with the machine in ${path}: ${reason}`, {
    hint: "remove it, or say --run-root DIR",
  });
}

/** Why `path` is not a directory that is all the user's own. A link would be whoever's it leads to. */
function reasonNotToUse(path: string, uid: number): string | undefined {
  let stat: Deno.FileInfo;
  try {
    stat = Deno.lstatSync(path);
  } catch (error) {
    return (error as Error).message;
  }
  if (!stat.isDirectory) return "it is not a directory";
  if (stat.uid !== uid) return `it belongs to user ${stat.uid}`;
  return (stat.mode! & 0o077) === 0 ? undefined : "other users may use it as well";
}
