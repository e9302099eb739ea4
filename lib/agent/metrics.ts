// SPDX-License-Identifier: Apache-2.0

/**
 * What was done, as numbers that Prometheus collects: its text format, version 0.0.4. A client library would bring its
 * own registry, process statistics and push gateway; three kinds of metric and their text are less than that.
 *
 * @module
 */

/** What tells the series of one metric apart. */
export type Labels = Readonly<Record<string, string>>;

/** A metric that can be written. */
interface Metric {
  lines(): Iterable<string>;
}

/** Bounds of durations in seconds: a mount takes half a millisecond, an image's layer minutes. */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** Something that only grows. */
export class Counter implements Metric {
  readonly #values = new Map<string, number>();

  constructor(readonly name: string, readonly help: string) {}

  /** Adds to one series. */
  add(labels: Labels, amount = 1): void {
    const series = seriesOf(labels);
    this.#values.set(series, (this.#values.get(series) ?? 0) + amount);
  }

  *lines(): Iterable<string> {
    yield* headOf(this.name, this.help, "counter");
    for (const [series, value] of this.#values) yield `${this.name}${braced(series)} ${value}`;
  }
}

/** Durations, sorted into buckets. */
export class Histogram implements Metric {
  readonly #values = new Map<string, { counts: number[]; sum: number; count: number }>();

  constructor(readonly name: string, readonly help: string, readonly bounds: readonly number[] = SECONDS) {}

  /** Counts one. */
  observe(labels: Labels, value: number): void {
    const series = seriesOf(labels);
    let values = this.#values.get(series);
    if (values === undefined) {
      values = { counts: this.bounds.map(() => 0), sum: 0, count: 0 };
      this.#values.set(series, values);
    }
    const bucket = this.bounds.findIndex((bound) => value <= bound);
    if (bucket !== -1) values.counts[bucket]!++;
    values.sum += value;
    values.count++;
  }

  *lines(): Iterable<string> {
    yield* headOf(this.name, this.help, "histogram");
    for (const [series, { counts, sum, count }] of this.#values) {
      const comma = series === "" ? "" : ",";
      let below = 0;
      for (const [i, bound] of this.bounds.entries()) {
        below += counts[i]!;
        yield `${this.name}_bucket{${series}${comma}le="${bound}"} ${below}`;
      }
      yield `${this.name}_bucket{${series}${comma}le="+Inf"} ${count}`;
      yield `${this.name}_sum${braced(series)} ${sum}`;
      yield `${this.name}_count${braced(series)} ${count}`;
    }
  }
}

/** Numbers that are as they are at the moment. */
export class Gauge implements Metric {
  readonly #values: readonly (readonly [Labels, number])[];

  constructor(readonly name: string, readonly help: string, values: readonly (readonly [Labels, number])[]) {
    this.#values = values;
  }

  *lines(): Iterable<string> {
    yield* headOf(this.name, this.help, "gauge");
    for (const [labels, value] of this.#values) yield `${this.name}${braced(seriesOf(labels))} ${value}`;
  }
}

/** The text of metrics. */
export function metricsText(metrics: readonly Metric[]): string {
  return metrics.flatMap((metric) => [...metric.lines()]).join("\n") + "\n";
}

function headOf(name: string, help: string, type: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function braced(series: string): string {
  return series === "" ? "" : `{${series}}`;
}

function seriesOf(labels: Labels): string {
  return Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`).join(",");
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
