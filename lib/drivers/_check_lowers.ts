// SPDX-License-Identifier: Apache-2.0

/**
 * `lower` files that are missing, torn or contradict each other. What lies below a layer is also the end of the `lower` of
 * each layer above it, and, but for the first name, the `lower` of its parent.
 *
 * @module
 */

import { type HasParents, type NamePlan, namesOf } from "./_check_names.ts";
import type { LayerBooks } from "./_layer_books.ts";
import { LINK_DIR } from "./_layer_layout.ts";
import type { Problem } from "./_problem.ts";
import type { ShortNameRepair, ShortNameSurvey } from "./_short_name_survey.ts";
import type { FindingCode } from "./store_check.ts";

/** What is wrong with a `lower` file. */
interface Fault {
  code: FindingCode;
  problem: string;
}

/** A chain of layers below, and who tells it. */
interface Evidence {
  names: readonly string[];
  from: string;
}

const NOTHING: readonly string[] = [];

/** Decides what lies below each layer. */
export class LowerPlanner {
  readonly #problems: Problem[] = [];
  /** What lies below each layer, uppermost first; those of which it is not known are missing. */
  readonly #lowers = new Map<string, readonly string[]>();
  readonly #faults = new Map<string, Fault>();
  readonly #above = new Map<string, [id: string, place: number][]>();
  /** Names that lead nowhere, and the layers that need them. */
  readonly #gone = new Map<string, string[]>();

  /**
   * @param isElsewhere Whether a short name is that of a layer in an image store.
   */
  constructor(
    readonly survey: ShortNameSurvey,
    readonly repair: ShortNameRepair,
    readonly names: NamePlan,
    readonly hasParents: HasParents,
    readonly isElsewhere: (name: string) => boolean,
    readonly books: LayerBooks | undefined,
  ) {
    for (const id of survey.layers.keys()) this.#read(id);
  }

