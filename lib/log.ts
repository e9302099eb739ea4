// SPDX-License-Identifier: Apache-2.0

/**
 * What the library needs of a logger: three methods that take a message. An `@std/log` logger, a LogTape logger and
 * `console` all have them.
 *
 * @module
 */

/** Where the library tells what is worth knowing and no error. */
export interface Logger {
  /** Decisions, for who looks for a fault. */
  debug(message: string): void;
  /** What an operator wants to read once. */
  info(message: string): void;
  /** What went wrong and was survived. */
  warn(message: string): void;
}

/** Says nothing. */
export const SILENT: Logger = {
  debug(): void {},
  info(): void {},
  warn(): void {},
};
