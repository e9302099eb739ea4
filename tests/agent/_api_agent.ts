// SPDX-License-Identifier: Apache-2.0

/**
 * `lamina serve` as a child process, and its own API as somebody uses it who has no client.
 *
 * @module
 */

import type { TempDir } from "../_helpers/temp_dir.ts";
import { assertEquals } from "../_helpers/std_assert.ts";
import { Agent, type AgentOptions } from "./_agent.ts";
import { type RawAnswer, RawConnection } from "./_raw_http.ts";

const decoder = new TextDecoder();

/** An agent that keeps the store `root` of a directory. */
export class ApiAgent implements AsyncDisposable {
  private constructor(readonly agent: Agent, readonly socket: string, readonly home: string) {}

  static async start(directory: TempDir, { args = [], ...options }: AgentOptions = {}): Promise<ApiAgent> {
    const root = directory.join("root");
    const agent = await Agent.start(directory, { ...options, args: ["--root", root, "--driver", "overlay2", ...args] });
    return new ApiAgent(agent, directory.join("run/lamina.sock"), `${root}/overlay2`);
  }

  /** Sends one request on a connection of its own; undefined where no answer came. */
  async call(verb: string, path: string, body: string | Uint8Array = ""): Promise<RawAnswer | undefined> {
    using connection = await RawConnection.open(this.socket);
    await connection.send(requestHead(verb, path, body.length));
    await connection.send(body);
    return await connection.answer();
  }

  /** As `call`, which must succeed; the answer's JSON. */
  async ok(verb: string, path: string, fields?: unknown): Promise<unknown> {
    const body = fields === undefined ? "" : JSON.stringify(fields);
    const answer = await this.call(verb, path, body);
    const text = decoder.decode(answer?.body);
    assertEquals(Math.floor((answer?.status ?? 0) / 100), 2, `${verb} ${path}: ${text}`);
    return JSON.parse(text) as unknown;
  }

  /** As `call`, which must be refused: status and code. */
  async refusalOf(verb: string, path: string, body: string | Uint8Array = ""): Promise<string> {
    const answer = await this.call(verb, path, body);
    if (answer === undefined) return "no answer";
    const { code, message } = JSON.parse(decoder.decode(answer.body)) as { code?: unknown; message?: unknown };
    return typeof message === "string" ? `${answer.status} ${code}` : `${answer.status}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
  }
}

/** The head of a request whose body has `length` bytes. */
export function requestHead(verb: string, path: string, length: number): string {
  return `${verb} ${path} HTTP/1.1\r\nHost: lamina\r\nContent-Length: ${length}\r\n\r\n`;
}
