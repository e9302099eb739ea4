// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina info`: about the driver and what it stands on.
 *
 * @module
 */

import { VERSION } from "../../version.ts";
import type { Context } from "../context.ts";

/** Tells which driver it is, where it lives, and what it found out. */
export async function info({ output, openDriver }: Context): Promise<void> {
  const driver = await openDriver();
  const status = await driver.status();
  if (output.json) {
    output.printJson({
      version: VERSION,
      driver: driver.name,
      home: driver.home,
      status: status.map(([name, value]) => ({ name, value })),
    });
    return;
  }
  output.printLines([
    `Driver: ${driver.name}`,
    `Home: ${driver.home}`,
    ...status.map(([name, value]) => `${name}: ${value}`),
  ]);
}
