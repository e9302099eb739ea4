// SPDX-License-Identifier: Apache-2.0

import { workSuite } from "./work_suite.ts";

workSuite("overlay2 in Workers", { driver: "overlay2", work: "worker" });
workSuite("overlay2 in place", { driver: "overlay2", work: "in-place" });
