// SPDX-License-Identifier: Apache-2.0

import type { GraphDriver } from "../../lib/drivers/driver.ts";
import type { TempDir } from "../_helpers/temp_dir.ts";

/** A store for one test. */
export interface TestStore {
  driver: GraphDriver;
  directory: TempDir;
}
