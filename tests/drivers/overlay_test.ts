// SPDX-License-Identifier: Apache-2.0

import { driverSuite } from "./driver_suite.ts";

const driver = "overlay";
const templates = "copied";
driverSuite("overlay in Workers", { driver, work: "worker" }, { templates });
driverSuite("overlay in place, by mount(2)", { driver, work: "in-place", mountApi: "classic" }, { templates });
driverSuite("overlay in place, by fsopen(2)", { driver, work: "in-place", mountApi: "new" }, { templates });
