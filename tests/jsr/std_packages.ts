// SPDX-License-Identifier: Apache-2.0

/**
 * The standard library's own packages beside lamina: its tar, and its logger. `deno task test:jsr` runs this, where JSR can
 * be reached; the name keeps it out of other runs.
 *
 * @module
 */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { openDriver } from "../../lib/drivers/registry.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import type * as StdLog from "./_std_log.d.ts";
import type * as StdTar from "./_std_tar.d.ts";

// Not written as imports: the check of all files would want to load them.
const [tarPackage, logPackage] = ["@std/tar", "@std/log"];
const { TarStream, UntarStream } = await import(tarPackage) as typeof StdTar;
const { BaseHandler, Logger } = await import(logPackage) as typeof StdLog;

const LONG_NAME = `etc/${"long-directory-name/".repeat(8)}file`;

Deno.test("@std/tar reads lamina's plain archives", async () => {
  await using directory = await TempDir.make();
  await using driver = await openDriver({ root: directory.join("root"), runRoot: directory.join("run") });
  await driver.create("base");
  const { upperDir } = await driver.getMetadata("base");
  await Deno.mkdir(`${upperDir}/${LONG_NAME}`.slice(0, -"/file".length), { recursive: true });
  await Deno.writeTextFile(`${upperDir}/${LONG_NAME}`, "long\n");
  await Deno.writeFile(`${upperDir}/etc/data`, new Uint8Array(100_000).fill(7), { mode: 0o640 });
  await Deno.symlink("data", `${upperDir}/etc/link`);

  const found: Record<string, string> = {};
  const archive = await driver.diff("base", { times: "seconds" });
  for await (const { path, header, readable } of archive.pipeThrough(new UntarStream()).values()) {
    const content = readable === undefined ? "" : new Uint8Array(await new Response(readable).arrayBuffer());
    if (header.typeflag === "5") continue;
    found[path] = `${header.typeflag} ${header.mode.toString(8)} ${content.length} ${header.linkname}`;
  }
  assertEquals(found, {
    [LONG_NAME]: "0 644 5 ",
    "etc/data": "0 640 100000 ",
    "etc/link": "2 777 0 data",
  });
});

Deno.test("lamina applies archives of @std/tar", async () => {
  await using directory = await TempDir.make();
  await using driver = await openDriver({ root: directory.join("root"), runRoot: directory.join("run") });
  await driver.create("base");
  const content = new Uint8Array(100_000).fill(7);
  const entries = ReadableStream.from<StdTar.TarStreamInput>([
    { type: "directory", path: "etc" },
    { type: "file", path: "etc/data", size: content.length, readable: new Blob([content]).stream() },
    { type: "file", path: LONG_NAME, size: 5, readable: new Blob(["long\n"]).stream(), options: { mode: 0o600 } },
  ]);
  await driver.applyDiff("base", entries.pipeThrough(new TarStream()));

  const { upperDir } = await driver.getMetadata("base");
  assertEquals(await Deno.readFile(`${upperDir}/etc/data`), content);
  assertEquals(await Deno.readTextFile(`${upperDir}/${LONG_NAME}`), "long\n");
  assertEquals((await Deno.stat(`${upperDir}/${LONG_NAME}`)).mode! & 0o777, 0o600);
});

Deno.test("a logger of @std/log is told what lamina has to tell", async () => {
  const lines: string[] = [];
  class Lines extends BaseHandler {
    override handle({ levelName, msg }: StdLog.LogRecord): void {
      lines.push(`${levelName} ${msg}`);
    }
  }
  const logger = new Logger("lamina", "DEBUG", { handlers: [new Lines("DEBUG")] });
  await using directory = await TempDir.make();
  await using driver = await openDriver({ root: directory.join("root"), runRoot: directory.join("run"), logger });
  await driver.create("base");
  await driver.create("child", { parent: "base" });
  await Deno.writeTextFile(`${driver.home}/child/lower`, "nonsense");
  await Array.fromAsync(driver.layers());
  assert(lines.some((line) => line.startsWith("WARN ") && line.includes("child/lower")), lines.join("\n"));
});
