// SPDX-License-Identifier: Apache-2.0

/**
 * `check` of a driver: looks, looks again, and repairs what it may. What is looked for is told in store_check.ts.
 *
 * @module
 */

import { dirname } from "node:path/posix";
import { AT_FDCWD, existsat } from "../../ffi/file.ts";
import { isDirectory } from "../../ffi/stat.ts";
import { asStorageError } from "../errors.ts";
import { lockDirectory } from "../util/directory_lock.ts";
import { checkContent } from "./_check_deep.ts";
import type { DriverHome, FoundInHome } from "./_driver_home.ts";
import { dockerBooks, type LayerBooks } from "./_layer_books.ts";
import { LINK_DIR } from "./_layer_layout.ts";
import { LOST_FOUND } from "./_lost_found.ts";
import { keyOf, type Problem } from "./_problem.ts";
import { hasLayers, OTHER_DRIVERS } from "./_store_signs.ts";
import { type CheckOptions, type Finding, FINDING_KINDS } from "./store_check.ts";
import type { WorkOptions } from "./work_options.ts";

/** What a repair brings to light is repaired as well: a layer without a name has to get one before others can name it. */
const MOST_ROUNDS = 4;

/** Finds what is wrong in `home`. */
export async function* checkStore(home: DriverHome, options: CheckOptions): AsyncGenerator<Finding> {
  const path = home.layout.home;
  if (!existsat(AT_FDCWD, `${path}/.`)) return;
  const { repair = false, signal } = options;
  const books = booksOf(home, options);
  const look = (): Promise<FoundInHome> => home.findProblems(books, signal);
  const changed = new Set<string>();
  let { problems, ids } = await lookTwice(look);
  for (let round = 1; repair && round < MOST_ROUNDS && problems.some((problem) => problem.repair); round++) {
    let count = 0;
    for (const problem of problems) {
      signal?.throwIfAborted();
      if (problem.repair === undefined) continue;
      const finding = await repaired(home, problem);
      if (finding?.repaired !== true) continue;
      count++;
      changed.add(dirname(problem.path));
      yield finding;
    }
    if (count === 0) break;
    ({ problems, ids } = await lookTwice(look));
  }
  for (const problem of problems) {
    const finding = repair && problem.repair !== undefined ? await repaired(home, problem) : findingOf(problem);
    if (finding?.repaired) changed.add(dirname(problem.path));
    if (finding !== undefined) yield finding;
  }
  if (changed.size > 0) await syncRepairs(home, changed);
  yield* otherDrivers(home).map(findingOf);
  const work = signal === undefined ? {} : { signal };
  for (const id of ids) {
    signal?.throwIfAborted();
    if (options.deep) yield* (await checkContent(home, id, work)).map(findingOf);
    if (books !== undefined && !books.knows(id)) yield await unreferenced(home, id, books, work);
  }
}

/** The names that repairs changed in `directories`; each may also have moved something, or given a layer a short name. */
async function syncRepairs(home: DriverHome, directories: ReadonlySet<string>): Promise<void> {
  const path = home.layout.home;
  const all = new Set([...directories, path, `${path}/${LINK_DIR}`, `${path}/${LOST_FOUND}`]);
  await home.sync.names(...[...all].filter((directory) => existsat(AT_FDCWD, `${directory}/.`)));
}

function booksOf(home: DriverHome, { dockerRoot }: CheckOptions): LayerBooks | undefined {
  return dockerRoot === undefined ? home.ownBooks : dockerBooks(dockerRoot, home.driver, home.logger);
}

/** What two looks agree on: between them a living process went on, and what it was at is no problem. */
async function lookTwice(look: () => Promise<FoundInHome>): Promise<FoundInHome> {
  const first = await look();
  if (first.problems.length === 0) return first;
  const seen = new Set(first.problems.map(keyOf));
  const { problems, ids } = await look();
  return { problems: problems.filter((problem) => seen.has(keyOf(problem))), ids };
}

/** The finding after an attempt to repair it; undefined where there was nothing to repair any more. */
async function repaired(home: DriverHome, problem: Problem): Promise<Finding | undefined> {
  const finding = findingOf(problem);
  try {
    const path = problem.layer === undefined ? undefined : `${home.layout.home}/${problem.layer}`;
    using lock = path === undefined ? undefined : await lockDirectory(path, "exclusive");
    if (path !== undefined && lock === undefined) return undefined;
    return await problem.repair!() ? { ...finding, repaired: true } : undefined;
  } catch (error) {
    return { ...finding, failure: asStorageError(error, `Cannot repair ${problem.path}`).message };
  }
}

function findingOf({ repair, ...problem }: Problem): Finding {
  return { ...problem, kind: FINDING_KINDS[problem.code], repairable: repair !== undefined, repaired: false };
}

/** Layers of other drivers beside the home. */
function otherDrivers({ layout, driver }: DriverHome): Problem[] {
  const slash = layout.home.lastIndexOf("/");
  const [root, own] = [layout.home.slice(0, slash), layout.home.slice(slash + 1)];
  const others = ["overlay2", ...OTHER_DRIVERS].filter((name) => name !== own && hasLayers(`${root}/${name}`));
  return others.map((name) => ({
    code: "other_driver",
    path: `${root}/${name}`,
    problem: `holds layers of the driver ${name}, beside those of ${driver}`,
    action: "nothing: give each a root of its own",
  }));
}

async function unreferenced(
  home: DriverHome,
  id: string,
  books: LayerBooks,
  work: WorkOptions,
): Promise<Finding> {
  const directory = home.layout.contentDir(id);
  const sizeBytes = isDirectory(directory) ? await home.runner.run("size", { directory }, work) : 0;
  const reservation = books.reservation === undefined ? "" : ` (${books.reservation})`;
  return findingOf({
    code: "layer_unreferenced",
    layer: id,
    path: home.layout.dir(id),
    problem: `is not in ${books.name}${reservation}`,
    action: `nothing: if nothing else needs it, lamina rm ${id}`,
    sizeBytes,
  });
}
