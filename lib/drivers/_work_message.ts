// SPDX-License-Identifier: Apache-2.0

/**
 * What goes between a work runner and its Workers.
 *
 * @module
 */

import { isStorageError, StorageError, type StorageErrorCode } from "../errors.ts";
import type { HelperRequest } from "../archive/helper_thread.ts";
import type { TaskName, Tasks } from "./_work.ts";

/** The Worker's name, by which its module knows that it is one. */
export const TASK_WORKER = "lamina-work";

/** A task as it is sent. */
export interface TaskRequest {
  name: TaskName;
  args: Tasks[TaskName]["args"];
  control: SharedArrayBuffer;
}

/** An error as it is sent: a class of ours does not survive the way. */
export interface SentError {
  code: StorageErrorCode | undefined;
  message: string;
  hint: string | undefined;
  cause: string | undefined;
}

/** What the Worker asks for in the middle: a thread beside it, and its owner's answer that it runs. */
export interface HelperAsked {
  helper: HelperRequest;
  /** Counts the helpers of one task. */
  number: number;
}
/** The answer. */
export interface HelperStarted {
  helperStarted: number;
}

/** What comes back at the end. */
export type TaskReply = { result: Tasks[TaskName]["result"] } | { error: SentError };

/** `error` in a form that can be sent. */
export function sendable(error: unknown): SentError {
  const { message } = error instanceof Error ? error : { message: String(error) };
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : undefined;
  if (isStorageError(error)) return { code: error.code, message, hint: error.hint, cause };
  return { code: undefined, message, hint: undefined, cause };
}

/** The error that was sent. */
export function received({ code, message, hint, cause }: SentError): StorageError {
  return new StorageError(code ?? "system_error", message, {
    ...(hint === undefined ? {} : { hint }),
    ...(cause === undefined ? {} : { cause: new Error(cause) }),
  });
}
