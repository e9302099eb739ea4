// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina serve`: the agent.
 *
 * @module
 */

import { DockerPlugin } from "../../agent/docker_plugin.ts";
import { AgentServer } from "../../agent/server.ts";
import { refusePassedSockets, Systemd } from "../../agent/systemd.ts";
import { WorkQueues } from "../../agent/work_queue.ts";
import { DEFAULT_RUN_ROOT, openDriver } from "../../drivers/registry.ts";
import { absolutePath } from "../../util/absolute_path.ts";
import type { CommandOf } from "../args.ts";
import type { Context } from "../context.ts";
import { EXIT, type ExitNumber } from "../exit_code.ts";

/** Serves until SIGTERM or SIGINT. Layers stay mounted and counted: containers live on, and the next agent goes on. */
export async function serve(command: CommandOf<"serve">, { output, settings }: Context): Promise<ExitNumber> {
  const { dockerPlugin: name, dockerPluginDir, mostJobs, graceMs } = command;
  const { driver, mountApi, sync, storageOptions } = settings;
  refusePassedSockets(Deno.env);
  using systemd = Systemd.fromEnvironment(Deno.env, output.logger);
  const runRoot = absolutePath(settings.runRoot ?? DEFAULT_RUN_ROOT);
  const plugin = new DockerPlugin({
    name,
    socket: `${absolutePath(dockerPluginDir)}/${name}.sock`,
    stateFile: `${runRoot}/docker-plugin/${name}.json`,
    queues: new WorkQueues(mostJobs ?? navigator.hardwareConcurrency),
    logger: output.logger,
    open: ({ home, options, idMaps }) =>
      openDriver({
        home: absolutePath(home),
        runRoot,
        // dockerd's own options count more.
        options: [...storageOptions, ...options],
        logger: output.logger,
        ...(driver === undefined ? {} : { driver }),
        ...(mountApi === undefined ? {} : { mountApi }),
        ...(sync === undefined ? {} : { sync }),
        ...(idMaps === undefined ? {} : { idMaps }),
      }),
  });
  using signals = new EndSignals();
  const server = await AgentServer.listen([plugin]);
  output.note(`lamina: serving ${plugin.name} on ${plugin.socket}`);
  void systemd.ready(server);
  await signals.next();
  output.logger.info("stopping; mounts stay");
  const stopped = server.stop(graceMs);
  void systemd.stopping(server, AgentServer.longestStopMs(graceMs));
  const hasEnded = await Promise.race([stopped, signals.next().then(() => false)]);
  return hasEnded ? EXIT.ok : EXIT.aborted;
}

/** SIGTERM and SIGINT, one after the other. */
class EndSignals implements Disposable {
  readonly #listener = (): void => this.#arrived();
  #next = Promise.withResolvers<void>();

  constructor() {
    for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, this.#listener);
  }

  /** Waits for one that has not come yet. */
  next(): Promise<void> {
    return this.#next.promise;
  }

  #arrived(): void {
    const { resolve } = this.#next;
    this.#next = Promise.withResolvers<void>();
    resolve();
  }

  [Symbol.dispose](): void {
    for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.removeSignalListener(signal, this.#listener);
  }
}
