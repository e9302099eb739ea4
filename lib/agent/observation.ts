// SPDX-License-Identifier: Apache-2.0

/**
 * What the agent tells of itself: events while they happen, and numbers of what has happened. One for all faces.
 *
 * @module
 */

import type { GraphDriver } from "../drivers/driver.ts";
import { VERSION } from "../version.ts";
import { EventFeed } from "./events.ts";
import { Counter, Gauge, Histogram, metricsText } from "./metrics.ts";
import { ObservedDriver, type Operation } from "./observed_driver.ts";
import type { WorkQueues } from "./work_queue.ts";

/** Watches drivers. */
export class Observation {
  readonly events: EventFeed = new EventFeed();
  readonly #operations = new Counter("lamina_operations_total", "Operations by name, and how they ended.");
  readonly #errors = new Counter("lamina_errors_total", "Failed operations by code.");
  readonly #seconds = new Histogram("lamina_operation_seconds", "How long operations took.");
  readonly #bytes = new Counter("lamina_archive_bytes_total", "Bytes of archives taken in and given out.");
  readonly #homes = new Map<string, GraphDriver>();

  /** `driver`, watched from now on. */
  watched(driver: GraphDriver): GraphDriver {
    this.#homes.set(driver.home, driver);
    return new ObservedDriver(driver, (operation) => this.#note(operation));
  }

  #note(operation: Operation): void {
    const { name, seconds, bytes, code } = operation;
    this.#operations.add({ operation: name, outcome: code === undefined ? "ok" : "failed" });
    if (code !== undefined) this.#errors.add({ code });
    this.#seconds.observe({ operation: name }, seconds);
    if (bytes !== undefined) this.#bytes.add({ direction: name === "apply" ? "in" : "out" }, bytes);
    this.events.tell(operation);
  }

  /** All metrics, in Prometheus's text format. */
  async metrics({ diffs, others, removals }: WorkQueues): Promise<string> {
    const layers: [{ home: string }, number][] = [];
    const mounted: [{ home: string }, number][] = [];
    for (const [home, driver] of this.#homes) {
      const all = await Array.fromAsync(driver.layers());
      layers.push([{ home }, all.length]);
      mounted.push([{ home }, all.filter((layer) => layer.mounted).length]);
    }
    const queues = [["diff", diffs], ["other", others], ["remove", removals]] as const;
    return metricsText([
      new Gauge("lamina_info", "Which lamina this is.", [[{ version: VERSION }, 1]]),
      this.#operations,
      this.#errors,
      this.#seconds,
      this.#bytes,
      new Gauge("lamina_layers", "Layers, by the directory they lie in.", layers),
      new Gauge("lamina_mounted_layers", "Layers that are mounted.", mounted),
      new Gauge("lamina_jobs_running", "Long jobs at work.", queues.map(([kind, { running }]) => [{ kind }, running])),
      new Gauge("lamina_jobs_queued", "Long jobs that wait.", queues.map(([kind, { length }]) => [{ kind }, length])),
      new Gauge("lamina_event_listeners", "Who listens to events.", [[{}, this.events.listeners]]),
    ]);
  }
}
