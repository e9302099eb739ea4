// SPDX-License-Identifier: Apache-2.0

/** Answers come whole or not at all, however they are cut into pieces, and whoever sends them. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ClientConnection } from "../../lib/agent/client_connection.ts";
import { HttpConnection } from "../../lib/agent/http_connection.ts";
import { assertFails } from "../_helpers/assert_fails.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const REQUEST = { verb: "GET", target: "/", headers: {} };

/** What a server does with one connection after it has read a request. */
type Script = (connection: Deno.UnixConn, request: string) => Promise<void>;

/** A server of which each connection follows `script` until it is closed; counts connections. */
class ScriptedServer implements AsyncDisposable {
  readonly socket: string;
  readonly #listener: Deno.UnixListener;
  readonly #connections: Deno.UnixConn[] = [];
  readonly #served: Promise<void>;

  constructor(directory: TempDir, script: Script) {
    this.socket = directory.join("socket");
    this.#listener = Deno.listen({ transport: "unix", path: this.socket });
    this.#served = this.#serve(script);
  }

  get connections(): number {
    return this.#connections.length;
  }

  async #serve(script: Script): Promise<void> {
    const all: Promise<void>[] = [];
    for await (const connection of this.#listener) {
      this.#connections.push(connection);
      all.push(this.#answer(connection, script));
    }
    await Promise.all(all);
  }

