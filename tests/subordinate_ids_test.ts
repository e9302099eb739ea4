// SPDX-License-Identifier: Apache-2.0

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { StorageError } from "../lib/errors.ts";
import {
  parseSubordinateIds,
  readSubordinateIds,
  remapIdMaps,
  rootlessIdMaps,
  type SubordinateRange,
} from "../lib/subordinate_ids.ts";
import { TempDir } from "./_helpers/temp_dir.ts";

const ALICE = { name: "alice", uid: 1000, gid: 100 };

const READ: readonly { what: string; text: string; ranges: SubordinateRange[] }[] = [
  { what: "no line", text: "", ranges: [] },
  { what: "a name", text: "alice:100000:65536\n", ranges: [{ first: 100000, size: 65536 }] },
  { what: "a number", text: "1000:100000:65536\n", ranges: [{ first: 100000, size: 65536 }] },
  { what: "a last line without an end", text: "alice:100000:65536", ranges: [{ first: 100000, size: 65536 }] },
  {
    what: "several lines, by name and number, in the order of the file",
    text: "bob:1:1\nalice:300000:10\n1000:200000:20\n",
    ranges: [{ first: 300000, size: 10 }, { first: 200000, size: 20 }],
  },
  {
    what: "ranges that touch",
    text: "alice:100000:10\nalice:100010:10\nalice:99990:10\n",
    ranges: [{ first: 100000, size: 10 }, { first: 100010, size: 10 }, { first: 99990, size: 10 }],
  },
  {
    what: "both sides of the user's own id",
    text: "alice:1:999\nalice:1001:64535\n",
    ranges: [{ first: 1, size: 999 }, { first: 1001, size: 64535 }],
  },
  { what: "the largest id", text: "alice:4294967294:1\n", ranges: [{ first: 4294967294, size: 1 }] },
  {
    what: "nothing of lines that belong to others",
    text: "# alice:1:1\n\n:1:1\nbob\nbob:x:y\nalicia:5:0\n10000:1:1\n100:1:1\n",
    ranges: [],
  },
];

for (const { what, text, ranges } of READ) {
  Deno.test(`parseSubordinateIds() reads ${what}`, () => {
    assertEquals(parseSubordinateIds(text, "/etc/subuid", ALICE, ALICE.uid), ranges);
  });
}

const REFUSED: readonly [line: string, reason: string][] = [
  ["alice", "OWNER:FIRST:COUNT"],
  ["alice:100000", "OWNER:FIRST:COUNT"],
  ["alice:100000:", "OWNER:FIRST:COUNT"],
  ["alice:100000:65536:1", "OWNER:FIRST:COUNT"],
  ["alice:100000:65536 ", "OWNER:FIRST:COUNT"],
  ["alice:-5:65536", "OWNER:FIRST:COUNT"],
  ["alice:0x10000:65536", "OWNER:FIRST:COUNT"],
  ["alice:1e5:65536", "OWNER:FIRST:COUNT"],
  ["alice:99999999999999999999:1", "OWNER:FIRST:COUNT"],
  ["1000:many:65536", "OWNER:FIRST:COUNT"],
  ["alice:100000:0", "no ids"],
  ["alice:4294967295:1", "no id past 4294967294"],
  ["alice:100000:4294967295", "no id past 4294967294"],
  ["alice:0:1", "0 is root's id"],
  ["alice:1000:1", "1000 is the user's own id"],
  ["1000:900:101", "1000 is the user's own id"],
  ["alice:500000:2", "line 2 has some of its ids"],
  ["alice:500009:100", "line 2 has some of its ids"],
  ["1000:400000:200000", "line 2 has some of its ids"],
];

for (const [line, reason] of REFUSED) {
  Deno.test(`parseSubordinateIds() refuses "${line}": ${reason}`, () => {
    const text = `bob:100000:65536\nalice:500000:10\n${line}\n`;
    const error = assertThrows(() => parseSubordinateIds(text, "/some/subuid", ALICE, ALICE.uid), StorageError);
    assertEquals(error.code, "invalid_argument");
    assertStringIncludes(error.message, "line 3 of /some/subuid");
    assertStringIncludes(error.message, reason);
  });
}

Deno.test("readSubordinateIds() looks for the user's name in both files", async () => {
  await using directory = await TempDir.make();
  const files = { uids: directory.join("subuid"), gids: directory.join("subgid") };
  assertEquals(readSubordinateIds(ALICE, files), { uids: [], gids: [] });
  await Deno.writeTextFile(files.uids, "alice:100000:10\n");
  await Deno.writeTextFile(files.gids, "dockremap:7:7\n1000:200000:20\n");
  assertEquals(readSubordinateIds(ALICE, files), {
    uids: [{ first: 100000, size: 10 }],
    gids: [{ first: 200000, size: 20 }],
  });
  assertEquals(readSubordinateIds({ name: "dockremap" }, files), { uids: [], gids: [{ first: 7, size: 7 }] });
  assertThrows(() => readSubordinateIds({ ...ALICE, gid: 200005 }, files), StorageError, "200005 is the user's own id");
  assertEquals(readSubordinateIds({ uid: 1000 }, files), { uids: [], gids: [{ first: 200000, size: 20 }] });
});

Deno.test("remapIdMaps() begins with the first subordinate id, and joins ranges", () => {
  const uids = [{ first: 300000, size: 10 }, { first: 200000, size: 20 }];
  assertEquals(remapIdMaps({ uids, gids: [{ first: 5, size: 1 }] }), {
    uidMaps: [{ containerId: 0, hostId: 300000, size: 10 }, { containerId: 10, hostId: 200000, size: 20 }],
    gidMaps: [{ containerId: 0, hostId: 5, size: 1 }],
  });
  for (const ids of [{ uids, gids: [] }, { uids: [], gids: uids }]) {
    const error = assertThrows(() => remapIdMaps(ids), StorageError);
    assertEquals(error.code, "not_supported");
    assertStringIncludes(error.message, ids.uids.length === 0 ? "/etc/subuid" : "/etc/subgid");
  }
});

Deno.test("rootlessIdMaps() begins with the user", () => {
  const uids = [{ first: 300000, size: 10 }, { first: 200000, size: 20 }];
  assertEquals(rootlessIdMaps(1000, 100, { uids, gids: [] }), {
    uidMaps: [
      { containerId: 0, hostId: 1000, size: 1 },
      { containerId: 1, hostId: 300000, size: 10 },
      { containerId: 11, hostId: 200000, size: 20 },
    ],
    gidMaps: [{ containerId: 0, hostId: 100, size: 1 }],
  });
});
