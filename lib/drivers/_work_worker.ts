// SPDX-License-Identifier: Apache-2.0

/**
 * The Worker in which tasks run. Imported as an ordinary module it does nothing but hand over what runs them.
 *
 * @module
 */

import type { HelperRequest, RunningHelper } from "../archive/helper_thread.ts";
import { asStorageError } from "../errors.ts";
import { SharedControl } from "../util/work_control.ts";
import { runTask, type TaskName } from "./_work.ts";
import {
  type HelperAsked,
  type HelperStarted,
  sendable,
  TASK_WORKER,
  type TaskReply,
  type TaskRequest,
} from "./_work_message.ts";

export { runTask };

interface WorkerScope {
  name?: string;
  onmessage?: (event: MessageEvent<TaskRequest | HelperStarted>) => void;
  postMessage(message: TaskReply | HelperAsked): void;
}

/** What a task does to a layer's files, for the message of a failure that says no more. */
const VERBS: Readonly<Record<TaskName, string>> = {
  unpack: "unpack",
  pack: "pack",
  changes: "compare",
  packChanges: "pack",
  compare: "compare",
  changedSize: "measure",
  shiftOwners: "change the owners of",
  usage: "measure",
  size: "measure",
  copy: "copy",
  manifest: "read",
  verify: "verify",
  findWhiteouts: "read",
  sync: "write out",
  remove: "remove",
};

const scope = globalThis as unknown as WorkerScope;
const started: (() => void)[] = [];

/** Has the owner of this Worker start a thread, and end it with the task. */
function askForHelper(helper: HelperRequest): RunningHelper {
  const number = started.length;
  const ready = new Promise<void>((resolve) => started.push(resolve));
  scope.postMessage({ helper, number });
  return { ready, terminate(): void {} };
}

async function reply({ name, args, control }: TaskRequest): Promise<TaskReply> {
  started.length = 0;
  try {
    return { result: await runTask(name, args, new SharedControl(control), askForHelper) };
  } catch (error) {
    return { error: sendable(asStorageError(error, `Cannot ${VERBS[name]} the layer's files`)) };
  }
}

if (scope.name === TASK_WORKER) {
  scope.onmessage = ({ data }): void => {
    if ("helperStarted" in data) started[data.helperStarted]?.();
    else void reply(data).then((message) => scope.postMessage(message));
  };
}
