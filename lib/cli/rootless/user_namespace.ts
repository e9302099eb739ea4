// SPDX-License-Identifier: Apache-2.0

/**
 * A user namespace of an ordinary user, with all ids that the user has.
 *
 * unshare(2) makes one for processes of one thread only, which no program on Deno is; and who is in it cannot map other ids
 * than one, since newuidmap(1) has to stand outside. So a small child makes it, it gets its ids from here, and nsenter(1)
 * enters it.
 *
 * @module
 */

import { userInfo } from "node:os";
import type { IdMap, IdMaps } from "../../id_map.ts";
import type { Logger } from "../../log.ts";
import { readSubordinateIds, rootlessIdMaps } from "../../subordinate_ids.ts";
import { namespaceRefused } from "./refusal.ts";
import { startTool } from "./start_tool.ts";

/** Says a word when the namespace is there, another one when it can be used, and ends when nobody is left who holds it. */
const HOLDER = "echo made && read -r _ && unshare --mount true && echo usable && read -r _";

/** A user namespace that lasts as long as this object, or a process in it. */
export class UserNamespace implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#writer = child.stdin.getWriter();
    this.#reader = child.stdout.getReader();
  }

  /**
   * Makes one, in which this user is root, followed by the user's subordinate ids. Without such, or without newuidmap, root
   * is the only id.
   *
   * @throws {StorageError} `permission_denied`, `not_supported`: there are no user namespaces for this user;
   * `invalid_argument`: a line of /etc/subuid or /etc/subgid.
   */
  static async make(logger: Logger): Promise<UserNamespace> {
    const ids = readSubordinateIds({ name: userName(), uid: Deno.uid()!, gid: Deno.gid()! });
    if (ids.uids.length > 0 && ids.gids.length > 0) {
      await using stack = new AsyncDisposableStack();
      const namespace = stack.use(await UserNamespace.#start([]));
      const refusal = await mapIds(namespace.#child.pid, rootlessIdMaps(Deno.uid()!, Deno.gid()!, ids));
      if (refusal === undefined) {
        await namespace.#requireUse();
        stack.move();
        return namespace;
      }
      logger.warn(`only your own id is mapped, not those of /etc/subuid: ${refusal}`);
    }
    const namespace = await UserNamespace.#start(["--map-root-user"]);
    await namespace.#requireUse();
    return namespace;
  }

  static async #start(options: readonly string[]): Promise<UserNamespace> {
    const child = startTool(["unshare", "--user", ...options, "sh", "-c", HOLDER], {
      env: { LC_ALL: "C" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    });
    const namespace = new UserNamespace(child);
    await namespace.#expectWord();
    return namespace;
  }

  /** The words before a program and its arguments that run it in here. */
  get entering(): string[] {
    return ["nsenter", `--user=/proc/${this.#child.pid}/ns/user`, "--preserve-credentials", "--"];
  }

  /** Makes sure that this user may mount in here, which some systems forbid only now. */
  async #requireUse(): Promise<void> {
    await this.#writer.write(new TextEncoder().encode("\n"));
    await this.#expectWord();
  }

  async #expectWord(): Promise<void> {
    const { done } = await this.#reader.read();
    if (!done) return;
    const said = await new Response(this.#child.stderr).text();
    await this[Symbol.asyncDispose]();
    throw namespaceRefused(said.trim());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#writer.close();
    } catch {
      // It has ended already: what interrupts us from a terminal reaches it as well.
    }
    await this.#reader.cancel();
    if (!this.#child.stderr.locked) await this.#child.stderr.cancel();
    await this.#child.status;
  }
}

/** The name of this user; undefined where it has none. */
function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    // No line in /etc/passwd, nor elsewhere.
    return undefined;
  }
}

/** Gives the namespace of process `pid` its ids; why not, if it cannot be done. */
async function mapIds(pid: number, { uidMaps, gidMaps }: IdMaps): Promise<string | undefined> {
  return await mapKind("newuidmap", pid, uidMaps) ?? await mapKind("newgidmap", pid, gidMaps);
}

async function mapKind(program: string, pid: number, maps: readonly IdMap[]): Promise<string | undefined> {
  const numbers = [pid, ...maps.flatMap(({ containerId, hostId, size }) => [containerId, hostId, size])];
  try {
    const { success, stderr } = await new Deno.Command(program, {
      args: numbers.map(String),
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    return success ? undefined : new TextDecoder().decode(stderr).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `the program ${program} is missing (Debian: uidmap)`;
    throw error;
  }
}
