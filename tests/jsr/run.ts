// SPDX-License-Identifier: Apache-2.0

/**
 * `deno task test:jsr`: the tests of std_packages.ts, and those of the command line (which is what uses the standard library)
 * and of the archives, with the standard library's packages from JSR instead of their npm edition. Needs JSR, and root.
 *
 *     --import-map FILE   another map than import_map.json: of a checkout of the standard library, say
 *     PATH...             other tests than these
 *
 * Types are left to `deno task check`.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const MAP = here("import_map.json");
const SUITE = ["std_packages.ts", "../cli", "../archive"].map(here);

/** Why a module that the tests need cannot be had by the map; undefined if all can. */
async function missingModule(importMap: string): Promise<string | undefined> {
  const { imports } = JSON.parse(await Deno.readTextFile(MAP)) as { imports: Record<string, string> };
  const names = Object.keys(imports).filter((name) => name !== "lamina");
  const load = `for (const name of ${JSON.stringify(names)}) await import(name);`;
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-lock", "--import-map", importMap, load],
    env: { NO_COLOR: "1" },
  }).output();
  const said = new TextDecoder().decode(stderr);
  return success ? undefined : /^error: (.*)/m.exec(said)?.[1] ?? said;
}

/** Runs the tests; the number to end with. */
async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    options: { "import-map": { type: "string" } },
    allowPositionals: true,
  });
  const importMap = await Deno.realPath(values["import-map"] ?? MAP);
  const missing = await missingModule(importMap);
  if (missing !== undefined) {
    const hint = "where JSR cannot be reached, name the map of a checkout: --import-map FILE; or run deno task test";
    Deno.stderr.writeSync(new TextEncoder().encode(`test:jsr: nothing was tested: ${missing}\ntest:jsr: ${hint}\n`));
    return 1;
  }
  const flags = ["--no-lock", "--no-check", "--allow-all", "--preload", here("../_helpers/warm_libc.ts")];
  const tests = positionals.length > 0 ? positionals : SUITE;
  const command = new Deno.Command(Deno.execPath(), {
    args: ["test", ...flags, "--import-map", importMap, ...tests],
    // For the tests that start lamina.
    env: { LAMINA_IMPORT_MAP: importMap },
  });
  return (await command.spawn().status).code;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
