// SPDX-License-Identifier: Apache-2.0

/**
 * HTTP as bytes on a unix socket: as dockerd sends it, and as nobody should.
 *
 * @module
 */

/** An answer. */
export interface RawAnswer {
  status: number;
  body: Uint8Array<ArrayBuffer>;
  /** Whether all of the body came that its head promised. */
  isWhole: boolean;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A connection on which bytes are sent and answers are read. */
export class RawConnection implements Disposable {
  #rest: Uint8Array<ArrayBuffer> = new Uint8Array();

  private constructor(readonly connection: Deno.UnixConn) {}

  static async open(path: string): Promise<RawConnection> {
    return new RawConnection(await Deno.connect({ transport: "unix", path }));
  }

  async send(data: string | Uint8Array): Promise<void> {
    let rest = typeof data === "string" ? encoder.encode(data) : data;
    while (rest.length > 0) rest = rest.subarray(await this.connection.write(rest));
  }

  /** Sends a request as dockerd does: its Host is empty. */
  async request(target: string, body: string | Uint8Array = ""): Promise<void> {
    const bytes = typeof body === "string" ? encoder.encode(body) : body;
    await this.send(head(target, [`Content-Length: ${bytes.length}`]));
    await this.send(bytes);
  }

  /** Sends the head of a request whose body comes in chunks. */
  async beginChunked(target: string): Promise<void> {
    await this.send(head(target, ["Transfer-Encoding: chunked"]));
  }

  /** Sends a piece of a body that comes in chunks; an empty one is its end. */
  async chunk(bytes: Uint8Array): Promise<void> {
    await this.send(`${bytes.length.toString(16)}\r\n`);
    await this.send(bytes);
    await this.send("\r\n");
  }

  /** Waits until so many bytes of an answer have come, which {@linkcode answer} then begins with. */
  async expect(bytes: number): Promise<void> {
    while (this.#rest.length < bytes && await this.#more());
  }

  /** Waits for an answer, and reads it to its end or to that of the connection; undefined where none came. */
  async answer(): Promise<RawAnswer | undefined> {
    const top = await this.#line();
    if (top === undefined) return undefined;
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(top)?.[1]);
    const headers = new Map<string, string>();
    for (let line = await this.#line(); line; line = await this.#line()) {
      const colon = line.indexOf(":");
      headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    if (headers.get("transfer-encoding") === "chunked") return { status, ...await this.#chunks() };
    const length = Number(headers.get("content-length"));
    const body = await this.#bytes(length);
    return { status, body, isWhole: body.length === length };
  }

  async #chunks(): Promise<{ body: Uint8Array<ArrayBuffer>; isWhole: boolean }> {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    const whole = async (): Promise<Uint8Array<ArrayBuffer>> => new Uint8Array(await new Blob(chunks).arrayBuffer());
    for (;;) {
      const line = await this.#line();
      if (line === undefined) return { body: await whole(), isWhole: false };
      const length = parseInt(line, 16);
      const bytes = await this.#bytes(length);
      chunks.push(bytes);
      if (bytes.length < length) return { body: await whole(), isWhole: false };
      await this.#line();
      if (length === 0) return { body: await whole(), isWhole: true };
    }
  }

  /** A line without its end; undefined at the end of the connection. */
  async #line(): Promise<string | undefined> {
    for (;;) {
      const at = this.#rest.indexOf(10);
      if (at !== -1) {
        const line = decoder.decode(this.#rest.subarray(0, at)).replace(/\r$/, "");
        this.#rest = this.#rest.subarray(at + 1);
        return line;
      }
      if (!await this.#more()) return undefined;
    }
  }

  async #bytes(length: number): Promise<Uint8Array<ArrayBuffer>> {
    while (this.#rest.length < length && await this.#more());
    const bytes = this.#rest.slice(0, length);
    this.#rest = this.#rest.subarray(bytes.length);
    return bytes;
  }

  async #more(): Promise<boolean> {
    const buffer = new Uint8Array(64 * 1024);
    const length = await this.connection.read(buffer).catch(() => null);
    if (length === null) return false;
    const joined = new Uint8Array(this.#rest.length + length);
    joined.set(this.#rest);
    joined.set(buffer.subarray(0, length), this.#rest.length);
    this.#rest = joined;
    return true;
  }

  [Symbol.dispose](): void {
    this.connection.close();
  }
}

function head(target: string, headers: readonly string[]): string {
  const lines = [
    `POST /${target} HTTP/1.1`,
    "Host: ",
    "User-Agent: Go-http-client/1.1",
    "Accept: application/vnd.docker.plugins.v1.2+json",
    "Accept-Encoding: gzip",
    ...headers,
  ];
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** One request on a connection of its own; the answer. */
export async function callRaw(path: string, target: string, body: string | Uint8Array = ""): Promise<RawAnswer> {
  using connection = await RawConnection.open(path);
  await connection.request(target, body);
  const answer = await connection.answer();
  if (answer === undefined) throw new Error(`${target}: the connection ended without an answer`);
  return answer;
}

/** As {@linkcode callRaw}, with JSON both ways. */
export async function callJson(
  path: string,
  method: string,
  fields: unknown,
): Promise<{ status: number; fields: Record<string, unknown> }> {
  const { status, body } = await callRaw(path, method, `${JSON.stringify(fields)}\n`);
  return { status, fields: JSON.parse(decoder.decode(body)) as Record<string, unknown> };
}
