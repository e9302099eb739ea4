// SPDX-License-Identifier: Apache-2.0

/**
 * The options of `lamina serve`.
 *
 * @module
 */

import { isLayerId } from "../layer_id.ts";
import { UsageError } from "./usage_error.ts";
import type { Words } from "./words.ts";

/** What is served, and how. */
export interface ServeOptions {
  /** As dockerd's `-s` has it; left out, there is none. */
  dockerPlugin: string | undefined;
  /** Where dockerd looks for its socket. */
  dockerPluginDir: string;
  /** Left out: as many as there are processors. */
  mostJobs: number | undefined;
  /** How long work may go on after SIGTERM. */
  graceMs: number;
}

const DOCKER_PLUGIN_DIR = "/run/docker/plugins";
const GRACE_SECONDS = 10;

/** @throws {UsageError} */
export function readServeOptions(words: Words): ServeOptions {
  const dockerPlugin = words.value("docker-plugin");
  if (dockerPlugin !== undefined && !isLayerId(dockerPlugin)) {
    throw new UsageError(`--docker-plugin does not take ${JSON.stringify(dockerPlugin)}`, {
      command: "serve",
      hint: "it takes letters, digits, '_', '.' and '-', the first one a letter or digit",
    });
  }
  return {
    dockerPlugin,
    dockerPluginDir: words.value("docker-plugin-dir") ?? DOCKER_PLUGIN_DIR,
    mostJobs: readCount(words, "jobs", 1),
    graceMs: (readCount(words, "grace", 0) ?? GRACE_SECONDS) * 1000,
  };
}

/** A whole number, at least `least`; undefined where there is none. */
function readCount(words: Words, name: "jobs" | "grace", least: number): number | undefined {
  const value = words.value(name);
  if (value === undefined) return undefined;
  if (/^\d{1,6}$/.test(value) && Number(value) >= least) return Number(value);
  throw new UsageError(`--${name} does not take ${JSON.stringify(value)}`, {
    command: "serve",
    hint: `it takes a whole number from ${least} to 999999`,
  });
}
