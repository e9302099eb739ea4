// SPDX-License-Identifier: Apache-2.0

/**
 * The Worker in which tasks run. Imported as an ordinary module it does nothing.
 *
 * @module
 */

import { asStorageError } from "../errors.ts";
import { SharedControl } from "../util/work_control.ts";
import { runTask } from "./_work.ts";
import { sendable, TASK_WORKER, type TaskReply, type TaskRequest } from "./_work_message.ts";

interface WorkerScope {
  name?: string;
  onmessage?: (event: MessageEvent<TaskRequest>) => void;
  postMessage(reply: TaskReply): void;
}

async function reply({ name, args, control }: TaskRequest): Promise<TaskReply> {
  try {
    return { result: await runTask(name, args, new SharedControl(control)) };
  } catch (error) {
    return { error: sendable(asStorageError(error, `Cannot ${name} the layer's files`)) };
  }
}

const scope = globalThis as unknown as WorkerScope;
if (scope.name === TASK_WORKER) {
  scope.onmessage = (event): void => void reply(event.data).then((message) => scope.postMessage(message));
}
