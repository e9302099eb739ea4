// SPDX-License-Identifier: Apache-2.0

/** Requests that nobody should send: each is refused with a code, changes nothing, and leaves an agent that goes on. */

import { assert, assertEquals, assertMatch, equal } from "@std/assert";
import { needsOverlay, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { TempDir } from "../_helpers/temp_dir.ts";
import { listTree, type TreeEntry } from "../_helpers/tree.ts";
import { DockerClient } from "./_docker_client.ts";
import { callRaw, RawConnection } from "./_raw_http.ts";
import { until } from "./_until.ts";

const NEEDS = [needsRoot, needsOverlay];
const decoder = new TextDecoder();
const MALFORMED = "400 malformed_request";
const INVALID = "400 invalid_argument";

const WITH_ID = [
  "Create",
  "CreateReadWrite",
  "Remove",
  "Get",
  "Put",
  "Exists",
  "GetMetadata",
  "Diff",
  "Changes",
  "DiffSize",
];

/** Ids that want to be paths, or can be no names. */
const BAD_IDS = ["..", ".", "../base", "a/b", "/etc", "a\0b", "a\nb", "-a", "l", "ä", "a".repeat(256), " "];

const BAD_BODIES: readonly (readonly [name: string, body: string, answer: string])[] = [
  ["no body, as in a repeated request", "", MALFORMED],
  ["blanks", " \n", MALFORMED],
  ["half a document", '{"ID":"ba', MALFORMED],
  ["a list", '["base"]', MALFORMED],
  ["null", "null", MALFORMED],
  ["no JSON", "ID=base", MALFORMED],
  ["no id", "{}", MALFORMED],
  ["an empty id", '{"ID":""}', MALFORMED],
  ["an id that is null", '{"ID":null}', MALFORMED],
  ["an id that is a number", '{"ID":1}', MALFORMED],
  ["an id that is a list", '{"ID":["base"]}', MALFORMED],
  ["an id of another name", '{"id":"base"}', MALFORMED],
  ["an id that is inherited", '{"__proto__":{"ID":"base"}}', MALFORMED],
  ["bytes that are no text", '{"ID":"\xff"}', INVALID],
  ["a body over the limit", `{"ID":"base","x":"${"x".repeat(1 << 20)}"}`, "413 body_too_large"],
];

/** An agent with a layer, on which nothing may leave a trace. */
async function withAgent(use: (client: DockerClient) => Promise<void>): Promise<void> {
  await using directory = await TempDir.make();
  await using client = await DockerClient.start(directory);
  await client.layer("base", "", [{ path: "file", data: "content\n" }]);
  await client.ok("CreateReadWrite", { ID: "c", Parent: "base" });
  // An apply is made in the layer's directory, and leaves a time there.
  const seen = (entry: TreeEntry): TreeEntry => entry.path.includes("/") ? entry : { ...entry, mtime: "" };
  const before = await listTree(client.home, { seen });
  await use(client);
  // An apply that broke off may be clearing away what it made.
  await until(async () => equal(await listTree(client.home, { seen }).catch(() => undefined), before));
  assertEquals(await client.ok("Exists", { ID: "base" }), { Exists: true });
}

/** Status and code of the answer to a request. */
async function refusalOf(client: DockerClient, target: string, body: string | Uint8Array): Promise<string> {
  const answer = await callRaw(client.agent.socket, target, body);
  const { Err: message, Code: code } = JSON.parse(decoder.decode(answer.body)) as { Err?: string; Code?: string };
  return message === undefined ? `${answer.status}` : `${answer.status} ${code}`;
}

testNeeding(NEEDS, "bodies that are wrong are refused by every method that takes an id", async (test) => {
  await withAgent(async (client) => {
    for (const [name, text, expected] of BAD_BODIES) {
      await test.step(name, async () => {
        const body = Uint8Array.from(text, (character) => character.charCodeAt(0));
        for (const method of WITH_ID) {
          assertEquals(await refusalOf(client, `GraphDriver.${method}`, body), expected, method);
        }
      });
    }
  });
});

testNeeding(NEEDS, "ids that are paths are refused by every method, as a parent too", async () => {
  await withAgent(async (client) => {
    for (const id of BAD_IDS) {
      const body = JSON.stringify({ ID: id });
      for (const method of WITH_ID) assertEquals(await refusalOf(client, `GraphDriver.${method}`, body), INVALID, id);
      const child = JSON.stringify({ ID: "child", Parent: id });
      for (const method of ["Create", "CreateReadWrite"]) {
        assertEquals(await refusalOf(client, `GraphDriver.${method}`, child), INVALID, id);
      }
    }
    for (const id of ["..", "../base", "/etc", "%2e%2e", "a%00", "base&id="]) {
      const target = `GraphDriver.ApplyDiff?id=${id}&parent=`;
      assertMatch(await refusalOf(client, target, new Uint8Array(1024)), /^40[04] /, id);
    }
  });
});

testNeeding(NEEDS, "an archive that is refused is read first: its client would not see the answer", async () => {
  await withAgent(async (client) => {
    const archive = new Uint8Array(8_000_000).fill(1);
    for (const [id, expected] of [["..", INVALID], ["none", "404 layer_not_found"], ["", MALFORMED]] as const) {
      assertEquals(await refusalOf(client, `GraphDriver.ApplyDiff?id=${id}&parent=`, archive), expected);
    }
    assertEquals(await refusalOf(client, "GraphDriver.ApplyDiff?id=c&parent=base", archive), "400 invalid_archive");
    assertEquals(await refusalOf(client, "GraphDriver.Frob", archive), "404 unknown_method");
  });
});

testNeeding(NEEDS, "methods that there are not, and verbs that there should not be, are refused", async () => {
  await withAgent(async (client) => {
    for (
      const method of [
        "",
        "GraphDriver.Frob",
        "GraphDriver.",
        "GraphDriver.get",
        "graphdriver.Get",
        "constructor",
        "__proto__",
      ]
    ) {
      assertEquals(await refusalOf(client, method, '{"ID":"base"}'), "404 unknown_method", method);
    }
    for (const method of ["Plugin.Activate", "GraphDriver.Remove", "GraphDriver.Diff", "GraphDriver.ApplyDiff"]) {
      using connection = await RawConnection.open(client.agent.socket);
      await connection.send(`GET /${method} HTTP/1.1\r\nHost: \r\n\r\n`);
      assertEquals((await connection.answer())?.status, 405, method);
    }
  });
});

const BAD_FIELDS: readonly (readonly [method: string, fields: Record<string, unknown>, answer: string])[] = [
  ["Init", {}, MALFORMED],
  ["Init", { Home: "" }, MALFORMED],
  ["Init", { Home: "/a\0b" }, INVALID],
  ["Init", { Home: "/tmp/x", Opts: "a=b" }, MALFORMED],
  ["Init", { Home: "/tmp/x", Opts: [1] }, MALFORMED],
  ["Init", { Home: "/tmp/x", Opts: ["nothing"] }, INVALID],
  ["Init", { Home: "/tmp/x", UIDMaps: [{ ContainerID: 0, HostID: 1, Size: 1 }] }, MALFORMED],
  ["Init", { Home: "/tmp/x", UIDMaps: [{ "container_id": 0, "host_id": -1, size: 1 }] }, INVALID],
  ["Init", { Home: "/tmp/x", UIDMaps: [{ "container_id": 0, "host_id": 4294967295, size: 9 }] }, INVALID],
  ["Create", { ID: "d", Parent: 1 }, MALFORMED],
  ["Create", { ID: "d", Parent: "none" }, "404 parent_not_found"],
  ["CreateReadWrite", { ID: "d", StorageOpt: "size=1" }, MALFORMED],
  ["CreateReadWrite", { ID: "d", StorageOpt: { size: 1 } }, MALFORMED],
  ["CreateReadWrite", { ID: "d", StorageOpt: { size: "much" } }, INVALID],
  ["CreateReadWrite", { ID: "d", StorageOpt: { colour: "red" } }, INVALID],
  ["Get", { ID: "c", MountLabel: 1 }, MALFORMED],
  ["Get", { ID: "none" }, "404 layer_not_found"],
  ["GetMetadata", { ID: "none" }, "404 layer_not_found"],
  ["Changes", { ID: "base", Parent: "none" }, "404 layer_not_found"],
];

testNeeding(NEEDS, "fields that are wrong are refused", async () => {
  await withAgent(async (client) => {
    for (const [method, fields, expected] of BAD_FIELDS) {
      const answer = await refusalOf(client, `GraphDriver.${method}`, JSON.stringify(fields));
      assertEquals(answer, expected, `${method} ${JSON.stringify(fields)}`);
    }
  });
});

testNeeding(NEEDS, "peers that speak no HTTP, stall or go away keep nobody from being answered", async () => {
  await withAgent(async (client) => {
    const { socket } = client.agent;
    using stalledHead = await RawConnection.open(socket);
    await stalledHead.send("POST /GraphDriver.Remove HTTP/1.1\r\nHost:");
    using stalledBody = await RawConnection.open(socket);
    await stalledBody.send('POST /GraphDriver.Remove HTTP/1.1\r\nHost:\r\nContent-Length: 13\r\n\r\n{"ID":"base"');
    using _silent = await RawConnection.open(socket);
    for (
      const bytes of ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "POST /x HTTP/9.9\r\n\r\n", `POST /${"x".repeat(1 << 20)}`]
    ) {
      using connection = await RawConnection.open(socket);
      await connection.send(bytes).catch(() => {});
      const answer = await connection.answer();
      assert(answer === undefined || answer.status >= 400, bytes.slice(0, 20));
    }
    {
      using gone = await RawConnection.open(socket);
      await gone.send('POST /GraphDriver.Remove HTTP/1.1\r\nHost:\r\nContent-Length: 13\r\n\r\n{"ID":"base"');
    }
    assertEquals(await client.ok("Exists", { ID: "c" }), { Exists: true });
  });
});
