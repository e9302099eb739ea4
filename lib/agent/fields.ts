// SPDX-License-Identifier: Apache-2.0

/**
 * The fields of a request, from a JSON body or a query: each is checked when it is taken, and what nobody took is refused.
 *
 * @module
 */

import { RequestError, type UnsafeFields } from "./protocol.ts";

/** Fields that are not checked yet. */
export class Fields {
  readonly #fields: UnsafeFields;
  readonly #taken = new Set<string>();
  /** Whether all values are text, as in a query. */
  readonly #isText: boolean;

  private constructor(fields: UnsafeFields, isText: boolean) {
    this.#fields = fields;
    this.#isText = isText;
  }

  /** Those of a JSON object. */
  static ofJson(fields: UnsafeFields): Fields {
    return new Fields(fields, false);
  }

  /**
   * Those of a query; `limits.bytes=5` is the field `bytes` of `limits`, and a list is written `a,b`.
   *
   * @throws {RequestError} `malformed_request`: a field that is there twice.
   */
  static ofQuery(query: URLSearchParams): Fields {
    const fields = new Map<string, unknown>();
    const groups = new Map<string, Map<string, string>>();
    for (const [name, value] of query) {
      const dot = name.indexOf(".");
      const group = name.slice(0, Math.max(dot, 0));
      const into: Map<string, unknown> = dot === -1 ? fields : groups.get(group) ?? new Map<string, string>();
      if (dot !== -1) groups.set(group, into as Map<string, string>);
      const key = name.slice(dot + 1);
      if (into.has(key)) throw malformed(`The field ${name} is there twice`);
      into.set(key, value);
    }
    for (const [name, group] of groups) {
      if (fields.has(name)) throw malformed(`The field ${name} is there twice`);
      fields.set(name, Object.fromEntries(group));
    }
    return new Fields(Object.fromEntries(fields), true);
  }

  #take(name: string): unknown {
    this.#taken.add(name);
    return Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined;
  }

  /** Text; undefined where it is left out. */
  text(name: string): string | undefined {
    const value = this.#take(name);
    if (value === undefined || typeof value === "string") return value;
    throw malformed(`The field ${name} is not text`);
  }

  /** Text that must be there. */
  required(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw malformed(`The field ${name} is missing`);
    return value;
  }

  /** One of `choices`. */
  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : choiceOf(name, value, choices);
  }

  /** A truth value; in a query, a name without a value is true. */
  flag(name: string): boolean | undefined {
    const value = this.#take(name);
    if (value === undefined || typeof value === "boolean") return value;
    if (this.#isText && (value === "true" || value === "")) return true;
    if (this.#isText && value === "false") return false;
    throw malformed(`The field ${name} is neither true nor false`);
  }

  /** A list of texts. */
  list(name: string): string[] | undefined {
    const value = this.#take(name);
    if (value === undefined) return undefined;
    if (this.#isText && typeof value === "string") return value.split(",");
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value as string[];
    throw malformed(`The field ${name} is not a list of texts`);
  }

  /** Texts by name. */
  texts(name: string): Record<string, string> | undefined {
    return this.#group(name, (value) => typeof value === "string" ? value : undefined);
  }

  /** Whole numbers by name. */
  numbers(name: string): Record<string, number> | undefined {
    return this.#group(name, (value) => {
      const number = this.#isText && typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
      return typeof number === "number" && Number.isSafeInteger(number) ? number : undefined;
    });
  }

  #group<T>(name: string, read: (value: unknown) => T | undefined): Record<string, T> | undefined {
    const value = this.#take(name);
    if (value === undefined) return undefined;
    if (!isObject(value)) throw malformed(`The field ${name} does not hold fields itself`);
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => {
        const read1 = read(item);
        if (read1 === undefined) throw malformed(`The field ${name}.${key} is of the wrong kind`);
        return [key, read1];
      }),
    );
  }

  /** Fields in a field. */
  fields(name: string): Fields | undefined {
    const value = this.#take(name);
    if (value === undefined) return undefined;
    if (!isObject(value)) throw malformed(`The field ${name} does not hold fields itself`);
    return Fields.ofJson(value);
  }

  /** A list whose elements have fields. */
  fieldsList(name: string): Fields[] {
    const value = this.#take(name) ?? [];
    if (!Array.isArray(value)) throw malformed(`The field ${name} is not a list`);
    return value.map((item: unknown) => {
      if (!isObject(item)) throw malformed(`The field ${name} has a wrong element`);
      return Fields.ofJson(item);
    });
  }

  /** A number that must be there. */
  number(name: string): number {
    const value = this.#take(name);
    if (typeof value === "number") return value;
    throw malformed(`The field ${name} is no number, or missing`);
  }

  /** @throws {RequestError} `malformed_request`: a field that nobody took, most likely one that is misspelt. */
  refuseRest(): void {
    const unknown = Object.keys(this.#fields).find((name) => !this.#taken.has(name));
    if (unknown !== undefined) throw malformed(`There is no field ${JSON.stringify(unknown)} here`);
  }
}

/** `value`, if it is one of `choices`. */
export function choiceOf<T extends string>(name: string, value: string, choices: readonly T[]): T {
  const choice = choices.find((one) => one === value);
  if (choice !== undefined) return choice;
  throw malformed(`The field ${name} is ${JSON.stringify(value)}, not one of ${choices.join(", ")}`);
}

/** What the JSON in a field says. */
export function jsonOf(name: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw malformed(`The field ${name} is not JSON`);
  }
}

function isObject(value: unknown): value is UnsafeFields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function malformed(message: string): RequestError {
  return new RequestError("malformed_request", message);
}
