// SPDX-License-Identifier: Apache-2.0

/**
 * Short names that are missing, wrong or used twice. Each is written down three times: in the layer's `link`, in `l`, and
 * in the `lower` of the layers above. This decides which name each layer is to have, and what has to change for that.
 *
 * @module
 */

import { textOfBytes } from "../util/byte_string.ts";
import type { LayerBooks } from "./_layer_books.ts";
import { LINK_DIR, LINK_LENGTH } from "./_layer_layout.ts";
import type { Problem } from "./_problem.ts";
import { isShortName, type NameTarget, type ShortNameRepair, type ShortNameSurvey } from "./_short_name_survey.ts";
import type { FindingCode } from "./store_check.ts";

/** Whether a layer has parents that has no `lower` file, by what else there is of it. */
export type HasParents = (id: string) => boolean;

/** The names that layers have, or will have. */
export interface NamePlan {
  problems: Problem[];
  /** The short name of each layer whose name can be told. */
  nameOf: ReadonlyMap<string, string>;
  /** The layer of each short name. */
  idOf: ReadonlyMap<string, string>;
}

/** A layer's name is new where nobody can mean an old one, and unknown where somebody may. */
type Choice = { name: string; from: string } | "new" | "unknown";

/** Names and layers that nothing brings together, by what lies below. */
interface Unmatched {
  free: ReadonlyMap<string, string[]>;
  nameless: ReadonlyMap<string, string[]>;
}

/** What lies below is not known: no short name. */
const UNKNOWN = "?";

/** Decides on names. */
export class NamePlanner {
  readonly #problems: Problem[] = [];
  readonly #targets: ReadonlyMap<string, NameTarget>;
  /** Layers by the name that their link file holds. */
  readonly #claims = new Map<string, string[]>();
  /** Names by the layer that they lead to. */
  readonly #leading = new Map<string, string[]>();
  /** What lies below each name, by the layers above: undefined where they contradict each other. */
  readonly #tails = new Map<string, string | undefined>();
  readonly #nameOf = new Map<string, string>();
  #noted: ReadonlyMap<string, Choice> | undefined;
  #matching: Unmatched | undefined;

