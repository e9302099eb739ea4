// SPDX-License-Identifier: Apache-2.0

/** A class, for `instanceof`. */
type Class<T> = abstract new (...args: never[]) => T;

/** Fails unless `condition` is truthy. */
export function assert(condition: unknown, message?: string): asserts condition;

/** Fails unless both are deeply equal. Both have one type: comparing apples with pears is an error of the test. */
export function assertEquals<T>(actual: T, expected: NoInfer<T>, message?: string): void;

/** Fails if both are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: NoInfer<T>, message?: string): void;

/** Fails unless `Object.is(actual, expected)`. */
export function assertStrictEquals<T>(actual: unknown, expected: T, message?: string): asserts actual is T;

/** Fails unless `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, message?: string): void;

/** Whether `actual` and `expected` are the same, as {@linkcode assertEquals} tells it. */
export function equal(actual: unknown, expected: unknown): boolean;

/** Fails unless `actual` matches `expected`. */
export function assertMatch(actual: string, expected: RegExp, message?: string): void;

/** Fails if `actual` is null or undefined. */
export function assertExists<T>(actual: T, message?: string): asserts actual is NonNullable<T>;

/** Fails unless `actual` is an instance of `expectedClass`. */
export function assertInstanceOf<T>(actual: unknown, expectedClass: Class<T>, message?: string): asserts actual is T;

/** Fails unless `actual > expected`. */
export function assertGreater<T extends number | bigint | string>(actual: T, expected: T, message?: string): void;

/** Fails unless `actual < expected`. */
export function assertLess<T extends number | bigint | string>(actual: T, expected: T, message?: string): void;

/** Fails unless `fn` throws; returns what it threw. */
export function assertThrows(fn: () => unknown, message?: string): unknown;
export function assertThrows<E extends Error>(
  fn: () => unknown,
  errorClass: Class<E>,
  messageIncludes?: string,
  message?: string,
): E;

/** Fails unless the promise of `fn` rejects; resolves to what it was rejected with. */
export function assertRejects(fn: () => PromiseLike<unknown>, message?: string): Promise<unknown>;
export function assertRejects<E extends Error>(
  fn: () => PromiseLike<unknown>,
  errorClass: Class<E>,
  messageIncludes?: string,
  message?: string,
): Promise<E>;

/** Fails. */
export function fail(message?: string): never;
