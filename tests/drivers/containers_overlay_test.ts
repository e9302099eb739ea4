// SPDX-License-Identifier: Apache-2.0

import { driverSuite } from "./driver_suite.ts";

const driver = "containers-overlay";
const templates = "parents";
driverSuite("containers-overlay in Workers", { driver, work: "worker" }, { templates });
driverSuite("containers-overlay in place, by mount(2)", { driver, work: "in-place", mountApi: "classic" }, {
  templates,
});
driverSuite(
  "containers-overlay in place, with options of mounts",
  { driver, work: "in-place", options: ["overlay.mountopt=nodev,metacopy=off"] },
  { templates },
);
