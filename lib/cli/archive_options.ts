// SPDX-License-Identifier: Apache-2.0

/**
 * The options of `lamina apply`, `import` and `diff` that say what is taken from an archive, or put into one.
 *
 * @module
 */

import type { ApplyOptions, XattrNamespace } from "../drivers/driver.ts";
import { parseSize } from "../units.ts";
import type { CommandName } from "./usage.ts";
import { UsageError } from "./usage_error.ts";

const NAMESPACES: readonly XattrNamespace[] = ["user", "trusted", "security", "system"];
const POLICIES = ["require", "best-effort", "drop"] as const;
const LIMITS = ["entries", "bytes", "sizeBytes", "pathLength", "depth", "xattrBytes"] as const;

/** Reads `--xattrs NAMESPACE=POLICY`; the last one of a namespace holds. */
export function readXattrPolicies(values: readonly string[]): NonNullable<ApplyOptions["xattrs"]> {
  return Object.fromEntries(values.map((value) => {
    const [name, policy] = halves(value, "xattrs", "apply");
    return [oneOf(name, NAMESPACES, "xattrs"), oneOf(policy, POLICIES, "xattrs")];
  }));
}

/** Reads `--xattrs NAMESPACE,NAMESPACE`; undefined stands for all. */
export function readXattrNamespaces(value: string | undefined): readonly XattrNamespace[] | undefined {
  return value?.split(",").map((name) => oneOf(name, NAMESPACES, "xattrs", "diff"));
}

/** Reads `--limit NAME=NUMBER`, where the number may have a unit: `bytes=10G`. */
export function readLimits(values: readonly string[], command: CommandName): NonNullable<ApplyOptions["limits"]> {
  return Object.fromEntries(values.map((value) => {
    const [name, number] = halves(value, "limit", command);
    return [oneOf(name, LIMITS, "limit", command), parseSize(number)];
  }));
}

function halves(value: string, option: string, command: CommandName): [string, string] {
  const at = value.indexOf("=");
  if (at > 0) return [value.slice(0, at), value.slice(at + 1)];
  throw new UsageError(`--${option} needs NAME=VALUE, not ${JSON.stringify(value)}`, { command });
}

function oneOf<T extends string>(
  word: string,
  choices: readonly T[],
  option: string,
  command: CommandName = "apply",
): T {
  const choice = choices.find((one) => one === word);
  if (choice !== undefined) return choice;
  throw new UsageError(`--${option} knows ${choices.join(", ")}, not ${JSON.stringify(word)}`, { command });
}
