// SPDX-License-Identifier: Apache-2.0

/**
 * A home of containers/storage, which notes whether a mount program is needed for it: below one, a deleted name is a file
 * `.wh.NAME` that overlayfs would show, and show what was deleted as well.
 *
 * @module
 */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, existsat, Fd, O_DIRECTORY, O_RDONLY, openat } from "../../ffi/file.ts";
import { StorageError } from "../errors.ts";
import type { OverlayFeatures } from "../mount/overlay_features.ts";
import { replaceFile } from "../util/atomic_write.ts";
import type { ShortNameRules } from "./_check_short_names.ts";
import type { ContainersLayout } from "./_containers_layout.ts";
import type { ContentRules } from "./_content_rules.ts";
import type { HomeSettings } from "./_driver_home.ts";
import { containersBooks, type LayerBooks } from "./_layer_books.ts";
import type { LayerFormat } from "./_layer_format.ts";
import { LayerHome } from "./_layer_home.ts";
import { LINK_DIR } from "./_layer_layout.ts";
import type { Problem } from "./_problem.ts";
import type { ShortNameSurvey } from "./_short_name_survey.ts";
import { readLayerFile, readStoreFile } from "./_store_file.ts";

/** `true` or `false`, for the programs of containers/storage as much as for us. */
const FLAG = ".has-mount-program";
const FLAG_MODE = 0o600;
/** What containers/storage has in a home beside the layers, and Docker has not. */
const OWN_NAMES: readonly string[] = ["staging", "tempdirs", FLAG];
/** What containers/storage has for a moment when it unmounts. */
const NEXT_MOUNT_POINT = "merged.1";

/** What the methods of `containers-overlay` share. */
export class ContainersHome extends LayerHome {
  readonly #layout: ContainersLayout;
  #isChecked = false;

  constructor(
    settings: HomeSettings,
    format: LayerFormat,
    layout: ContainersLayout,
    kernelOptions: readonly string[],
    rules: ContentRules,
  ) {
    super(settings, format, layout, kernelOptions, rules);
    this.#layout = layout;
  }

  /** Nothing on disk tells it but the children themselves. */
  override isCommitted(id: string): boolean {
    return this.#layout.storeOf(id) !== undefined || this.findChildOf(id) !== undefined;
  }

  override get deletesByName(): boolean {
    return needsProgram(this.layout.home);
  }

  override get ownBooks(): LayerBooks | undefined {
    return containersBooks(this.layout.home, this.logger);
  }

  protected override get checkRules(): ShortNameRules {
    const { names, ...rules } = super.checkRules;
    const { stores } = this.#layout;
    return {
      ...rules,
      names: {
        ...names,
        home: new Set([...names.home, ...OWN_NAMES]),
        leftInLayer: (name, directory) => name === NEXT_MOUNT_POINT || names.leftInLayer(name, directory),
      },
      keepsMountPoints: true,
      hasParents(id, { names }, books): boolean {
        const parent = books?.parentOf(id);
        return parent === undefined ? !names.has("empty") : parent !== null;
      },
      needsWork: () => true,
      isElsewhere: (name) => stores.some((store) => existsat(AT_FDCWD, `${store}/${LINK_DIR}/${name}`)),
      findMore: (survey) => findInContainers(this.layout.home, survey),
    };
  }

  override prepare(): OverlayFeatures {
    const features = super.prepare();
    if (features.whiteouts === "files") noteProgram(this.layout.home);
    return features;
  }

  /** @throws {StorageError} Also `not_supported`: the layers need a mount program, and there is none. */
  override get features(): OverlayFeatures {
    const features = super.features;
    if (features.whiteouts === "devices" && !this.#isChecked) {
      for (const home of [this.#layout.home, ...this.#layout.stores]) requireNoProgram(home);
      this.#isChecked = true;
    }
    return features;
  }
}

/** What only this format can have wrong. */
function findInContainers(home: string, survey: ShortNameSurvey): Problem[] {
  const problems: Problem[] = [];
  using homeFd = new Fd(openat(AT_FDCWD, home, O_RDONLY | O_DIRECTORY));
  const { text, fault } = readStoreFile(homeFd.fd, FLAG);
  if (survey.home.names.has(FLAG) && !["true", "false"].includes(text?.trim() ?? "")) {
    problems.push({
      code: "flag_unsafe",
      path: `${home}/${FLAG}`,
      problem: fault ?? "says neither true nor false",
      action: "nothing: write true into it if layers have files named .wh.…, else false",
    });
  }
  for (const [id, { directory }] of survey.layers) {
    const older = [...directory.names.keys()].flatMap((name) => /^diff([1-9]\d*)$/.exec(name)?.[1] ?? []).map(Number);
    const gap = older.findIndex((_, i) => !older.includes(i + 1)) + 1;
    if (gap === 0) continue;
    problems.push({
      code: "older_content_gap",
      layer: id,
      path: `${home}/${id}/diff${gap}`,
      problem: "is missing, and older content behind it is not seen",
      action: "nothing: put it back, or call what lies behind it by the numbers before",
    });
  }
  return problems;
}

function needsProgram(home: string): boolean {
  return readLayerFile(`${home}/${FLAG}`)?.trim() === "true";
}

function noteProgram(home: string): void {
  if (needsProgram(home)) return;
  try {
    replaceFile(`${home}/${FLAG}`, "true", FLAG_MODE);
  } catch (error) {
    // Then no layer comes to it either.
    if (!isErrno(error, "EROFS")) throw error;
  }
}

function requireNoProgram(home: string): void {
  if (!needsProgram(home)) return;
  const flag = `${home}/${FLAG}`;
  throw new StorageError(
    "not_supported",
    `Cannot use the layers of ${home} without a mount program: ${flag} says that they need one`,
    {
      hint: "name it: --storage-opt mount_program=/usr/bin/fuse-overlayfs; " +
        `or, if no layer has files named .wh.…, remove ${flag}`,
    },
  );
}
