// SPDX-License-Identifier: Apache-2.0

/** What rootless_test.ts runs in a user namespace with subordinate ids. */

import { ROOTLESS_ROWS } from "./_rootless_rows.ts";
import { driverSuite } from "./driver_suite.ts";

for (const { name, options, expectations } of ROOTLESS_ROWS) driverSuite(`rootless ${name}`, options, expectations);
