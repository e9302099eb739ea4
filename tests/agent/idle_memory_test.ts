// SPDX-License-Identifier: Apache-2.0

import { assert, assertEquals } from "@std/assert";
import { IdleMemory } from "../../lib/agent/idle_memory.ts";

const IDLE_MS = 60;

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

Deno.test("memory is given back once, when nobody has asked for a while, and never while somebody does", async () => {
  let collected = 0;
  using memory = new IdleMemory(() => void collected++, IDLE_MS);
  await sleep(2 * IDLE_MS);
  assertEquals(collected, 0);
  for (let round = 1; round <= 2; round++) {
    const end = performance.now() + 4 * IDLE_MS;
    let longestMs = 0;
    for (let last = performance.now(); last < end;) {
      memory.busy();
      await sleep(5);
      const now = performance.now();
      longestMs = Math.max(longestMs, now - last);
      last = now;
    }
    // A machine that stood still in between tells nothing.
    if (longestMs < IDLE_MS) assertEquals(collected, round - 1);
    await sleep(4 * IDLE_MS);
    assert(collected >= round);
  }
});

Deno.test("without V8's gc() nothing is given back, and after its end nothing is waited for", () => {
  new IdleMemory(undefined, IDLE_MS).busy();
  const memory = new IdleMemory(() => {}, IDLE_MS);
  memory.busy();
  memory[Symbol.dispose]();
});

Deno.test("V8's gc(), where it is exposed, takes what it is asked for", async () => {
  const script = `
    import { IdleMemory } from ${JSON.stringify(import.meta.resolve("../../lib/agent/idle_memory.ts"))};
    let kept = Array.from({ length: 200 }, () => new Array(50_000).fill(0));
    const own = () => Number(/^RssAnon:\\s*(\\d+)/m.exec(Deno.readTextFileSync("/proc/self/status"))[1]);
    const before = own();
    kept = undefined;
    const memory = new IdleMemory(globalThis.gc, 1);
    memory.busy();
    await new Promise((resolve) => setTimeout(resolve, 500));
    console.log(before - own() > 40_000);
  `;
  const args = ["eval", "--v8-flags=--expose-gc", script];
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), { args }).output();
  assert(success, new TextDecoder().decode(stderr));
  assertEquals(new TextDecoder().decode(stdout).trim(), "true");
});
