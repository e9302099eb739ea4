// SPDX-License-Identifier: Apache-2.0

/**
 * All that can be wrong in a home whose layers have short names: in its names, in what lies below each layer, in the
 * directories of the layers, and in what any home has.
 *
 * @module
 */

import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import { checkDirectory, checkHome, type HomeNames } from "./_check_home.ts";
import { LowerPlanner } from "./_check_lowers.ts";
import { checkMounts } from "./_check_mounts.ts";
import { NamePlanner } from "./_check_names.ts";
import type { DriverHome, FoundInHome } from "./_driver_home.ts";
import { surveyDirectory, type SurveyedDirectory } from "./_home_survey.ts";
import { makeMarker } from "./_layer_aside.ts";
import type { LayerBooks } from "./_layer_books.ts";
import { COMMITTED, type LayerLayout, LINK_DIR } from "./_layer_layout.ts";
import { moveToLostFound } from "./_lost_found.ts";
import { makeOwnedDirectory, ourselves } from "./_owner.ts";
import type { Problem } from "./_problem.ts";
import { ShortNameRepair, type ShortNameSurvey, surveyShortNames } from "./_short_name_survey.ts";

/** What differs between the formats. */
export interface ShortNameRules {
  readonly names: HomeNames;
  readonly linkDirMode: number;
  readonly keepsMountPoints: boolean;
  /** Whether the layer of this directory, in which there is no `lower`, has parents all the same. */
  hasParents(id: string, directory: SurveyedDirectory, books: LayerBooks | undefined): boolean;
  /** Whether the layer needs a directory for the kernel's work. */
  needsWork(directory: SurveyedDirectory): boolean;
  /** Whether the short name is that of a layer of an image store. */
  isElsewhere(name: string): boolean;
  /** What else the format can find. */
  findMore(survey: ShortNameSurvey): Problem[];
}

const WORK_MODE = 0o700;

/** Looks at `home` once. */
export async function findShortNameProblems(
  home: DriverHome<LayerLayout>,
  rules: ShortNameRules,
  books: LayerBooks | undefined,
  signal: AbortSignal | undefined,
): Promise<FoundInHome> {
  const path = home.layout.home;
  const survey = await surveyShortNames(path, signal);
  const ids = [...survey.layers.keys()];
  const repair = new ShortNameRepair(path);
  const hasParents = (id: string): boolean => rules.hasParents(id, survey.layers.get(id)!.directory, books);
  const isElsewhere = (name: string): boolean => rules.isElsewhere(name);
  const names = new NamePlanner(survey, repair, (id) => home.layout.makeLink(id), hasParents, isElsewhere, books)
    .plan();
  const lowers = new LowerPlanner(survey, repair, names, hasParents, isElsewhere, books);
  const problems = [
    ...checkLinkDirectory(home, survey, rules.linkDirMode),
    ...names.problems,
    ...lowers.plan(),
    ...(home.marksCommitted ? checkMarks(home.layout, survey, lowers.parents()) : []),
    ...ids.flatMap((id) => checkLayer(home, id, survey.layers.get(id)!.directory, rules)),
    ...rules.findMore(survey),
    ...checkMounts(home, survey, rules.keepsMountPoints),
    ...checkHome(home, survey, rules.names),
  ];
  return { problems, ids };
}

function checkLinkDirectory(home: DriverHome<LayerLayout>, survey: ShortNameSurvey, mode: number): Problem[] {
  const path = `${home.layout.home}/${LINK_DIR}`;
  if (survey.names === undefined) {
    const isThere = survey.home.names.has(LINK_DIR);
    if (!isThere && survey.layers.size === 0) return [];
    return [{
      code: "names_missing",
      path,
      problem: isThere ? "is no directory" : "is missing",
      action: "make it; each layer's own file tells its short name",
      repair(): boolean {
        if (isThere) moveToLostFound(home.layout.home, "", LINK_DIR);
        makeOwnedDirectory(path, mode, ourselves());
        return true;
      },
    }];
  }
  using homeFd = new Fd(openat(AT_FDCWD, home.layout.home, O_RDONLY | O_DIRECTORY));
  const directory = surveyDirectory(homeFd.fd, LINK_DIR, (found) => found);
  return directory === undefined ? [] : checkDirectory(home, path, undefined, directory);
}

function checkLayer(
  home: DriverHome<LayerLayout>,
  id: string,
  { names }: SurveyedDirectory,
  rules: ShortNameRules,
): Problem[] {
  const { layout } = home;
  const problems: Problem[] = [];
  // A layer of an additional layer store has a link there.
  if (names.get("diff") !== true && !names.has("additionallayer")) {
    problems.push(contentMissing(id, layout.diffDir(id), names.has("diff")));
  }
  if (names.get("work") !== true && rules.needsWork({ names, uid: 0, mode: 0 })) {
    problems.push(workMissing(home, id, layout.workDir(id), names.has("work")));
  }
  return problems;
}

/** Parents that are not marked as such. */
function checkMarks(layout: LayerLayout, { layers }: ShortNameSurvey, parents: Map<string, string>): Problem[] {
  return [...parents].filter(([id]) => layers.get(id)?.directory.names.has(COMMITTED) === false).map((
    [id, child],
  ) => ({
    code: "parent_unmarked",
    layer: id,
    path: layout.dir(id),
    problem: `is the parent of ${child}, and has no file ${COMMITTED} that says so: a mount of it can be written in`,
    action: "make that file",
    repair: () => makeMarker(layout.committedFile(id)),
  }));
}

/** Of a layer whose content is not there. */
export function contentMissing(id: string, path: string, isThere: boolean): Problem {
  return {
    code: "content_missing",
    layer: id,
    path,
    problem: isThere ? "is no directory" : "is missing",
    action: `nothing: it was nowhere else; put it back, or remove the layer: lamina rm ${id}`,
  };
}

/** Of a layer without the directory that the kernel works in. */
export function workMissing(home: DriverHome, id: string, path: string, isThere: boolean): Problem {
  return {
    code: "work_missing",
    layer: id,
    path,
    problem: isThere ? "is no directory" : "is missing",
    action: "make it: the kernel keeps nothing there that would have to last",
    repair(): boolean {
      if (home.mountState(id) !== "none") return false;
      if (isThere) moveToLostFound(home.layout.home, id, "work");
      makeOwnedDirectory(path, WORK_MODE, home.owner());
      return true;
    },
  };
}
