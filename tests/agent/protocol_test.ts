// SPDX-License-Identifier: Apache-2.0

import { assertEquals, assertRejects } from "@std/assert";
import { failureOf, readJsonObject, RequestError } from "../../lib/agent/protocol.ts";
import { StorageError } from "../../lib/errors.ts";

/** A request whose body comes as `pull` gives it. */
function requestOf(pull: (controller: ReadableStreamDefaultController<Uint8Array>) => void): Request {
  return new Request("http://agent/", { method: "POST", body: new ReadableStream({ pull }) });
}

const NEVER = new AbortController().signal;
const LIMITS = { bytes: 10, milliseconds: 50 };

async function codeOf(request: Request): Promise<string> {
  return (await assertRejects(() => readJsonObject(request, NEVER, LIMITS), RequestError)).code;
}

Deno.test("readJsonObject() gives up a body that does not come", async () => {
  const stalled = requestOf((): Promise<void> => new Promise(() => {}));
  assertEquals(await codeOf(stalled), "body_too_slow");
});

Deno.test("readJsonObject() waits for nothing once the agent ends", async () => {
  const end = new AbortController();
  const stalled = requestOf((): Promise<void> => new Promise(() => {}));
  const reading = assertRejects(() => readJsonObject(stalled, end.signal), RequestError);
  end.abort();
  assertEquals((await reading).code, "body_too_slow");
  const late = requestOf((): Promise<void> => new Promise(() => {}));
  assertEquals((await assertRejects(() => readJsonObject(late, end.signal), RequestError)).code, "body_too_slow");
});

Deno.test("readJsonObject() gives up a body without end at its limit", async () => {
  let bytes = 0;
  const endless = requestOf((controller) => {
    bytes += 4;
    controller.enqueue(new Uint8Array(4));
  });
  assertEquals(await codeOf(endless), "body_too_large");
  assertEquals(bytes < 30, true, `${bytes} bytes were read`);
});

Deno.test("readJsonObject() reads a body that just fits, in however many pieces", async () => {
  const pieces = ['{"', 'a":', "1", " ".repeat(3), "}"].map((piece) => new TextEncoder().encode(piece));
  const request = requestOf((controller) => {
    const piece = pieces.shift();
    if (piece === undefined) controller.close();
    else controller.enqueue(piece);
  });
  assertEquals(await readJsonObject(request, NEVER, LIMITS), { a: 1 });
});

Deno.test("failureOf() tells what went wrong, on what, and what to do", () => {
  const known = new StorageError("layer_in_use", "Cannot remove it", { hint: "unmount it" });
  assertEquals(failureOf(known, "Cannot"), {
    status: 409,
    code: "layer_in_use",
    message: "Cannot remove it",
    hint: "unmount it",
  });
  assertEquals(failureOf(new TypeError("no"), "Cannot do"), {
    status: 500,
    code: "system_error",
    message: "Cannot do: no",
  });
});
