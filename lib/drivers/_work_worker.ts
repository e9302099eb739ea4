// SPDX-License-Identifier: Apache-2.0

/**
 * The Worker in which tasks run. Imported as an ordinary module it does nothing.
 *
 * @module
 */

import type { FilterRequest, RunningFilter } from "../archive/compression.ts";
import { asStorageError } from "../errors.ts";
import { SharedControl } from "../util/work_control.ts";
import { runTask } from "./_work.ts";
import {
  type FilterAsked,
  type FilterStarted,
  sendable,
  TASK_WORKER,
  type TaskReply,
  type TaskRequest,
} from "./_work_message.ts";

interface WorkerScope {
  name?: string;
  onmessage?: (event: MessageEvent<TaskRequest | FilterStarted>) => void;
  postMessage(message: TaskReply | FilterAsked): void;
}

const scope = globalThis as unknown as WorkerScope;
let filterStarted: () => void = () => {};

/** Has the owner of this Worker start a compressor, and end it with the task. */
function askForFilter(filter: FilterRequest): RunningFilter {
  const ready = new Promise<void>((resolve) => filterStarted = resolve);
  scope.postMessage({ filter });
  return { ready, terminate(): void {} };
}

async function reply({ name, args, control }: TaskRequest): Promise<TaskReply> {
  try {
    return { result: await runTask(name, args, new SharedControl(control), askForFilter) };
  } catch (error) {
    return { error: sendable(asStorageError(error, `Cannot ${name} the layer's files`)) };
  }
}

if (scope.name === TASK_WORKER) {
  scope.onmessage = ({ data }): void => {
    if ("filterStarted" in data) filterStarted();
    else void reply(data).then((message) => scope.postMessage(message));
  };
}
