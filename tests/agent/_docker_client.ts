// SPDX-License-Identifier: Apache-2.0

/**
 * What dockerd is to a plugin: its requests, as it sends them.
 *
 * @module
 */

import { assertEquals } from "../_helpers/std_assert.ts";
import type { TempDir } from "../_helpers/temp_dir.ts";
import type { TarItem } from "../archive/_tar_of.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { Agent, type AgentOptions } from "./_agent.ts";
import { callJson, callRaw } from "./_raw_http.ts";

/** Fields of a request or an answer. */
export type Fields = Record<string, unknown>;

/** An agent, and dockerd's side of it. */
export class DockerClient implements AsyncDisposable {
  constructor(readonly agent: Agent, readonly home: string) {}

  /** Starts an agent in `directory`, and says where the layers are to lie. */
  static async start(directory: TempDir, options: AgentOptions = {}): Promise<DockerClient> {
    await using undo = new AsyncDisposableStack();
    const agent = undo.use(await Agent.start(directory, options));
    const client = new DockerClient(agent, directory.join("data/lamina"));
    await client.init();
    undo.move();
    return client;
  }

  /** Says where the layers are to lie. */
  async init(fields: Fields = {}): Promise<Fields> {
    return await this.ok("Init", { Home: this.home, Opts: null, UIDMaps: null, GIDMaps: null, ...fields });
  }

  /** Calls a method of the graph driver, which must succeed; the answer's fields. */
  async ok(method: string, fields: Fields): Promise<Fields> {
    const answer = await callJson(this.agent.socket, `GraphDriver.${method}`, fields);
    assertEquals(answer.status, 200, `${method}: ${answer.fields["Err"]}`);
    return answer.fields;
  }

  /** Calls a method that must fail; the code of the failure. */
  async fails(method: string, fields: Fields): Promise<unknown> {
    const answer = await callJson(this.agent.socket, `GraphDriver.${method}`, fields);
    assertEquals(answer.status >= 400, true, `${method} succeeded`);
    assertEquals(typeof answer.fields["Err"], "string");
    return answer.fields["Code"];
  }

  /** Makes a layer, and fills it. */
  async layer(id: string, parent: string, items: readonly TarItem[]): Promise<void> {
    await this.ok("Create", { ID: id, Parent: parent });
    const { status } = await callRaw(
      this.agent.socket,
      `GraphDriver.ApplyDiff?id=${id}&parent=${parent}`,
      tarOf(items),
    );
    assertEquals(status, 200);
  }

  /** Mounts a layer; where. */
  async get(id: string): Promise<string> {
    return (await this.ok("Get", { ID: id }))["Dir"] as string;
  }

  /** Ends the agent. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
  }
}