  #read(id: string): void {
    const { text, fault } = this.survey.layers.get(id)!.files.lower;
    if (fault === "is missing") {
      if (this.hasParents(id)) this.#faults.set(id, { code: "lower_missing", problem: fault });
      else this.#lowers.set(id, NOTHING);
      return;
    }
    const names = text === undefined ? undefined : namesOf(text);
    if (text === undefined) this.#faults.set(id, { code: "lower_unsafe", problem: fault });
    else if (text === "") this.#faults.set(id, { code: "lower_empty", problem: "is empty" });
    else if (names === undefined) {
      this.#faults.set(id, { code: "lower_unsafe", problem: "holds something else than short names" });
    } else if (names.some((name) => this.names.idOf.get(name) === id)) {
      this.#faults.set(id, { code: "lower_unsafe", problem: "has the layer below itself" });
    } else this.#lowers.set(id, names);
  }

  /** The problems. */
  plan(): Problem[] {
    for (const [id, names] of this.#lowers) {
      const gone = names.filter((name) => !this.#leads(name));
      if (gone.length === 0) continue;
      this.#faults.set(id, { code: "lower_gone", problem: `names ${gone.join(", ")}, which is no layer` });
    }
    while (this.#step());
    for (const [id, fault] of this.#faults) this.#giveUp(id, fault);
    for (const [name, users] of this.#gone) this.#tellGone(name, users);
    return this.#problems;
  }

  /** Layers that others lie on, each with one of those, when it is planned; by none that something speaks against. */
  parents(): Map<string, string> {
    const parents = new Map<string, string>();
    const doubtful = new Set(this.#faults.keys());
    // Which of two that disagree is right cannot be told.
    for (const id of this.#faults.keys()) doubtful.add(this.#parentOf(id) ?? id);
    for (const id of this.#lowers.keys()) {
      const parent = doubtful.has(id) ? undefined : this.#parentOf(id);
      if (parent !== undefined) parents.set(parent, id);
    }
    return parents;
  }

  #parentOf(id: string): string | undefined {
    const name = this.#lowers.get(id)?.[0];
    return name === undefined ? undefined : this.names.idOf.get(name);
  }

  #leads(name: string): boolean {
    return this.names.idOf.has(name) || this.isElsewhere(name);
  }

  /** The layer that a name leads to, in a form that can be compared. */
  #key(name: string): string {
    return this.names.idOf.get(name) ?? `/${name}`;
  }

  #isSame(a: readonly string[], b: readonly string[]): boolean {
    return a.length === b.length && this.#isBeginning(a, b);
  }

  #isBeginning(a: readonly string[], b: readonly string[]): boolean {
    return a.every((name, i) => b[i] !== undefined && this.#key(name) === this.#key(b[i]!));
  }

  /** Corrects what can be corrected by what is known; whether anything was. */
  #step(): boolean {
    const before = this.#problems.length;
    if (this.#faults.size > 0) this.#noteAbove();
    for (const [id, fault] of this.#faults) {
      // What lies above it can only say the same as it does.
      if (fault.code === "lower_disagrees") continue;
      const evidence = this.#evidence(id);
      if (evidence === undefined) continue;
      this.#faults.delete(id);
      this.#correct(id, fault, evidence);
    }
    for (const [id, names] of this.#lowers) if (!this.#faults.has(id)) this.#compareWithParent(id, names);
    return this.#problems.length > before;
  }

  /** Of which layers, and where in their lists, each layer is. */
  #noteAbove(): void {
    this.#above.clear();
    for (const [above, names] of this.#lowers) {
      names.forEach((name, i) => {
        const id = this.names.idOf.get(name);
        if (id === undefined) return;
        const users = this.#above.get(id);
        if (users === undefined) this.#above.set(id, [[above, i]]);
        else users.push([above, i]);
      });
    }
  }

  #correct(id: string, { code, problem }: Fault, { names, from }: Evidence): void {
    const text = names.map((name) => `${LINK_DIR}/${name}`).join(":");
    const seen = this.survey.layers.get(id)!.files.lower;
    this.#lowers.set(id, names);
    this.#problems.push({
      code,
      layer: id,
      path: `${this.repair.home}/${id}/lower`,
      problem,
      action: `write it again from ${from}: ${names.length} layer${names.length === 1 ? "" : "s"}`,
      repair: () => this.repair.replace(id, "lower", seen, text),
    });
  }

  /** What others say lies below `id`, if they all say the same, and what they say is there. */
  #evidence(id: string): Evidence | undefined {
    const all: Evidence[] = [];
    const parent = this.books?.parentOf(id);
    if (typeof parent === "string") {
      const [name, below] = [this.names.nameOf.get(parent), this.#lowers.get(parent)];
      if (name !== undefined && below !== undefined && !this.#faults.has(parent)) {
        all.push({ names: [name, ...below], from: `${this.books!.name} and the files of ${parent}` });
      }
    }
    for (const [above, i] of this.#above.get(id) ?? []) {
      if (this.#faults.get(above)?.code === "lower_disagrees") continue;
      all.push({ names: this.#lowers.get(above)!.slice(i + 1), from: `the lower file of ${above}` });
    }
    const usable = all.filter(({ names }) => names.length > 0 && names.every((name) => this.#leads(name)));
    const [first] = usable;
    return first !== undefined && usable.every(({ names }) => this.#isSame(names, first.names)) ? first : undefined;
  }

  #compareWithParent(id: string, names: readonly string[]): void {
    const [first, ...rest] = names;
    const parent = this.#parentOf(id);
    const below = parent === undefined ? undefined : this.#lowers.get(parent);
    if (parent === undefined || below === undefined || this.#faults.has(parent)) return;
    const name = this.names.nameOf.get(parent);
    const spelled = name === undefined ? undefined : [name, ...below];
    const from = `the files of ${parent}, which lies below it`;
    if (this.#isSame(rest, below)) {
      if (name === undefined || name === first) return;
      const problem = `has another short name of ${parent} than that one's link file`;
      this.#correct(id, { code: "lower_disagrees", problem }, { names: spelled!, from });
    } else if (spelled !== undefined && rest.length < below.length && this.#isBeginning(rest, below)) {
      const problem = `ends before the ${below.length} layers below ${parent}: it was cut short`;
      this.#correct(id, { code: "lower_disagrees", problem }, { names: spelled, from });
    } else this.#faults.set(id, { code: "lower_disagrees", problem: `does not go on as the lower file of ${parent}` });
  }

  #giveUp(id: string, { code, problem }: Fault): void {
    const gone = code === "lower_gone" ? this.#lowers.get(id)!.filter((name) => !this.#leads(name)) : [];
    for (const name of gone) this.#gone.set(name, [...this.#gone.get(name) ?? [], id]);
    if (gone.length > 0) return;
    const path = `${this.repair.home}/${id}/lower`;
    const action = code === "lower_disagrees"
      ? "nothing: which of the two is right cannot be told"
      : "nothing: no layer above it is left that tells; its parent's short name goes there, and what that one's lower has";
    this.#problems.push({ code, layer: id, path, problem, action });
  }

  #tellGone(name: string, users: readonly string[]): void {
    const target = this.survey.names?.get(name)?.id;
    const problem = target === undefined ? "is missing" : `leads to ${target}, which is not there`;
    const shown = users.slice(0, MOST_SHOWN).join(", ") + (users.length > MOST_SHOWN ? ", …" : "");
    this.#problems.push({
      code: "lower_gone",
      path: `${this.repair.home}/${LINK_DIR}/${name}`,
      problem: `${problem}, and is needed by ${shown}`,
      action: "nothing: put the layer back, or remove those that need it",
    });
  }
}

const MOST_SHOWN = 5;
