// SPDX-License-Identifier: Apache-2.0

/** Requests to lamina's own API that nobody should send: each is refused with a code, and changes nothing. */

import { assertEquals, assertMatch, equal } from "@std/assert";
import { namesIn } from "../_helpers/names_in.ts";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { listTree } from "../_helpers/tree.ts";
import { tarOf } from "../archive/_tar_of.ts";
import { ApiAgent, requestHead } from "./_api_agent.ts";
import { RawConnection } from "./_raw_http.ts";
import { until } from "./_until.ts";

const NEEDS = [needsRoot, needsOverlay];
const MALFORMED = "400 malformed_request";
const INVALID = "400 invalid_argument";
const UNKNOWN = "404 unknown_method";
const ARCHIVE = tarOf([{ path: "file", data: "content\n" }]);

const json = (fields: unknown): string => JSON.stringify(fields);

type Refusal = readonly [verb: string, path: string, body: string | Uint8Array, answer: string];

const REFUSALS: readonly Refusal[] = [
  // Places that there are not.
  ["GET", "/", "", UNKNOWN],
  ["GET", "/v1", "", UNKNOWN],
  ["GET", "/v2/layers", "", UNKNOWN],
  ["GET", "/v1/layers/base/frob", "", UNKNOWN],
  ["GET", "/v1/layers/base/diff/more", "", UNKNOWN],
  ["GET", "/constructor", "", UNKNOWN],
  ["GET", "/__proto__", "", UNKNOWN],
  ["POST", "/Plugin.Activate", "", UNKNOWN],
  ["PATCH", "/v1/layers", "", "405 wrong_verb"],
  ["DELETE", "/v1/layers", "", "405 wrong_verb"],
  ["constructor", "/v1/layers", "", "405 wrong_verb"],
  ["GET", "/v1/cleanup", "", "405 wrong_verb"],
  // Bodies.
  ["POST", "/v1/layers", "", MALFORMED],
  ["POST", "/v1/layers", "{", MALFORMED],
  ["POST", "/v1/layers", "[]", MALFORMED],
  ["POST", "/v1/layers", "null", MALFORMED],
  ["POST", "/v1/layers", "{}", MALFORMED],
  ["POST", "/v1/layers", json({ id: 1 }), MALFORMED],
  ["POST", "/v1/layers", json({ id: "new", parnet: "base" }), MALFORMED],
  ["POST", "/v1/layers", json({ id: "new", readWrite: "yes" }), MALFORMED],
  ["POST", "/v1/layers", json({ id: "new", storageOptions: { size: 1 } }), MALFORMED],
  ["POST", "/v1/layers", json({ id: "new", idMaps: { uidMaps: [{ containerId: 0 }] } }), MALFORMED],
  ["POST", "/v1/layers", json({ id: "new", idMaps: { uids: [] } }), MALFORMED],
  [
    "POST",
    "/v1/layers",
    json({ id: "new", idMaps: { uidMaps: [{ containerId: 0, hostId: -1, size: 1 }] } }),
    INVALID,
  ],
  ["POST", "/v1/layers", '{"__proto__":{"id":"new"}}', MALFORMED],
  ["POST", "/v1/layers", json({ id: "new", x: "x".repeat(1 << 20) }), "413 body_too_large"],
  ["POST", "/v1/layers/c/mount", json({ readOnly: 1 }), MALFORMED],
  ["POST", "/v1/layers/c/mount", json({ mountOptions: "ro" }), MALFORMED],
  ["POST", "/v1/layers/c/mount", json({ mountOptions: ["upperdir=/etc"] }), INVALID],
  // Queries.
  ["GET", "/v1/layers/base/diff?compression=lzma", "", MALFORMED],
  ["GET", "/v1/layers/base/diff?compress=gzip", "", MALFORMED],
  ["GET", "/v1/layers/base/diff?digest=1", "", MALFORMED],
  ["GET", "/v1/layers/base/diff?parent=base&parent=c", "", MALFORMED],
  ["GET", "/v1/layers/base/diff?xattrs=user,all", "", MALFORMED],
  ["GET", "/v1/layers/base/changes?parent=../base", "", INVALID],
  ["PUT", "/v1/layers/c/diff?limits.bytes=-1", ARCHIVE, MALFORMED],
  ["PUT", "/v1/layers/c/diff?limits.colour=1", ARCHIVE, MALFORMED],
  ["PUT", "/v1/layers/c/diff?limits=1", ARCHIVE, MALFORMED],
  ["PUT", "/v1/layers/c/diff?limits.bytes=1", ARCHIVE, "413 limit_exceeded"],
  ["PUT", "/v1/layers/c/diff", "", "400 invalid_archive"],
  ["PUT", "/v1/layers/c/diff", "x".repeat(100_000), "400 invalid_archive"],
  ["PUT", "/v1/layers/base/diff", ARCHIVE, "409 layer_not_empty"],
  ["GET", "/v1/layers/base/diff?pipe=../lamina.sock", "", "404 pipe_not_found"],
  ["PUT", "/v1/layers/c/diff?pipe=", "", "404 pipe_not_found"],
  ["DELETE", "/v1/layers/base?force=maybe", "", MALFORMED],
  ["GET", "/v1/layers/base/files?path=../../l", "", "400 unsafe_path"],
  // What is not there.
  ["GET", "/v1/layers/none", "", "404 layer_not_found"],
  ["GET", "/v1/layers/none/diff", "", "404 layer_not_found"],
  ["GET", "/v1/jobs/no-such-job", "", "404 job_not_found"],
  ["DELETE", "/v1/jobs/%2e%2e%2fx", "", "404 job_not_found"],
  // An address without its dots is that of something else.
  ["DELETE", "/v1/layers/../layers", "", "405 wrong_verb"],
];

