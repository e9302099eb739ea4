// SPDX-License-Identifier: Apache-2.0

/**
 * lamina as a package that is imported by URL.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { runOk } from "./run.ts";
import type { TempDir } from "./temp_dir.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

interface DenoJson {
  publish: { include: string[] };
}

/** Serves the files that `publish.include` of deno.json names; collects requests for anything else. */
export class PackageServer implements AsyncDisposable {
  readonly refused: string[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  private constructor(published: readonly string[]) {
    const isPublished = (path: string): boolean =>
      published.some((entry) => entry.endsWith("/") ? path.startsWith(entry) : path === entry);
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen(): void {} }, async (request) => {
      const path = decodeURIComponent(new URL(request.url).pathname).slice(1);
      if (!isPublished(path)) {
        this.refused.push(path);
        return new Response("not published", { status: 404 });
      }
      const text = await Deno.readTextFile(`${ROOT}/${path}`);
      return new Response(text, { headers: { "content-type": "application/typescript" } });
    });
  }

  static async start(): Promise<PackageServer> {
    const { publish } = JSON.parse(await Deno.readTextFile(`${ROOT}/deno.json`)) as DenoJson;
    return new PackageServer(publish.include);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** A DENO_DIR of its own, so that modules of past servers do not pile up in the user's; packages of npm are shared. */
export async function makeDenoDir(directory: TempDir): Promise<string> {
  const { stdout } = await runOk(Deno.execPath(), ["info", "--json"]);
  const { npmCache } = JSON.parse(stdout) as { npmCache: string };
  await Deno.mkdir(npmCache, { recursive: true });
  const denoDir = await directory.mkdir("deno");
  await Deno.symlink(npmCache, `${denoDir}/npm`);
  return denoDir;
}
