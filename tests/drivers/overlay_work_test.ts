// SPDX-License-Identifier: Apache-2.0

import { workSuite } from "./work_suite.ts";

workSuite("overlay in Workers", { driver: "overlay", work: "worker" });
workSuite("overlay in place", { driver: "overlay", work: "in-place" });