/** The store, but for times: an archive that is refused comes and goes. */
async function storeTree(home: string): Promise<string[]> {
  return (await listTree(home)).map((line) => line.replace(/ mtime=\S+/, ""));
}

/** Ids as they stand in an address; a dot or two, an address loses itself. */
const BAD_IDS = ["", "%2e%2e%2fbase", "a%2fb", "%2fetc", "a%00b", "a%0ab", "-a", "l", "%c3%a4", "%", "a".repeat(256)];

testNeeding(NEEDS, "requests that are wrong are refused, and change nothing", async (test) => {
  await using directory = await TempDir.make();
  await using api = await ApiAgent.start(directory);
  await api.ok("POST", "/v1/layers", { id: "base" });
  assertEquals((await api.call("PUT", "/v1/layers/base/diff", ARCHIVE))?.status, 200);
  await api.ok("POST", "/v1/layers", { id: "c", parent: "base", readWrite: true });
  const before = await storeTree(api.home);

  await test.step("each with its code", async () => {
    for (const [verb, path, body, expected] of REFUSALS) {
      const shown = typeof body === "string" ? body.slice(0, 60) : "…";
      assertEquals(await api.refusalOf(verb, path, body), expected, `${verb} ${path} ${shown}`);
    }
  });

  await test.step("ids that are paths, in an address and in a body", async () => {
    for (const id of BAD_IDS) {
      for (const rest of ["", "/diff", "/changes", "/size", "/exists", "/metadata", "/files"]) {
        assertMatch(await api.refusalOf("GET", `/v1/layers/${id}${rest}`), /^400 /, id + rest);
      }
      assertMatch(await api.refusalOf("DELETE", `/v1/layers/${id}`), /^400 /, id);
      assertMatch(await api.refusalOf("DELETE", `/v1/layers/${id}/mount`), /^400 /, id);
      assertMatch(await api.refusalOf("PUT", `/v1/layers/${id}/diff`, ARCHIVE), /^400 /, id);
    }
    for (const id of ["", "..", "../base", "/etc", "a\0b", "l"]) {
      for (const fields of [{ id }, { id: "new", parent: id }, { id: "new", template: id }]) {
        assertEquals(await api.refusalOf("POST", "/v1/layers", json(fields)), INVALID, json(fields));
      }
    }
  });

  await test.step("names of jobs that are none, or taken", async () => {
    using connection = await RawConnection.open(api.socket);
    const answers: (number | undefined)[] = [];
    for (const name of ["short", "../../../etc", "a-fine-name", "a-fine-name"]) {
      await connection.send(`GET /v1/layers/base/size HTTP/1.1\r\nHost: lamina\r\nLamina-Job: ${name}\r\n\r\n`);
      answers.push((await connection.answer())?.status);
    }
    assertEquals(answers, [400, 400, 200, 409]);
  });

  await test.step("a pipe is for one archive, and stays for none that is refused", async () => {
    const pipes = directory.join("run/lamina.sock.pipes");
    const { name, path } = await api.ok("POST", "/v1/pipes") as { name: string; path: string };
    assertEquals(await namesIn(pipes), [name]);
    assertEquals((await Deno.lstat(path)).mode! & 0o777, 0o600);
    assertEquals(await api.refusalOf("GET", `/v1/layers/base/diff?pipe=${name}&digest=maybe`), MALFORMED);
    assertEquals(await api.refusalOf("GET", `/v1/layers/base/diff?pipe=${name}`), "404 pipe_not_found");
    assertEquals(await namesIn(pipes), []);
    // Nobody reads it.
    const unread = await api.ok("POST", "/v1/pipes") as { name: string };
    assertEquals(await api.refusalOf("GET", `/v1/layers/base/diff?pipe=${unread.name}`), "499 output_closed");
    for (let i = 0; i < 300; i++) await api.ok("POST", "/v1/pipes");
    assertEquals((await namesIn(pipes)).length, 256);
  });

  await test.step("peers that stall or go away keep nobody from being answered", async () => {
    using head = await RawConnection.open(api.socket);
    await head.send("POST /v1/layers HTTP/1.1\r\nHost:");
    using body = await RawConnection.open(api.socket);
    await body.send(`${requestHead("POST", "/v1/layers", 12)}{"id":"ne`);
    using archive = await RawConnection.open(api.socket);
    await archive.send(requestHead("PUT", "/v1/layers/c/diff", ARCHIVE.length));
    {
      using gone = await RawConnection.open(api.socket);
      await gone.send(requestHead("PUT", "/v1/layers/c/diff", ARCHIVE.length));
      await gone.send(ARCHIVE.subarray(0, 600));
    }
    assertEquals(await api.ok("GET", "/v1/layers/c/exists"), { id: "c", exists: true });
  });

  // The apply that broke off may be clearing away what it made.
  await until(async () => equal(await storeTree(api.home).catch(() => undefined), before));
});