  /** @param isElsewhere Whether a short name is that of a layer in an image store. */
  constructor(
    readonly survey: ShortNameSurvey,
    readonly repair: ShortNameRepair,
    readonly makeNewName: (id: string) => string,
    readonly hasParents: HasParents,
    readonly isElsewhere: (name: string) => boolean,
    readonly books: LayerBooks | undefined,
  ) {
    this.#targets = survey.names ?? new Map();
    for (const [name, { id }] of this.#targets) {
      if (id !== undefined && survey.layers.has(id)) add(this.#leading, id, name);
    }
    for (const [id, { files }] of survey.layers) {
      if (files.link.text !== undefined && isShortName(files.link.text)) add(this.#claims, files.link.text, id);
      this.#noteTails(files.lower.text ?? "");
    }
  }

  #noteTails(lower: string): void {
    const names = namesOf(lower);
    names?.forEach((name, i) => {
      const tail = names.slice(i + 1).join(":");
      const known = this.#tails.get(name);
      this.#tails.set(name, !this.#tails.has(name) || known === tail ? tail : undefined);
    });
  }

  /** The plan. */
  plan(): NamePlan {
    for (const id of this.survey.layers.keys()) {
      const choice = this.#choose(id);
      if (typeof choice === "object") this.#nameOf.set(id, choice.name);
      this.#checkLink(id, choice);
      if (typeof choice === "object") this.#checkName(id, choice.name);
    }
    const chosen = new Set(this.#nameOf.values());
    for (const [name, target] of this.#targets) if (!chosen.has(name)) this.#checkRest(name, target);
    const idOf = new Map([...this.#nameOf].map(([id, name]) => [name, id]));
    for (const [id, names] of this.#leading) for (const name of names) if (!idOf.has(name)) idOf.set(name, id);
    return { problems: this.#problems, nameOf: this.#nameOf, idOf };
  }

  #isUsed(name: string): boolean {
    return this.#tails.has(name);
  }

  #choose(id: string): Choice {
    const link = this.survey.layers.get(id)!.files.link.text;
    const leading = this.#leading.get(id) ?? [];
    const others = leading.filter((name) => name !== link && !this.#isAnothers(name, id));
    const used = others.filter((name) => this.#isUsed(name));
    if (link !== undefined && isShortName(link) && this.#isOwner(id, link)) {
      // Who lies on the layer may know it by another name.
      return !this.#isUsed(link) && used.length === 1
        ? { name: used[0]!, from: "the lower files of the layers above it" }
        : { name: link, from: "" };
    }
    const name = used[0] ?? others[0];
    if (name !== undefined) return { name, from: `${LINK_DIR}/${name}, which leads to it` };
    if (link !== undefined && isShortName(link) && this.#isUsed(link) && !this.#leadsToLayer(link)) return "unknown";
    return this.#chooseFromAbove(id);
  }

  /** Whether the name in the link file of `id` is its own, and not that of another layer with the same one. */
  #isOwner(id: string, link: string): boolean {
    const target = this.#targets.get(link)?.id;
    if (target === id) return true;
    if (target !== undefined && this.survey.layers.has(target) && !this.#hasOtherName(target, link)) return false;
    const claims = this.#claims.get(link) ?? [];
    // Names that lead to it all the same can be left of an earlier layer of that id.
    if (claims.length === 1) return true;
    const rivals = claims.filter((other) => (this.#leading.get(other) ?? []).length === 0);
    // Where nobody means it, it does not matter who keeps it.
    return rivals.length === 1 ? rivals[0] === id : !this.#isUsed(link) && rivals[0] === id;
  }

  /** Whether the link file of another layer says that the name is its own. */
  #isAnothers(name: string, id: string): boolean {
    return (this.#claims.get(name) ?? []).some((other) => other !== id && this.#isOwner(other, name));
  }

  /** Whether link file and `l` agree on a name of the layer `id` that is not `name`. */
  #hasOtherName(id: string, name: string): boolean {
    const { text } = this.survey.layers.get(id)!.files.link;
    return text !== undefined && text !== name && this.#targets.get(text)?.id === id;
  }

  #leadsToLayer(name: string): boolean {
    const target = this.#targets.get(name)?.id;
    return target !== undefined && this.survey.layers.has(target);
  }

  /** Layers above may tell a name that nothing else does. */
  #chooseFromAbove(id: string): Choice {
    const noted = this.#notedAbove().get(id);
    if (noted !== undefined) return noted;
    const { free, nameless } = this.#unmatched();
    const below = this.#below(id);
    const fitting = below === undefined
      ? [...free].flatMap(([tail, names]) => tail === "" ? [] : names)
      : [...free.get(below) ?? [], ...free.get(UNKNOWN) ?? []];
    const [name] = fitting;
    if (name === undefined) return "new";
    const tail = this.#tails.get(name);
    if (tail === undefined) return "unknown";
    const rivals = [...nameless.get(tail) ?? [], ...tail === "" ? [] : nameless.get(UNKNOWN) ?? []];
    if (fitting.length > 1 || rivals.length > 1) return "unknown";
    return { name, from: "the lower files of the layers above it" };
  }

  /** By layer, the names that children have for it which are children by the books. */
  #notedAbove(): ReadonlyMap<string, Choice> {
    return this.#noted ??= new Map([...this.survey.layers].flatMap(([child, { files }]): [string, Choice][] => {
      const parent = this.books?.parentOf(child);
      const name = namesOf(files.lower.text ?? "")?.[0];
      if (typeof parent !== "string" || name === undefined || !this.#isFree(name)) return [];
      return [[parent, { name, from: `the lower file of ${child}` }]];
    }));
  }

  /** Names without a layer and layers without a name, each by what lies below. */
  #unmatched(): Unmatched {
    if (this.#matching !== undefined) return this.#matching;
    const free = new Map<string, string[]>();
    const nameless = new Map<string, string[]>();
    for (const [name, tail] of this.#tails) if (this.#isFree(name)) add(free, tail ?? UNKNOWN, name);
    for (const id of this.survey.layers.keys()) {
      if (this.#isNameless(id)) add(nameless, this.#below(id) ?? UNKNOWN, id);
    }
    return this.#matching = { free, nameless };
  }

  /** The short names below `id`, joined; undefined where that is not known. */
  #below(id: string): string | undefined {
    const { text, fault } = this.survey.layers.get(id)!.files.lower;
    if (fault === "is missing" && !this.hasParents(id)) return "";
    return text === undefined || text === "" ? undefined : namesOf(text)?.join(":");
  }

  /** Whether the name is in use, and nothing says whose it is. */
  #isFree(name: string): boolean {
    // The beginning of a name is what a torn file holds.
    const isWhole = name.length === LINK_LENGTH;
    return isWhole && this.#isUsed(name) && !this.#targets.has(name) && !this.#claims.has(name) &&
      !this.isElsewhere(name);
  }

  #isNameless(id: string): boolean {
    const link = this.survey.layers.get(id)!.files.link.text;
    return !this.#leading.has(id) && !(link !== undefined && isShortName(link) && this.#isOwner(id, link));
  }

  #checkLink(id: string, choice: Choice): void {
    const { link } = this.survey.layers.get(id)!.files;
    if (typeof choice === "object" && choice.name === link.text) return;
    const { code, problem } = this.#linkProblem(id);
    const common = { code, problem, layer: id, path: `${this.repair.home}/${id}/link` };
    if (choice === "unknown") {
      const action = "nothing: layers above know it by a name that could be another layer's as well; write it by hand";
      this.#problems.push({ ...common, action });
    } else if (choice === "new") {
      const action = "gets a new name: no layer lies on it by another one";
      const repair = (): boolean => this.repair.replace(id, "link", link, this.makeNewName(id));
      this.#problems.push({ ...common, action, repair });
    } else {
      const action = `write ${choice.name} into it, from ${choice.from}`;
      this.#problems.push({ ...common, action, repair: () => this.repair.replace(id, "link", link, choice.name) });
    }
  }

  #linkProblem(id: string): { code: FindingCode; problem: string } {
    const { text, fault } = this.survey.layers.get(id)!.files.link;
    if (text === undefined) return { code: fault === "is missing" ? "link_missing" : "link_unsafe", problem: fault };
    if (text === "") return { code: "link_empty", problem: "is empty" };
    if (!isShortName(text)) return { code: "link_unsafe", problem: "holds no short name" };
    const rival = this.#claims.get(text)!.find((other) => other !== id);
    if (rival !== undefined) return { code: "link_twice", problem: `has the short name that ${rival} has as well` };
    return { code: "link_wrong", problem: `names ${text}, by which no layer knows it` };
  }

  /** The name `name` of the layer `id` has to be in `l`. */
  #checkName(id: string, name: string): void {
    const target = this.#targets.get(name);
    if (target?.id === id) return;
    const common = { layer: id, path: `${this.repair.home}/${LINK_DIR}/${name}` };
    const make = (): boolean => this.repair.makeName(name, id);
    if (target === undefined) {
      const action = `make it again: ../${id}/diff, which has that name`;
      this.#problems.push({ ...common, code: "name_missing", problem: "is missing", action, repair: make });
      return;
    }
    this.#problems.push({
      ...common,
      code: "name_unsafe",
      problem: target.fault ?? `leads to ${target.id}`,
      action: `move it to lost+found, and make it again: ../${id}/diff, which has that name`,
      repair: () => this.repair.dropName(name, target) && make(),
    });
  }

  /** What is in `l` and no layer's own name. */
  #checkRest(name: string, target: NameTarget): void {
    const common = { path: `${this.repair.home}/${LINK_DIR}/${textOfBytes(name)}`, action: "move it to lost+found" };
    const repair = (): boolean => this.repair.dropName(name, target);
    if (target.id === undefined) {
      this.#problems.push({ ...common, code: "name_unsafe", problem: target.fault, repair });
    } else if (this.#isUsed(name)) {
      // Another name of a layer that is there, or what _check_lowers.ts tells.
      return;
    } else if (this.survey.layers.has(target.id)) {
      const problem = `is another short name of ${target.id}, and no layer uses it`;
      this.#problems.push({ ...common, layer: target.id, code: "name_surplus", problem, repair });
    } else if (this.survey.namesInUse !== undefined && !this.survey.namesInUse.has(name)) {
      const problem = `leads to ${target.id}, which is not there`;
      const dropDangling = (): boolean => this.repair.dropName(name, target, true);
      this.#problems.push({ ...common, code: "name_dangling", problem, repair: dropDangling });
    }
  }
}

/** The short names in the text of a `lower` file, uppermost first; undefined where it holds something else. */
export function namesOf(lower: string): string[] | undefined {
  if (lower === "") return [];
  const names = lower.split(":").map((entry) =>
    entry.startsWith(`${LINK_DIR}/`) ? entry.slice(LINK_DIR.length + 1) : ""
  );
  return names.every(isShortName) ? names : undefined;
}

function add(map: Map<string, string[]>, key: string, value: string): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, [value]);
  else values.push(value);
}
