// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina serve`: the agent.
 *
 * @module
 */

import { StoreApi } from "../../agent/api.ts";
import { DockerPlugin } from "../../agent/docker_plugin.ts";
import { Observation } from "../../agent/observation.ts";
import { AgentServer, type Face } from "../../agent/server.ts";
import { refusePassedSockets, Systemd } from "../../agent/systemd.ts";
import { WorkQueues } from "../../agent/work_queue.ts";
import type { GraphDriver } from "../../drivers/driver.ts";
import { DEFAULT_RUN_ROOT, openDriver, type OpenOptions } from "../../drivers/registry.ts";
import type { Logger } from "../../log.ts";
import { absolutePath } from "../../util/absolute_path.ts";
import type { CommandOf, Settings } from "../command.ts";
import type { Context } from "../context.ts";
import { EXIT, type ExitNumber } from "../exit_code.ts";

/** Serves until SIGTERM or SIGINT. Layers stay mounted and counted: containers live on, and the next agent goes on. */
export async function serve(command: CommandOf<"serve">, { output, settings }: Context): Promise<ExitNumber> {
  refusePassedSockets(Deno.env);
  using systemd = Systemd.fromEnvironment(Deno.env, output.logger);
  const runRoot = absolutePath(settings.runRoot ?? DEFAULT_RUN_ROOT);
  using signals = new EndSignals();
  const faces = facesOf(command, settings, runRoot, output.logger);
  const server = await AgentServer.listen(faces);
  for (const { name, socket } of faces) output.note(`lamina: serving ${name} on ${socket}`);
  void systemd.ready(server);
  await signals.next();
  output.logger.info("stopping; mounts stay");
  const stopped = server.stop(command.graceMs);
  void systemd.stopping(server, AgentServer.longestStopMs(command.graceMs));
  const hasEnded = await Promise.race([stopped, signals.next().then(() => false)]);
  return hasEnded ? EXIT.ok : EXIT.aborted;
}

function facesOf(command: CommandOf<"serve">, settings: Settings, runRoot: string, logger: Logger): Face[] {
  const { dockerPlugin: name, dockerPluginDir, mostJobs = navigator.hardwareConcurrency } = command;
  const { root, home, driver, mountApi, sync, storageOptions } = settings;
  const observation = new Observation();
  const queues = new WorkQueues(mostJobs);
  const open = async (options: OpenOptions): Promise<GraphDriver> => {
    const opened = await openDriver({
      runRoot,
      logger,
      ...(driver === undefined ? {} : { driver }),
      ...(mountApi === undefined ? {} : { mountApi }),
      ...(sync === undefined ? {} : { sync }),
      ...options,
    });
    // What an agent before this one was at when it was killed. Nobody has to wait for it.
    opened.sweep().catch((error: Error) => logger.warn(error.message));
    return observation.watched(opened);
  };
  const api = new StoreApi({
    socket: absolutePath(settings.socket ?? `${runRoot}/lamina.sock`),
    open: () =>
      open({
        options: storageOptions,
        ...(root === undefined ? {} : { root }),
        ...(home === undefined ? {} : { home }),
      }),
    queues,
    observation,
    logger,
  });
  if (name === undefined) return [api];
  const plugin = new DockerPlugin({
    name,
    socket: `${absolutePath(dockerPluginDir)}/${name}.sock`,
    stateFile: `${runRoot}/docker-plugin/${name}.json`,
    queues,
    logger,
    open: ({ home, options, idMaps }) =>
      open({
        home: absolutePath(home),
        // dockerd's own options count more.
        options: [...storageOptions, ...options],
        ...(idMaps === undefined ? {} : { idMaps }),
      }),
  });
  return [api, plugin];
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
