// SPDX-License-Identifier: Apache-2.0

/**
 * What can be wrong in the home of any driver: things that are no layer's, work that was interrupted, and who may write.
 * What is wrong with the layers' own files the formats say; mounts are in _check_mounts.ts.
 *
 * @module
 */

import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, existsat } from "../../ffi/file.ts";
import { fchmodat } from "../../ffi/owner.ts";
import { geteuid } from "../../ffi/process.ts";
import { Stat, tryStatx } from "../../ffi/stat.ts";
import { isOverlayMounted, unmountLazily } from "../mount/unmount.ts";
import { bytesOfText, type ByteString, textOfBytes } from "../util/byte_string.ts";
import { isLocked, tryLockDirectory } from "../util/directory_lock.ts";
import type { DriverHome } from "./_driver_home.ts";
import type { HomeSurvey, SurveyedDirectory, SurveyedLayer } from "./_home_survey.ts";
import { isSettled, leftoversIn, unmountProbe } from "./_leftovers.ts";
import { LOST_FOUND, lostFoundFault, moveToLostFound } from "./_lost_found.ts";
import type { Problem } from "./_problem.ts";

/** What a format has beside its layers and their files. */
export interface HomeNames {
  /** In the home. */
  readonly home: ReadonlySet<string>;
  /** In a layer's directory: what an interrupted call leaves there, of the driver's own program or ours. */
  readonly leftInLayer: (name: ByteString, directory: SurveyedDirectory) => boolean;
  /** What says that a directory in the home is a layer of another driver. */
  readonly signsOfOthers: readonly string[];
}

const APPLYING = ".lamina-applying";
const OTHERS_WRITE = 0o022;
/** Files that are being replaced: by lamina, and by Docker and containers/storage. */
const REPLACING_REGEXP = /^\.(lamina-[A-Z2-7]{10}-|tmp-)/;
const OURS_REGEXP = /^\.lamina-/;
const MOVE = "move it to lost+found";

/** Finds what is wrong in `survey`, of `home`. */
export function checkHome<T>(home: DriverHome, survey: HomeSurvey<T>, names: HomeNames): Problem[] {
  const path = home.layout.home;
  const problems = [...checkDirectory(home, path, undefined, survey.home), ...checkLostFound(path, survey.home)];
  problems.push(...checkLeftovers(home));
  for (const [name, isDirectory] of survey.home.names) {
    const text = textOfBytes(name);
    if (names.home.has(name) || name === LOST_FOUND || isDirectory && survey.layers.has(name)) continue;
    if (OURS_REGEXP.test(name)) {
      if (!isDirectory && isOldFile(path, name)) {
        problems.push(moved(path, "", name, "left_over", "was being replaced"));
      }
      continue;
    }
    const foreign = isDirectory && names.signsOfOthers.some((sign) => existsat(AT_FDCWD, `${path}/${text}/${sign}`));
    problems.push(
      foreign
        ? {
          code: "other_driver",
          path: `${path}/${text}`,
          problem: "is a layer of another driver",
          action: "nothing: move it to a home of that driver",
        }
        : moved(path, "", name, "stray", "is no layer, and belongs to no driver"),
    );
  }
  for (const [id, layer] of survey.layers) {
    problems.push(...checkDirectory(home, `${path}/${id}`, id, layer.directory));
    problems.push(...checkInterrupted(home, id, layer, names));
  }
  return problems;
}

function checkLostFound(home: string, { names }: SurveyedDirectory): Problem[] {
  const fault = names.has(LOST_FOUND) ? lostFoundFault(home) : undefined;
  if (fault === undefined) return [];
  const action = "nothing, and nothing can be moved there: see what it is, and move it away";
  return [{ code: "lost_found_unsafe", path: `${home}/${LOST_FOUND}`, problem: fault, action }];
}

/** What moves `name` of the directory `parent` of the home to lost+found. */
export function moved(
  home: string,
  parent: string,
  name: ByteString,
  code: Problem["code"],
  problem: string,
  layer?: string,
): Problem {
  return {
    code,
    ...(layer === undefined ? {} : { layer }),
    path: [home, ...(parent === "" ? [] : [parent]), textOfBytes(name)].join("/"),
    problem,
    action: MOVE,
    repair(): boolean {
      moveToLostFound(home, parent, name);
      return true;
    },
  };
}

