// SPDX-License-Identifier: Apache-2.0

/**
 * A failure in shared memory, for a thread that cannot be sent messages because it waits or works.
 *
 * @module
 */

import { StorageError, type StorageErrorCode } from "../errors.ts";

const TEXT_LENGTH = 4096;
const LONGEST_MESSAGE = 400;

/** What crosses over: a class does not. */
export interface PlainFailure {
  code: StorageErrorCode;
  message: string;
  hint?: string | undefined;
}

/** A place for one. */
export class SharedFailure {
  /** Bytes that it needs, at an offset that is a multiple of four. */
  static readonly SIZE = 4 + TEXT_LENGTH;

  readonly #length: Int32Array;
  readonly #text: Uint8Array;

  constructor(memory: SharedArrayBuffer, offset: number) {
    this.#length = new Int32Array(memory, offset, 1);
    this.#text = new Uint8Array(memory, offset + 4, TEXT_LENGTH);
  }

  /** Keeps it; a long message is cut. */
  set({ code, message, hint }: PlainFailure): void {
    const json = JSON.stringify({ code, message: message.slice(0, LONGEST_MESSAGE), hint });
    const text = new TextEncoder().encode(json);
    this.#text.set(text);
    this.#length[0] = text.length;
  }

  /** The error that was kept. */
  get(): StorageError {
    const text = new TextDecoder().decode(this.#text.slice(0, this.#length[0]));
    const { code, message, hint } = JSON.parse(text) as PlainFailure;
    return new StorageError(code, message, hint === undefined ? {} : { hint });
  }
}
