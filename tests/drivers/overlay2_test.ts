// SPDX-License-Identifier: Apache-2.0

import { driverSuite } from "./driver_suite.ts";

driverSuite("overlay2 in Workers", { driver: "overlay2", work: "worker" });
driverSuite("overlay2 in place, by mount(2)", { driver: "overlay2", work: "in-place", mountApi: "classic" });
driverSuite("overlay2 with redirect_dir and metacopy", {
  driver: "overlay2",
  work: "worker",
  options: ["overlay2.mountopt=redirect_dir=on,metacopy=on"],
});
driverSuite("overlay2 in place, by fsopen(2)", { driver: "overlay2", work: "in-place", mountApi: "new" });
