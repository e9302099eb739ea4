// SPDX-License-Identifier: Apache-2.0

/** What is used here of `@std/log`, which cannot be checked where JSR cannot be reached. */

/** Something that was logged. */
export interface LogRecord {
  readonly msg: string;
  readonly levelName: string;
}

/** Where records go. */
export abstract class BaseHandler {
  constructor(levelName: "DEBUG" | "INFO" | "WARN");
  handle(record: LogRecord): void;
}

/** What a program logs by. */
export class Logger {
  constructor(name: string, levelName: "DEBUG" | "INFO" | "WARN", options: { handlers: BaseHandler[] });
  debug(message: string): string | undefined;
  info(message: string): string | undefined;
  warn(message: string): string | undefined;
}
