// SPDX-License-Identifier: Apache-2.0

/**
 * What systemd is to a service: a datagram socket. Python holds it, since Deno has none without a flag.
 *
 * @module
 */

import { until } from "./_until.ts";

const OPEN = "open";
/** Each message, and when it came, as a line of JSON. */
const RECEIVER = `
import json, socket, sys, time
name = sys.argv[1]
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind("\\0" + name[1:] if name.startswith("@") else name)
print("${OPEN}", flush=True)
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
  #isOpen = false;

  private constructor(readonly name: string) {
    this.#child = new Deno.Command("python3", { args: ["-c", RECEIVER, name], stdin: "null", stdout: "piped" }).spawn();
    this.#end = this.#read();
  }

  /** Listens on `name`: a path, or `@` and an abstract name. */
  static async open(name: string): Promise<NotifySocket> {
    await using undo = new AsyncDisposableStack();
    const socket = undo.use(new NotifySocket(name));
    await until(() => socket.#isOpen);
    undo.move();
    return socket;
  }

  /** How many messages came that have this line. */
  count(line: string): number {
    return this.messages.filter(({ text }) => text.split("\n").includes(line)).length;
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const piece of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + piece).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (line === OPEN) this.#isOpen = true;
        else this.messages.push(JSON.parse(line) as Message);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#end;
  }
}
