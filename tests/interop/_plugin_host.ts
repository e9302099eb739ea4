// SPDX-License-Identifier: Apache-2.0

/**
 * A host of one test's own: a dockerd whose layers lamina keeps, each of which can be stopped, killed and started again.
 *
 * @module
 */

import { assertEquals } from "../_helpers/std_assert.ts";
import { mountPointsBelow } from "../_helpers/mount_points.ts";
import { namesIn } from "../_helpers/names_in.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { Agent } from "../agent/_agent.ts";
import { until } from "../agent/_until.ts";
import { TestStore } from "../cli/_run_lamina.ts";
import { Dockerd } from "./_dockerd.ts";

/** Where each dockerd of a machine looks for plugins, whatever its own directories are. */
const PLUGIN_DIR = "/run/docker/plugins";

/** How both are started. */
export interface PluginHostOptions {
  /** Further options of dockerd. */
  dockerd?: readonly string[];
  /** What dockerd puts between its data-root and the plugin's home. */
  below?: string;
  /** A command that runs the agent. */
  agentWrapper?: readonly string[];
  /** A command that runs dockerd, beside the agent of this process id. */
  dockerdWrapper?: (agentPid: number) => readonly string[];
}

/** The host. Disposing it leaves nothing behind. */
export class PluginHost implements AsyncDisposable {
  readonly directory: TempDir;
  /** Of the plugin: no other dockerd on this machine has it. */
  readonly driver: string = `lamina-test-${crypto.randomUUID().slice(0, 8)}`;
  readonly #options: PluginHostOptions;
  /** What of the way to the sockets was not there before, the deepest first. */
  readonly #madeDirectories: string[];
  #agent: Agent | undefined;
  #dockerd: Dockerd | undefined;

  private constructor(directory: TempDir, options: PluginHostOptions) {
    this.directory = directory;
    this.#options = options;
    this.#madeDirectories = [PLUGIN_DIR, "/run/docker"].filter((path) => !exists(path));
  }

  /** Starts an agent, and then dockerd. */
  static async start(options: PluginHostOptions = {}): Promise<PluginHost> {
    await using undo = new AsyncDisposableStack();
    const host = undo.use(new PluginHost(await TempDir.make(), options));
    // A container's root, who is somebody else on the host, has to get through.
    await Deno.chmod(host.directory.path, 0o711);
    await host.startAgent();
    await host.startDockerd();
    undo.move();
    return host;
  }

  get agent(): Agent {
    return this.#agent!;
  }

  get dockerd(): Dockerd {
    return this.#dockerd!;
  }

  get dataRoot(): string {
    return `${Dockerd.dataRoot(this.directory)}${this.#options.below ?? ""}`;
  }

  /** Where the layers lie. */
  get home(): string {
    return `${this.dataRoot}/${this.driver}`;
  }

  /** The layers, for the command line. */
  get store(): TestStore {
    return TestStore.at(this.directory, ["--driver", "overlay2", "--home", this.home]);
  }

  /** Starts an agent; the one before has ended. */
  async startAgent(): Promise<void> {
    const { agentWrapper } = this.#options;
    const wrapper = agentWrapper === undefined ? {} : { wrapper: agentWrapper };
    this.#agent = await Agent.start(this.directory, { name: this.driver, pluginDir: PLUGIN_DIR, ...wrapper });
  }

  /** Starts a dockerd; the one before has ended. */
  async startDockerd(): Promise<void> {
    const { dockerd = [], dockerdWrapper } = this.#options;
    const wrapper = dockerdWrapper?.(this.agent.process.pid) ?? [];
    this.#dockerd = await Dockerd.start(this.directory, this.driver, ["--experimental", ...dockerd], wrapper);
  }

  /** Runs `docker` with `args`, which must succeed; what it printed. */
  async docker(...args: string[]): Promise<string> {
    return await this.dockerd.docker(args);
  }

  /** Runs a shell's `script` in a new container of `image`; what it printed. */
  async run(image: string, script: string, ...options: string[]): Promise<string> {
    return await this.docker("run", "--network=none", ...options, image, "/bin/busybox", "sh", "-ec", script);
  }

  /** The layers that dockerd has in its books, sorted. */
  async layersInBooks(): Promise<string[]> {
    const books = `${this.dataRoot}/image/${this.driver}/layerdb`;
    const files = [
      ...(await namesIn(`${books}/sha256`)).map((name) => `sha256/${name}/cache-id`),
      ...(await namesIn(`${books}/mounts`)).flatMap((name) => [`mounts/${name}/mount-id`, `mounts/${name}/init-id`]),
    ];
    return (await Promise.all(files.map((file) => Deno.readTextFile(`${books}/${file}`)))).sort();
  }

  /** The layers that lamina has, sorted. */
  async layers(): Promise<string[]> {
    return (await this.store.json(["ls"]) as { id: string }[]).map(({ id }) => id).sort();
  }

  /** Layers that are mounted, by the kernel's word. */
  mountedLayers(): string[] {
    // Where dockerd is alive, what it sees is what counts.
    const pid = this.dockerd.pid;
    return mountPointsBelow(this.home, pid).map((path) => path.slice(this.home.length + 1).replace(/\/merged$/, ""))
      .sort();
  }

  /**
   * Holds that lamina has the layers of dockerd's books and no other, and that only `mounted` of them are mounted. What
   * dockerd does behind the end of a command may take its time.
   */
  async assertNothingLeft(mounted: readonly string[] = []): Promise<void> {
    await until(async () =>
      String(this.mountedLayers()) === String(mounted) &&
      String(await this.layers()) === String(await this.layersInBooks())
    ).catch(() => {});
    assertEquals(this.mountedLayers(), [...mounted]);
    assertEquals(await this.layers(), await this.layersInBooks());
    // What was begun and not finished lies under such names.
    assertEquals((await namesIn(this.home)).filter((name) => name.startsWith(".lamina-")), []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#dockerd?.[Symbol.asyncDispose]();
    } finally {
      await this.#agent?.[Symbol.asyncDispose]();
      await Deno.remove(`${PLUGIN_DIR}/${this.driver}.sock`).catch(() => {});
      await this.directory[Symbol.asyncDispose]();
      for (const path of this.#madeDirectories) await Deno.remove(path).catch(() => {});
    }
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
