// SPDX-License-Identifier: Apache-2.0

/**
 * All that can be wrong in a home of Docker's legacy `overlay`. What lies where is in _legacy_layout.ts.
 *
 * @module
 */

import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import { isLayerId } from "../layer_id.ts";
import { replaceFile } from "../util/atomic_write.ts";
import { checkHome, type HomeNames, moved } from "./_check_home.ts";
import { checkMounts } from "./_check_mounts.ts";
import { contentMissing, workMissing } from "./_check_short_names.ts";
import type { DriverHome, FoundInHome } from "./_driver_home.ts";
import { type HomeSurvey, type SurveyedLayer, surveyHome } from "./_home_survey.ts";
import type { LayerBooks } from "./_layer_books.ts";
import type { LegacyLayout } from "./_legacy_layout.ts";
import { moveToLostFound } from "./_lost_found.ts";
import type { Problem } from "./_problem.ts";
import { isSameFile, MISSING, readStoreFile, type StoreFile } from "./_store_file.ts";
import type { FindingCode } from "./store_check.ts";

/** The files of a layer that tell where it stands. */
interface LegacyFiles {
  readonly lowerId: StoreFile;
  readonly parent: StoreFile;
}

type LegacySurvey = HomeSurvey<LegacyFiles>;

const LOWER_ID = "lower-id";
const PARENT = ".lamina-parent";
const LOWER_ID_MODE = 0o644;
/** What a layer has until an apply makes an image of it. */
const BEFORE_IMAGE: readonly string[] = ["upper", "work", "merged", LOWER_ID];

const NAMES: HomeNames = {
  home: new Set(),
  leftInLayer: (name, { names }) =>
    name === ".lamina-upper" || /^tmproot\d+$/.test(name) || names.get("root") === true && BEFORE_IMAGE.includes(name),
  signsOfOthers: ["diff", "link"],
};

/** Looks at `home` once. */
export async function findLegacyProblems(
  home: DriverHome<LegacyLayout>,
  books: LayerBooks | undefined,
  signal: AbortSignal | undefined,
): Promise<FoundInHome> {
  using homeFd = new Fd(openat(AT_FDCWD, home.layout.home, O_RDONLY | O_DIRECTORY));
  const survey = await surveyHome(homeFd.fd, ({ names }, fd) => {
    if (!["root", "upper", LOWER_ID].some((name) => names.has(name))) return undefined;
    return { lowerId: readStoreFile(fd, LOWER_ID), parent: readStoreFile(fd, PARENT) };
  }, signal);
  const problems = [
    ...[...survey.layers].flatMap(([id, layer]) => checkLayer(home, survey, id, layer, books)),
    ...checkMounts(home, survey, true),
    ...checkHome(home, survey, NAMES),
  ];
  return { problems, ids: [...survey.layers.keys()] };
}

function isImage(survey: LegacySurvey, id: string): boolean {
  return survey.layers.get(id)?.directory.names.get("root") === true;
}

function checkLayer(
  home: DriverHome<LegacyLayout>,
  survey: LegacySurvey,
  id: string,
  { directory, files }: SurveyedLayer<LegacyFiles>,
  books: LayerBooks | undefined,
): Problem[] {
  const problems = checkParent(home, id, files.parent);
  if (isImage(survey, id)) return problems;
  const { names } = directory;
  // Without any of these it was an image.
  if (names.get("upper") !== true) {
    problems.push(contentMissing(id, `${home.layout.dir(id)}/upper`, names.has("upper")));
  }
  if (names.get("work") !== true) problems.push(workMissing(home, id, home.layout.workDir(id), names.has("work")));
  return [...problems, ...checkLowerId(home, survey, id, files.lowerId, books)];
}

function checkParent({ layout }: DriverHome<LegacyLayout>, id: string, { text, fault }: StoreFile): Problem[] {
  if (fault === MISSING.fault || text !== undefined && isLayerId(text)) return [];
  const problem = fault ?? (text === "" ? "is empty" : "holds no layer's id");
  return [{
    ...moved(layout.home, id, PARENT, "parent_unsafe", problem, id),
    action: "move it to lost+found: the layer's parent is then the image below it, if it has one",
  }];
}

function checkLowerId(
  home: DriverHome<LegacyLayout>,
  survey: LegacySurvey,
  id: string,
  seen: StoreFile,
  books: LayerBooks | undefined,
): Problem[] {
  const fault = faultOf(survey, seen);
  if (fault === undefined) return [];
  const { layout } = home;
  const common = { ...fault, layer: id, path: layout.lowerIdFile(id) };
  const told = lowerIdElsewhere(survey, id, books);
  if (told === undefined || told.lowerId === seen.text) {
    const action = "nothing: nothing else tells which image lies below; write its id, or remove the layer";
    return [{ ...common, action }];
  }
  return [{
    ...common,
    action: `write ${told.lowerId} into it, from ${told.from}`,
    repair(): boolean {
      using layer = new Fd(openat(AT_FDCWD, layout.dir(id), O_RDONLY | O_DIRECTORY));
      if (!isSameFile(readStoreFile(layer.fd, LOWER_ID), seen)) return false;
      if (seen.fault !== MISSING.fault && seen.text !== "") moveToLostFound(layout.home, id, LOWER_ID);
      replaceFile(layout.lowerIdFile(id), told.lowerId, LOWER_ID_MODE);
      return true;
    },
  }];
}

function faultOf(survey: LegacySurvey, { text, fault }: StoreFile): { code: FindingCode; problem: string } | undefined {
  if (text === undefined) {
    return { code: fault === MISSING.fault ? "lower_missing" : "lower_unsafe", problem: fault };
  }
  if (text === "") return { code: "lower_empty", problem: "is empty" };
  if (!isLayerId(text)) return { code: "lower_unsafe", problem: "holds something else than a layer's id" };
  if (isImage(survey, text)) return undefined;
  return {
    code: "lower_gone",
    problem: `names ${text}, which is no image${survey.layers.has(text) ? "" : " that is there"}`,
  };
}

/** The image below the layer, by the parent that is noted elsewhere: that one itself, or what that one lies over. */
function lowerIdElsewhere(
  survey: LegacySurvey,
  id: string,
  books: LayerBooks | undefined,
): { lowerId: string; from: string } | undefined {
  const noted: [string | null | undefined, string][] = [
    [survey.layers.get(id)!.files.parent.text, PARENT],
    [books?.parentOf(id), books?.name ?? ""],
  ];
  for (const [parent, from] of noted) {
    if (typeof parent !== "string") continue;
    const lowerId = isImage(survey, parent) ? parent : survey.layers.get(parent)?.files.lowerId.text;
    if (lowerId !== undefined && isImage(survey, lowerId)) return { lowerId, from };
  }
  return undefined;
}