function checkLeftovers(home: DriverHome): Problem[] {
  const directory = home.layout.home;
  return leftoversIn(directory).map((name): Problem => {
    if (!name.startsWith(".lamina-remove-")) {
      const problem = name.includes("probe-")
        ? "was made to find out what the kernel can do"
        : "is a layer that was being made or changed";
      return {
        ...moved(directory, "", bytesOfText(name), "left_over", problem),
        repair(): boolean {
          if (!leftoversIn(directory).includes(name)) return false;
          unmountProbe(`${directory}/${name}`);
          moveToLostFound(directory, "", bytesOfText(name));
          return true;
        },
      };
    }
    return {
      code: "removal_begun",
      path: `${directory}/${name}`,
      problem: "is a layer that was being removed",
      action: "remove it",
      async repair(): Promise<boolean> {
        if (!leftoversIn(directory).includes(name)) return false;
        await home.runner.run("remove", { directory, name });
        return true;
      },
    };
  });
}

/** A file that was being replaced by a process that is no more: those that live take moments. */
function isOldFile(home: string, name: ByteString): boolean {
  return REPLACING_REGEXP.test(name) && isSettled(`${home}/${textOfBytes(name)}`);
}

/** Who may write to a directory of the store's, and whose it is. */
export function checkDirectory(
  home: DriverHome,
  path: string,
  layer: string | undefined,
  { mode, uid }: SurveyedDirectory,
): Problem[] {
  const common = { path, ...(layer === undefined ? {} : { layer }) };
  const problems: Problem[] = [];
  if ((mode & OTHERS_WRITE) !== 0) {
    const wanted = mode & ~OTHERS_WRITE;
    problems.push({
      ...common,
      code: "mode_unsafe",
      problem: `has the mode 0${mode.toString(8)}: others than its owner may write`,
      action: `give it 0${wanted.toString(8)}`,
      repair(): boolean {
        fchmodat(AT_FDCWD, path, wanted);
        return true;
      },
    });
  }
  if (![geteuid(), 0, home.owner().uid].includes(uid) && !isMapped(path, uid)) {
    const problem = `belongs to the user ${uid}`;
    problems.push({ ...common, code: "owner_wrong", problem, action: `nothing: if it is not meant so, chown ${path}` });
  }
  return problems;
}

/** Whether that is the root of the layer's own id map, whose content has the same owner. */
function isMapped(path: string, uid: number): boolean {
  const stat = new Stat();
  return ["diff", "root", "upper"].some((name) =>
    tryStatx(AT_FDCWD, `${path}/${name}`, AT_SYMLINK_NOFOLLOW, stat) === 0 && stat.isDirectory && stat.uid === uid
  );
}

/** Work on the layer that was interrupted. */
function checkInterrupted<T>(
  home: DriverHome,
  id: string,
  { directory }: SurveyedLayer<T>,
  names: HomeNames,
): Problem[] {
  const path = home.layout.home;
  const suspects = [...directory.names.keys()].filter((name) =>
    name === APPLYING || REPLACING_REGEXP.test(name) || names.leftInLayer(name, directory)
  );
  if (suspects.length === 0 || isBeingApplied(home, id)) return [];
  return suspects.map((name): Problem => {
    const isHalf = name === APPLYING && home.layout.isHalfApplied(id);
    const problem = isHalf ? "is an apply that was interrupted" : "was left by a call that was interrupted";
    return {
      ...moved(path, id, name, isHalf ? "half_applied" : "left_over", problem, id),
      ...(isHalf ? { action: `${MOVE}: the layer is as empty as before, and can be filled again` } : {}),
      repair: () => moveInterrupted(path, id, name),
    };
  });
}

/** Whether a living process is at the layer. Its lock is looked at with the layer locked, as all do that take it. */
function isBeingApplied(home: DriverHome, id: string): boolean {
  const path = `${home.layout.home}/${id}`;
  const lock = tryLockDirectory(path, "shared");
  if (lock === "busy") return true;
  using _lock = lock;
  return isLocked(`${path}/${APPLYING}`);
}

/** The layer is locked, so that no apply begins; one that began before has its own lock. */
function moveInterrupted(home: string, id: string, name: ByteString): boolean {
  const applying = `${home}/${id}/${APPLYING}`;
  if (isLocked(applying) || !existsat(AT_FDCWD, `${home}/${id}/${textOfBytes(name)}`)) return false;
  // Docker's legacy driver fills layers through a mount.
  if (isOverlayMounted(`${applying}/merged`)) unmountLazily(`${applying}/merged`);
  moveToLostFound(home, id, name);
  return true;
}
