// SPDX-License-Identifier: Apache-2.0

import { driverSuite } from "./driver_suite.ts";

const driver = "overlay2";
const templates = "copied";
driverSuite("overlay2 in Workers", { driver, work: "worker" }, { templates });
driverSuite("overlay2 in place, by mount(2)", { driver, work: "in-place", mountApi: "classic" }, { templates });
driverSuite("overlay2 in place, by fsopen(2)", { driver, work: "in-place", mountApi: "new" }, { templates });
const options = ["overlay2.mountopt=redirect_dir=on,metacopy=on"];
driverSuite("overlay2 with redirect_dir and metacopy", { driver, work: "worker", options }, { templates });
