// SPDX-License-Identifier: Apache-2.0

/**
 * Where tasks run: in a Worker, so that the caller's event loop goes on; or in place, for a command that has nothing
 * else to do.
 *
 * @module
 */

import type { HelperPool, RunningHelper, StartHelper } from "../archive/helper_thread.ts";
import { StorageError } from "../errors.ts";
import { DirectControl, SharedControl } from "../util/work_control.ts";
import { removeIfSmall } from "./_short_work.ts";
import type { TaskName, Tasks } from "./_work.ts";
import {
  type HelperAsked,
  type HelperStarted,
  received,
  TASK_WORKER,
  type TaskReply,
  type TaskRequest,
} from "./_work_message.ts";
import type { WorkOptions } from "./driver.ts";

/** Runs tasks until it is disposed. */
export interface WorkRunner extends Disposable {
  run<N extends TaskName>(name: N, args: Tasks[N]["args"], options?: WorkOptions): Promise<Tasks[N]["result"]>;
}

/** Runs each task on the caller's thread. */
export class InPlaceRunner implements WorkRunner {
  #tasks: typeof import("./_work_worker.ts") | undefined;

  async run<N extends TaskName>(
    name: N,
    args: Tasks[N]["args"],
    options: WorkOptions = {},
  ): Promise<Tasks[N]["result"]> {
    // From the module of the Worker: a compiled program holds only what something imports.
    this.#tasks ??= await import("./_work_worker.ts");
    return await this.#tasks.runTask(name, args, new DirectControl(options.signal, options.onProgress));
  }

  [Symbol.dispose](): void {}
}

/** How long a Worker without work is kept: starting one takes 10 to 25 ms, and a Worker keeps its process alive. */
const IDLE_MS = 300;
const REPORT_INTERVAL_MS = 100;

/** A Worker that waits for its next task. */
interface IdleWorker {
  worker: Worker;
  timer: ReturnType<typeof setTimeout>;
}

/**
 * Runs each task in a Worker of its own, unless it is over before one could answer. There is no limit on how many run at
 * once: a `diff` that an `applyDiff` reads takes two, and any limit could leave only such halves running, each waiting for a
 * half that waits for its turn.
 */
export class WorkerRunner implements WorkRunner {
  readonly #idle: IdleWorker[] = [];
  #helpers: HelperPool | undefined;
  #isDisposed = false;

  async run<N extends TaskName>(
    name: N,
    args: Tasks[N]["args"],
    options: WorkOptions = {},
  ): Promise<Tasks[N]["result"]> {
    if (options.signal?.aborted) throw new StorageError("aborted", "The operation was aborted");
    if (name === "remove" && removeIfSmall(args as Tasks["remove"]["args"])) return undefined as Tasks[N]["result"];
    const helpers = await this.#helperPool();
    const control = new SharedControl();
    using _watch = watch(control, options);
    const worker = this.#takeWorker();
    const reply = await exchange(worker, { name, args, control: control.memory }, helpers.start);
    this.#giveBack(worker);
    if ("error" in reply) throw received(reply.error);
    return reply.result as Tasks[N]["result"];
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#helpers?.[Symbol.dispose]();
    for (const { worker, timer } of this.#idle.splice(0)) {
      clearTimeout(timer);
      worker.terminate();
    }
  }

  async #helperPool(): Promise<HelperPool> {
    if (this.#helpers !== undefined) return this.#helpers;
    const { HelperPool } = await import("../archive/helper_thread.ts");
    return this.#helpers ??= new HelperPool(IDLE_MS);
  }

  #takeWorker(): Worker {
    const idle = this.#idle.pop();
    if (idle === undefined) {
      return new Worker(new URL("./_work_worker.ts", import.meta.url), { type: "module", name: TASK_WORKER });
    }
    clearTimeout(idle.timer);
    return idle.worker;
  }

  #giveBack(worker: Worker): void {
    if (this.#isDisposed) return worker.terminate();
    const timer = setTimeout(() => {
      const at = this.#idle.findIndex((idle) => idle.worker === worker);
      if (at === -1) return;
      this.#idle.splice(at, 1);
      worker.terminate();
    }, IDLE_MS);
    this.#idle.push({ worker, timer });
  }
}

/** Sends a task and waits for its end; meanwhile starts the threads that it asks for. */
function exchange(worker: Worker, request: TaskRequest, start: StartHelper): Promise<TaskReply> {
  return new Promise<TaskReply>((resolve, reject) => {
    const helpers: RunningHelper[] = [];
    worker.onmessage = ({ data }: MessageEvent<TaskReply | HelperAsked>): void => {
      if ("helper" in data) {
        // Deno 2.9 takes a second to start a Worker from a Worker; from here it takes 15 ms.
        const helper = start(data.helper);
        helpers.push(helper);
        helper.ready.then(() => worker.postMessage({ helperStarted: data.number } satisfies HelperStarted), reject);
        return;
      }
      for (const helper of helpers) helper.terminate();
      resolve(data);
    };
    worker.onerror = (event: ErrorEvent): void => {
      event.preventDefault();
      reject(new StorageError("system_error", `Cannot run a Worker: ${event.message}`));
    };
    worker.postMessage(request);
  });
}

/** Passes the caller's signal on to the Worker, and the Worker's progress to the caller. */
function watch(control: SharedControl, { signal, onProgress }: WorkOptions): Disposable {
  const abort = (): void => control.abort();
  signal?.addEventListener("abort", abort, { once: true });
  const timer = onProgress && setInterval(() => onProgress(control.progress), REPORT_INTERVAL_MS);
  return {
    [Symbol.dispose](): void {
      signal?.removeEventListener("abort", abort);
      clearInterval(timer);
    },
  };
}
