// SPDX-License-Identifier: Apache-2.0

/** Each fault of `deno task soak` for some seconds, and that a loss would be noticed. */

import "../_helpers/warm_libc.ts";
import { assert, assertEquals } from "@std/assert";
import { openDriver } from "../../mod.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { tableOf } from "./fault.ts";
import { FAULTS } from "./faults.ts";
import { after, EMPTY_STORE, type LedgerLine, type Operation, readLedger } from "./layer_model.ts";
import { perform } from "./operations.ts";
import { checkStore, lossesOf } from "./store_check.ts";

for (const fault of FAULTS) {
  testNeeding(fault.needs, fault.promise, async () => {
    const seed = crypto.getRandomValues(new Uint16Array(1))[0]!;
    const { tried, lost } = await fault.run({ form: "short", seconds: 0, seed, onProgress: () => {} });
    assertEquals(lost, [], `again: deno task soak --short --faults ${fault.name} --seed ${seed}`);
    assert(tried > 0);
  });
}

const STORY: readonly Operation[] = [
  { kind: "create", id: "base" },
  { kind: "apply", id: "base", key: 1 },
  { kind: "create", id: "child", parent: "base" },
  { kind: "apply", id: "child", key: 2 },
  { kind: "createReadWrite", id: "job", parent: "child" },
  { kind: "get", id: "job" },
];

testNeeding(
  [needsRoot, needsOverlay],
  "checkStore() notices each kind of loss, and only where there is one",
  async () => {
    const damages: [string, string, RegExp][] = [
      ["none", "true", /^$/],
      ["a byte", `printf x | dd of=child/diff/own-2/file-5 bs=1 conv=notrunc`, /child: own-2\/file-5: expected/],
      ["a file", "rm base/diff/shared", /base: shared: expected .*, found nothing/],
      ["a layer", "umount job/merged; rm -r job", /job: it is not there/],
      ["a layer's own file", "umount job/merged; : >job/lower", /job\/lower: a strange or empty file/],
      ["a mount", "umount job/merged", /job: counted 0 users/],
      ["a strange mount", "mkdir x; mount -t tmpfs x x", /a mount that nobody holds/],
      ["a strange name", "mkdir -p +x", /\+x: a strange name/],
      ["a strange layer", "cp -a child copy", /copy: it was removed, or never made/],
    ];
    for (const [what, script, expected] of damages) {
      await using directory = await TempDir.make();
      const place = { root: directory.join("root"), runRoot: directory.join("run"), driver: "overlay2" } as const;
      const lines: LedgerLine[] = [];
      let home;
      {
        await using driver = await openDriver({ ...place, work: "in-place" });
        // A driver that is not disposed holds its mounts, as a process that died does.
        const holder = await openDriver({ ...place, work: "in-place" });
        home = driver.home;
        let state = EMPTY_STORE;
        for (const operation of STORY) {
          const mounted = await perform(operation.kind === "get" ? holder : driver, state, operation);
          lines.push({ begin: operation }, { done: operation, mounted });
          state = after("overlay2", state, operation, mounted);
        }
      }
      const { code, stderr } = await new Deno.Command("bash", { args: ["-ec", script], cwd: home }).output();
      assertEquals(code, 0, new TextDecoder().decode(stderr));
      const losses = lossesOf(await checkStore(place, readLedger("overlay2", EMPTY_STORE, lines))).join("\n");
      assert(expected.test(losses), `${what}: ${losses}`);
    }
  },
);

Deno.test("tableOf() counts what was tried, what survived and what was lost", () => {
  const fault = { name: "x", promise: "it holds", needs: [], run: () => Promise.reject(new Error()) };
  const table = tableOf([
    { fault, tally: { tried: 1200, lost: ["a"], note: "n" }, seconds: 1.4 },
    { fault, tally: { skipped: "no" }, seconds: 0 },
  ]);
  assertEquals(table.split("\n").map((line) => line.replaceAll(/ +/g, " ")).slice(2), [
    "| it holds | 1,200 | 1,199 | 1 | 1 | n |",
    "| it holds | 0 | | | | skipped: no |",
  ]);
});
