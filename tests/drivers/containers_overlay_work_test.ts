// SPDX-License-Identifier: Apache-2.0

import { workSuite } from "./work_suite.ts";

workSuite("containers-overlay in Workers", { driver: "containers-overlay", work: "worker" });
workSuite("containers-overlay in place", { driver: "containers-overlay", work: "in-place" });
