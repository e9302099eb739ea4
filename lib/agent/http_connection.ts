// SPDX-License-Identifier: Apache-2.0

/**
 * HTTP/1.1 on a unix socket, as much of it as answers of a known length take: RFC 9112. `fetch` does all of it and is what
 * streams come by; but it takes twice as long as a short call of the agent itself, and `node:http` no less.
 *
 * @module
 */

/** What is sent. */
export interface HttpRequest {
  verb: string;
  /** With the query, as it stands in a request. */
  target: string;
  headers: Readonly<Record<string, string>>;
  /** Sent as JSON; left out, there is no body. */
  json?: string;
}

/** What came back. */
export interface HttpAnswer {
  status: number;
  body: string;
}

const CHUNK_BYTES = 16 * 1024;
const MOST_HEAD_BYTES = 64 * 1024;
const STATUS_REGEXP = /^HTTP\/1\.1 (\d{3})[ \r]/;
const LENGTH_REGEXP = /\r\ncontent-length: *(\d{1,15})\r\n/i;
const CLOSE_REGEXP = /\r\nconnection: *close\r\n/i;
const END_OF_HEAD = "\r\n\r\n";
/** What a line of a request's head has: no end of a line. */
const LINE_REGEXP = /^[\x20-\x7e]+$/;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A connection for one request after another. */
export class HttpConnection implements Disposable {
  readonly #connection: Deno.UnixConn;
  readonly #chunk = new Uint8Array(CHUNK_BYTES);
  /** What comes next, asked for before anything was sent: so it shows that the other side has gone. */
  #next: Promise<number | null>;
  #isBusy = true;
  #isOpen = true;

  private constructor(connection: Deno.UnixConn) {
    this.#connection = connection;
    this.#next = this.#readAhead();
  }

  /**
   * One that is taken already.
   *
   * @throws {Error} What Deno.connect() does: nobody listens there, or not for this user.
   */
  static async open(socket: string): Promise<HttpConnection> {
    return new HttpConnection(await Deno.connect({ transport: "unix", path: socket }));
  }

  /** Takes it for one exchange; whether nobody else has. */
  tryTake(): boolean {
    if (!this.#isOpen || this.#isBusy) return false;
    this.#isBusy = true;
    this.#connection.ref();
    return true;
  }

  /** Whether it is of any use yet. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Closes it; an exchange at work fails. */
  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#connection.close();
  }

  /**
   * Sends a request and waits for the whole answer. Who calls it has taken the connection, and has it no longer then.
   *
   * @throws {Error} The connection broke, or what came is no such answer: it is closed then.
   */
  async exchange(request: HttpRequest): Promise<HttpAnswer> {
    try {
      const bytes = bytesOf(request);
      let isSent = false;
      this.#send(bytes).then(() => isSent = true, () => {});
      const { answer, isLast } = await this.#receive();
      // An answer can come before all was sent, and be the reason why it could not be.
      if (isLast || !isSent) this[Symbol.dispose]();
      else this.#becomeIdle();
      return answer;
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  async #send(bytes: Uint8Array): Promise<void> {
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await this.#connection.write(rest));
  }

  async #receive(): Promise<{ answer: HttpAnswer; isLast: boolean }> {
    let bytes = await this.#take();
    let end = endOfHead(bytes);
    while (end === -1) {
      if (bytes.length > MOST_HEAD_BYTES) throw new Error("the head of the answer is too long");
      bytes = joined(bytes, await this.#take());
      end = endOfHead(bytes);
    }
    const head = decoder.decode(bytes.subarray(0, end));
    const status = STATUS_REGEXP.exec(head)?.[1];
    const length = LENGTH_REGEXP.exec(head)?.[1];
    if (status === undefined || length === undefined) throw new Error("the answer is none of lamina's");
    const body = await this.#bodyOf(bytes.subarray(end), Number(length));
    return { answer: { status: Number(status), body: decoder.decode(body) }, isLast: CLOSE_REGEXP.test(head) };
  }

  async #bodyOf(first: Uint8Array, length: number): Promise<Uint8Array> {
    const parts = [first];
    let have = first.length;
    while (have < length) {
      const part = await this.#take();
      parts.push(part);
      have += part.length;
    }
    if (have > length) throw new Error("the answer is longer than it says");
    return parts.length === 1 ? first : joined(...parts);
  }

  /** The next bytes: copied, since more are asked for at once. */
  async #take(): Promise<Uint8Array<ArrayBuffer>> {
    const length = await this.#next;
    if (length === null) throw new Error("the connection was closed before the answer was whole");
    const bytes = this.#chunk.slice(0, length);
    this.#next = this.#readAhead();
    return bytes;
  }

  #readAhead(): Promise<number | null> {
    const next = this.#connection.read(this.#chunk);
    const close = (): void => this[Symbol.dispose]();
    // Of no use any more where the other side has closed it, or sends what nobody has asked for.
    next.then((length) => {
      if (length === null || !this.#isBusy) close();
    }, close);
    return next;
  }

  /** Nobody has to wait for an idle connection. */
  #becomeIdle(): void {
    this.#isBusy = false;
    if (this.#isOpen) this.#connection.unref();
  }
}

/** @throws {TypeError} What would end a line of its head. */
function bytesOf({ verb, target, headers, json }: HttpRequest): Uint8Array {
  const body = json === undefined ? undefined : encoder.encode(json);
  const lines = [`${verb} ${target} HTTP/1.1`, "host: lamina"];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  if (body !== undefined) lines.push("content-type: application/json", `content-length: ${body.length}`);
  if (!lines.every((line) => LINE_REGEXP.test(line))) throw new TypeError(`Cannot send ${JSON.stringify(lines)}`);
  const head = encoder.encode(lines.join("\r\n") + END_OF_HEAD);
  return body === undefined ? head : joined(head, body);
}

/** Where the body begins; -1 where the head is not whole. */
function endOfHead(bytes: Uint8Array): number {
  // The head is ASCII; what bytes of a body stand for does not matter here.
  const at = decoder.decode(bytes).indexOf(END_OF_HEAD);
  return at === -1 ? -1 : at + END_OF_HEAD.length;
}

function joined(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
