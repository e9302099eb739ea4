// SPDX-License-Identifier: Apache-2.0

/** What every driver must do, done by one that lives in an agent. */

import { driverSuite } from "../drivers/driver_suite.ts";
import { workSuite } from "../drivers/work_suite.ts";
import { openServedDriver } from "./_served_driver.ts";

const options = { driver: "overlay2" } as const;
driverSuite("overlay2 in an agent", options, { templates: "copied", views: true, open: openServedDriver });
workSuite("overlay2 in an agent", options, openServedDriver);
