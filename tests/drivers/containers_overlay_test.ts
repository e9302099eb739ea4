// SPDX-License-Identifier: Apache-2.0

import { driverSuite } from "./driver_suite.ts";

const driver = "containers-overlay";
const templates = "parents";
driverSuite("containers-overlay in Workers", { driver, work: "worker" }, { templates });
driverSuite("containers-overlay in place, by mount(2)", { driver, work: "in-place", mountApi: "classic" }, {
  templates,
});
driverSuite("containers-overlay on an image store", { driver, work: "in-place" }, {
  templates,
  baseInImageStore: true,
});
driverSuite(
  "containers-overlay with force_mask",
  { driver, work: "in-place", options: ["force_mask=shared"] },
  { templates, imagesOnly: true },
);
driverSuite(
  "containers-overlay with redirect_dir and metacopy",
  { driver, work: "in-place", options: ["mountopt=redirect_dir=on,metacopy=on"] },
  { templates, views: false },
);
driverSuite(
  "containers-overlay in place, with options of mounts",
  { driver, work: "in-place", options: ["overlay.mountopt=nodev,metacopy=off"] },
  { templates, views: false },
);
