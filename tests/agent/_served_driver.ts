// SPDX-License-Identifier: Apache-2.0

/**
 * A store that an agent of this process keeps, and its client.
 *
 * @module
 */

import { StoreApi } from "../../lib/agent/api.ts";
import { connect } from "../../lib/agent/client.ts";
import { Observation } from "../../lib/agent/observation.ts";
import { AgentServer } from "../../lib/agent/server.ts";
import { WorkQueues } from "../../lib/agent/work_queue.ts";
import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { openDriver, type OpenOptions } from "../../lib/drivers/registry.ts";
import { SILENT } from "../../lib/log.ts";

/** Long jobs of a kind that run at once: more than the suites begin, which wait for some of them. */
const MOST_JOBS = 16;

/** Opens a store through an agent. Disposing the driver ends the agent as well. */
export async function openServedDriver(options: OpenOptions): Promise<GraphDriver> {
  await using undo = new AsyncDisposableStack();
  const observation = new Observation();
  const store = undo.use(await openDriver(options));
  const socket = `${options.runRoot}/lamina.sock`;
  const api = new StoreApi({
    socket,
    open: () => Promise.resolve(observation.watched(store)),
    queues: new WorkQueues(MOST_JOBS),
    observation,
    logger: SILENT,
  });
  const server = await AgentServer.listen([api]);
  undo.defer(async () => void await server.stop(1000));
  const client = await connect({ socket });
  const disconnect = client[Symbol.asyncDispose].bind(client);
  const agent = undo.move();
  client[Symbol.asyncDispose] = async (): Promise<void> => {
    try {
      await disconnect();
    } finally {
      await agent.disposeAsync();
    }
  };
  return client;
}
