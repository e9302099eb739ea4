// SPDX-License-Identifier: Apache-2.0

/**
 * What systemd is to a service: a datagram socket. Python holds it, since Deno has none without a flag.
 *
 * @module
 */

/** Each message, and when it came, as a line of JSON. */
const RECEIVER = `
import json, socket, sys, time
name = sys.argv[1]
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind("\\0" + name[1:] if name.startswith("@") else name)
print("[]", flush=True)
while True:
    text = receiver.recv(65536).decode()
    print(json.dumps({"at": time.monotonic() * 1000, "text": text}), flush=True)
`;

/** What a service said. */
export interface Message {
  /** Milliseconds of a clock that only runs forward. */
  at: number;
  text: string;
}

/** The socket; disposing it closes it. */
export class NotifySocket implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #end: Promise<void>;
  /** All that came. */
  readonly messages: Message[] = [];
  #more = Promise.withResolvers<void>();

  private constructor(readonly name: string) {
    this.#child = new Deno.Command("python3", { args: ["-c", RECEIVER, name], stdin: "null", stdout: "piped" }).spawn();
    this.#end = this.#read();
  }

  /** Listens on `name`: a path, or `@` and an abstract name. */
  static async open(name: string): Promise<NotifySocket> {
    const socket = new NotifySocket(name);
    await socket.#more.promise;
    return socket;
  }

  /** How many messages came that have this line. */
  count(line: string): number {
    return this.messages.filter(({ text }) => text.split("\n").includes(line)).length;
  }

  /** Waits until `isEnough`. */
  async until(isEnough: () => boolean): Promise<void> {
    while (!isEnough()) await this.#more.promise;
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const piece of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + piece).split("\n");
      rest = lines.pop()!;
      for (const line of lines) if (line !== "[]") this.messages.push(JSON.parse(line) as Message);
      this.#more.resolve();
      this.#more = Promise.withResolvers<void>();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#end;
  }
}
