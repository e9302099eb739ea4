// SPDX-License-Identifier: Apache-2.0

/**
 * Long work that somebody asked for. Who gives it a name can ask how far it is, end it, and read what came of it: what an
 * archive held, or why it broke off in the middle.
 *
 * @module
 */

import type { Progress, WorkOptions } from "../drivers/driver.ts";
import { JoinedSignal } from "../util/joined_signal.ts";
import { failureOf, RequestError } from "./protocol.ts";
import type { WorkQueue } from "./work_queue.ts";

/** What it is, in the words of the command line. */
export type JobKind = "apply" | "changes" | "diff" | "check" | "remap" | "size" | "usage" | "verify";

/** How far it is. */
export type JobState = "queued" | "running" | "done" | "failed";

/** A job as the API tells it. */
export interface JobReport extends Progress {
  name: string;
  kind: JobKind;
  /** The layer. */
  id: string;
  state: JobState;
  /** What the work answered, once it is done. */
  result?: unknown;
  /** Why it failed. */
  error?: { code: string; message: string; hint?: string };
}

/** How many that are over are remembered. */
const MOST_REMEMBERED = 256;

const JOB_NAME_REGEXP = /^[A-Za-z0-9][A-Za-z0-9_.-]{7,63}$/;

/** One of them. */
export class Job {
  readonly #abort = new AbortController();
  readonly #over = Promise.withResolvers<void>();
  readonly #report: JobReport;
  readonly #ends: JoinedSignal;

  constructor(name: string, kind: JobKind, id: string, signals: readonly AbortSignal[]) {
    this.#ends = new JoinedSignal(this.#abort.signal, ...signals);
    this.#report = { name, kind, id, state: "queued", entries: 0, bytes: 0 };
  }

  /** Ends it: the client's, the agent's, or that somebody cancelled it. */
  get signal(): AbortSignal {
    return this.#ends.signal;
  }

  /** How far it is. */
  get report(): JobReport {
    return { ...this.#report };
  }

  /** Whether it is over. */
  get isOver(): boolean {
    return this.#report.state === "done" || this.#report.state === "failed";
  }

  /** Does the work, from taking its turn to its end; `work` says what it is for who looks at it later. */
  async run<T>(queue: WorkQueue, work: (options: Required<WorkOptions>) => Promise<T>): Promise<T> {
    using _turn = await queue.enter(this.signal);
    this.#report.state = "running";
    const onProgress = ({ entries, bytes }: Progress): void => {
      this.#report.entries = entries;
      this.#report.bytes = bytes;
    };
    return await work({ signal: this.signal, onProgress });
  }

  /** Notes what came of it, and passes it on. */
  async conclude<T>(outcome: Promise<T>): Promise<T> {
    try {
      const result = await outcome;
      this.#report.state = "done";
      this.#report.result = result;
      return result;
    } catch (error) {
      const { code, message, hint } = failureOf(error, `Cannot carry out ${this.#report.kind}`);
      this.#report.state = "failed";
      this.#report.error = { code, message, ...(hint === undefined ? {} : { hint }) };
      throw error;
    } finally {
      this.#ends[Symbol.dispose]();
      this.#over.resolve();
    }
  }

  /** Ends it, and waits until it has cleared away what it made. */
  async cancel(): Promise<void> {
    this.#abort.abort();
    await this.#over.promise;
  }
}

/** The named jobs of a store, of which the last ones are remembered. */
export class Jobs {
  readonly #byName = new Map<string, Job>();

  /**
   * Notes a job; one without a name is nobody's to ask for.
   *
   * @throws {RequestError} `malformed_request`: a name that can be none; `job_exists`.
   */
  begin(name: string | null, kind: JobKind, id: string, signals: readonly AbortSignal[]): Job {
    if (name === null) return new Job("", kind, id, signals);
    if (!JOB_NAME_REGEXP.test(name)) {
      throw new RequestError(
        "malformed_request",
        "A job's name has 8 to 64 letters, digits, '_', '.' and '-', the first one a letter or digit",
      );
    }
    if (this.#byName.has(name)) throw new RequestError("job_exists", `There is a job ${name} already`);
    const job = new Job(name, kind, id, signals);
    this.#byName.set(name, job);
    this.#forgetOldest();
    return job;
  }

  #forgetOldest(): void {
    for (const [name, job] of this.#byName) {
      if (this.#byName.size <= MOST_REMEMBERED) return;
      if (job.isOver) this.#byName.delete(name);
    }
  }

  /** @throws {RequestError} `job_not_found`. */
  get(name: string): Job {
    const job = this.#byName.get(name);
    if (job === undefined) throw new RequestError("job_not_found", `There is no job ${JSON.stringify(name)}`);
    return job;
  }

  /** All that are at work or remembered, the oldest first. */
  reports(): JobReport[] {
    return [...this.#byName.values()].map(({ report }) => report);
  }
}
