// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina check`: what is wrong with the store, and with `--repair` what was done about it.
 *
 * @module
 */

import type { Finding } from "../../drivers/driver.ts";
import { formatSize } from "../../units.ts";
import type { CommandOf } from "../command.ts";
import type { Context } from "../context.ts";
import { EXIT, type ExitNumber } from "../exit_code.ts";

/** Prints a line a finding; ends with 0 where nothing is wrong, or all was repaired. */
export async function check(
  { repair, deep }: CommandOf<"check">,
  { output, openDriver, settings }: Context,
): Promise<ExitNumber> {
  const driver = await openDriver();
  const { dockerRoot } = settings;
  const options = { repair, deep, ...(dockerRoot === undefined ? {} : { dockerRoot }) };
  const findings: Finding[] = [];
  for await (const finding of driver.check(options)) {
    findings.push(finding);
    if (!output.json) output.printLines([findingLine(finding)]);
  }
  if (output.json) output.printJson(findings);
  output.note(summary(findings, repair));
  return findings.some(isWrong) ? EXIT.damaged : EXIT.ok;
}

function isWrong({ kind, repaired }: Finding): boolean {
  return kind === "damage" && !repaired;
}

/** `CODE: PATH is wrong: what is done about it`. */
export function findingLine(finding: Finding): string {
  const { code, path, problem, action, repaired, failure, sizeBytes } = finding;
  const size = sizeBytes === undefined ? "" : ` (${formatSize(sizeBytes)})`;
  const outcome = repaired ? `repaired: ${action}` : failure === undefined ? action : `not repaired: ${failure}`;
  return `${code}: ${path} ${problem}${size}: ${outcome}`;
}

/** What was found, in one line. */
export function summary(findings: readonly Finding[], repair: boolean): string {
  const damage = findings.filter(({ kind }) => kind === "damage");
  const repaired = damage.filter((finding) => finding.repaired).length;
  const repairable = damage.filter((finding) => finding.repairable).length;
  const notes = findings.length - damage.length;
  const unreferenced = findings.filter(({ code }) => code === "layer_unreferenced");
  const held = unreferenced.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0);
  const wrong = damage.length === 0
    ? "nothing is wrong"
    : repair
    ? `${damage.length} wrong, ${repaired} repaired`
    : `${damage.length} wrong, ${repairable} of them can be repaired (--repair)`;
  const noted = notes === 0 ? "" : `; ${notes} to know of`;
  const orphans = unreferenced.length === 0
    ? ""
    : `; ${unreferenced.length} that nobody refers to hold ${formatSize(held)}`;
  return `${wrong}${noted}${orphans}`;
}
