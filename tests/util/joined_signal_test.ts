// SPDX-License-Identifier: Apache-2.0

import { assert, assertEquals } from "@std/assert";
import { JoinedSignal } from "../../lib/util/joined_signal.ts";
import { runOk } from "../_helpers/run.ts";

Deno.test("JoinedSignal is aborted by whichever comes first, with its reason", () => {
  const [first, second] = [new AbortController(), new AbortController()];
  using joined = new JoinedSignal(first.signal, undefined, second.signal);
  assert(!joined.signal.aborted);
  second.abort(new Error("second"));
  first.abort(new Error("first"));
  assertEquals((joined.signal.reason as Error).message, "second");
});

Deno.test("JoinedSignal of one that was aborted before is aborted", () => {
  using joined = new JoinedSignal(new AbortController().signal, AbortSignal.abort("before"));
  assertEquals(joined.signal.reason, "before");
});

Deno.test("JoinedSignal that was disposed hears no more", () => {
  const controller = new AbortController();
  const joined = new JoinedSignal(controller.signal);
  joined[Symbol.dispose]();
  controller.abort();
  assert(!joined.signal.aborted);
});

Deno.test("JoinedSignal keeps its listeners when garbage is collected", async () => {
  const module = new URL("../../lib/util/joined_signal.ts", import.meta.url).href;
  const program = `
    import { JoinedSignal } from "${module}";
    const controller = new AbortController();
    (() => new JoinedSignal(controller.signal).signal.addEventListener("abort", () => console.log("heard")))();
    for (let i = 0; i < 3; i++) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    controller.abort();
  `;
  const args = ["eval", "--v8-flags=--expose-gc", program];
  assertEquals((await runOk(Deno.execPath(), args)).stdout, "heard\n");
});