  async #answer(connection: Deno.UnixConn, script: Script): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    try {
      for (let length = await connection.read(buffer); length !== null; length = await connection.read(buffer)) {
        await script(connection, decoder.decode(buffer.subarray(0, length)));
      }
    } catch (error) {
      // The script, or the other side, closed it.
      if (!(error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted)) {
        if (!(error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset)) throw error;
      }
    }
  }

  /** Closes all connections, as an agent that ends does. */
  closeConnections(): void {
    for (const connection of this.#connections) {
      try {
        connection.close();
      } catch (error) {
        if (!(error instanceof Deno.errors.BadResource)) throw error;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.closeConnections();
    await this.#served;
  }
}

async function write(connection: Deno.UnixConn, text: string): Promise<void> {
  for (let rest = encoder.encode(text); rest.length > 0;) rest = rest.subarray(await connection.write(rest));
}

function answer(body: string, headers = ""): string {
  return `HTTP/1.1 200 OK\r\n${headers}content-length: ${encoder.encode(body).length}\r\n\r\n${body}`;
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}

Deno.test("an answer is the same in one piece, byte for byte, and cut within a character", async () => {
  await using directory = await TempDir.make();
  const whole = answer('{"path":"/ä/\u{1F600}"}');
  await using server = new ScriptedServer(directory, async (connection, request) => {
    const size = Number(/^GET \/(\d+) /.exec(request)![1]);
    const bytes = encoder.encode(whole);
    for (let at = 0; at < bytes.length; at += size) {
      await connection.write(bytes.subarray(at, at + size));
      if (size < 100) await new Promise((resolve) => setTimeout(resolve, 0));
    }
  });
  using connection = new ClientConnection(server.socket);
  for (const size of [1, 7, 64, 1000]) {
    assertEquals(await connection.json({ verb: "GET", path: `/${size}` }), { path: "/ä/\u{1F600}" });
  }
  assertEquals(server.connections, 1);
});

Deno.test("an answer of many pieces, and a request of many pieces, come whole", async () => {
  await using directory = await TempDir.make();
  const text = "x".repeat(1_000_000);
  let received = 0;
  await using server = new ScriptedServer(directory, async (connection, request) => {
    received += request.length;
    if (received > text.length) await write(connection, answer(JSON.stringify(text)));
  });
  using connection = new ClientConnection(server.socket);
  assertEquals(await connection.json({ verb: "POST", path: "/", json: { text } }), text);
});

Deno.test("requests at once have a connection each, and later ones use those again", async () => {
  await using directory = await TempDir.make();
  await using server = new ScriptedServer(directory, async (connection, request) => {
    await settle();
    await write(connection, answer(JSON.stringify(/^GET \/(\S*)/.exec(request)![1])));
  });
  using connection = new ClientConnection(server.socket);
  for (let round = 0; round < 3; round++) {
    const names = Array.from({ length: 10 }, (_, i) => `${round}-${i}`);
    assertEquals(await Promise.all(names.map((name) => connection.json({ verb: "GET", path: `/${name}` }))), names);
  }
  assertEquals(server.connections, 10);
});

Deno.test("a connection that the agent closed meanwhile is not used again", async () => {
  await using directory = await TempDir.make();
  await using server = new ScriptedServer(directory, (connection) => write(connection, answer("1")));
  using connection = new ClientConnection(server.socket);
  for (let i = 1; i <= 3; i++) {
    assertEquals(await connection.json({ verb: "GET", path: "/" }), 1);
    assertEquals(server.connections, i);
    server.closeConnections();
    await settle();
  }
});

Deno.test("a connection is not used again where the answer says so, or came before the request was sent", async () => {
  await using directory = await TempDir.make();
  await using server = new ScriptedServer(directory, async (connection, request) => {
    const headers = request.startsWith("GET /last") ? "Connection: close\r\n" : "";
    await write(connection, answer("1", headers));
    // A body that is too long is refused, and never read.
    if (request.startsWith("POST")) await new Promise((resolve) => setTimeout(resolve, 100));
  });
  using connection = new ClientConnection(server.socket);
  await connection.json({ verb: "GET", path: "/last" });
  await connection.json({ verb: "GET", path: "/" });
  assertEquals(server.connections, 2);
  await connection.json({ verb: "POST", path: "/", json: "x".repeat(8_000_000) });
  await connection.json({ verb: "GET", path: "/" });
  assertEquals(server.connections, 3);
});

const BROKEN: readonly [what: string, answer: string][] = [
  ["nothing", ""],
  ["half a head", "HTTP/1.1 200 OK\r\ncontent-le"],
  ["half a body", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345"],
  ["more than it says", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n12345"],
  ["no length", "HTTP/1.1 200 OK\r\n\r\n1"],
  ["a length that is no number", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n1"],
  ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
  ["no JSON", answer("<html>")],
  ["a head without an end", `HTTP/1.1 200 OK\r\nx: ${"x".repeat(200_000)}`],
];
for (const [what, text] of BROKEN) {
  Deno.test(`an agent that answers ${what} is agent_unreachable`, async () => {
    await using directory = await TempDir.make();
    await using server = new ScriptedServer(directory, async (connection) => {
      await write(connection, text);
      connection.close();
    });
    using connection = new ClientConnection(server.socket);
    const error = await assertFails(connection.json({ verb: "GET", path: "/" }), "agent_unreachable");
    assert(error.message.includes(server.socket), error.message);
  });
}

Deno.test("a refusal that is JSON but no object is an error without a reason", async () => {
  await using directory = await TempDir.make();
  await using server = new ScriptedServer(
    directory,
    (connection) => write(connection, "HTTP/1.1 500 Oh\r\ncontent-length: 4\r\n\r\nnull"),
  );
  using connection = new ClientConnection(server.socket);
  await assertFails(connection.json({ verb: "GET", path: "/" }), "invalid_argument");
});

Deno.test("what would end a line of the request is not sent", async () => {
  await using directory = await TempDir.make();
  const requests: string[] = [];
  await using server = new ScriptedServer(directory, (_, request) => Promise.resolve(void requests.push(request)));
  for (const target of ["/a\r\nx: y", "/a\n", "/ä", "/\0"]) {
    using connection = await HttpConnection.open(server.socket);
    const exchange = connection.exchange({ ...REQUEST, target });
    await assertRejects(() => exchange, TypeError);
  }
  assertEquals(requests, []);
});

Deno.test("closing ends requests at work, and no new one begins", async () => {
  await using directory = await TempDir.make();
  await using server = new ScriptedServer(directory, () => Promise.resolve());
  const connection = new ClientConnection(server.socket);
  const request = connection.json({ verb: "GET", path: "/" });
  await settle();
  connection[Symbol.dispose]();
  await assertFails(request, "agent_unreachable");
  await assertFails(connection.json({ verb: "GET", path: "/" }), "agent_unreachable");
});
