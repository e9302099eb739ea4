// SPDX-License-Identifier: Apache-2.0

import { assertEquals } from "@std/assert";
import { VERSION } from "../lib/version.ts";

Deno.test("VERSION is that of deno.json", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url))) as {
    version: string;
  };
  assertEquals(VERSION, version);
});
