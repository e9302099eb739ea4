// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { ERRNO } from "../../ffi/errno.ts";
import { AT_FDCWD, Fd, O_DIRECTORY, O_RDONLY, O_RDWR, openat } from "../../ffi/file.ts";
import {
  fgetxattr,
  flistxattr,
  lgetxattr,
  llistxattr,
  lsetxattr,
  tryFsetxattr,
  tryListxattrat,
  tryLremovexattr,
  tryLsetxattr,
} from "../../ffi/xattr.ts";
import { assertErrno } from "../_helpers/assert_errno.ts";
import { needsProgram, needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { assert, assertEquals, assertThrows } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const BAD_FD = 1_000_000;

class Fixture implements Disposable {
  readonly directory = TempDir.makeSync();
  readonly file = this.directory.join("file");
  readonly #fd: Fd;

  constructor() {
    Deno.writeTextFileSync(this.file, "");
    this.#fd = new Fd(openat(AT_FDCWD, this.file, O_RDWR));
  }
  get fd(): number {
    return this.#fd.fd;
  }
  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
    this.directory[Symbol.dispose]();
  }
}

/** ext4 keeps all attributes of a file in one block of 4 KiB, and the tests set two. */
const LARGE = 1900;

const VALUES: readonly { name: string; value: Uint8Array }[] = [
  { name: "empty", value: new Uint8Array(0) },
  { name: "text", value: new TextEncoder().encode("value") },
  { name: "binary with NUL", value: new Uint8Array([0, 1, 0, 255, 0]) },
  { name: "255 bytes", value: new Uint8Array(255).fill(7) },
  { name: "256 bytes, the first offer", value: new Uint8Array(256).fill(7) },
  { name: "257 bytes", value: new Uint8Array(257).fill(7) },
  { name: "large", value: Uint8Array.from({ length: LARGE }, (_, i) => i % 251) },
];
for (const { name, value } of VALUES) {
  testNeeding([needsRoot], `a value comes back as it was set: ${name}`, () => {
    using fixture = new Fixture();
    lsetxattr(fixture.file, "user.a", value);
    assertEquals(tryFsetxattr(fixture.fd, "trusted.b", value), 0);
    for (const attribute of ["user.a", "trusted.b"]) {
      assertEquals(lgetxattr(fixture.file, attribute)?.slice(), value.slice());
      assertEquals(fgetxattr(fixture.fd, attribute)?.slice(), value.slice());
    }
  });
}

testNeeding([needsRoot], "a value of 64 KiB comes back from a file system that takes it", async () => {
  await using directory = await TempDir.make();
  await runOk("mount", ["-t", "tmpfs", "tmpfs", directory.path]);
  const file = directory.join("file");
  await Deno.writeTextFile(file, "");
  const value = new Uint8Array(65536).fill(9);
  lsetxattr(file, "trusted.large", value);
  assertEquals(lgetxattr(file, "trusted.large")?.length, 65536);
  assertEquals(tryLsetxattr(file, "trusted.larger", new Uint8Array(65537)), -ERRNO.E2BIG);
});

testNeeding(
  [needsProgram("getfattr")],
  "getfattr(1) reads what lsetxattr() wrote, and the other way round",
  async () => {
    using fixture = new Fixture();
    lsetxattr(fixture.file, "user.ours", new Uint8Array([0, 0xff, 0x41]));
    await runOk("setfattr", ["-n", "user.theirs", "-v", "0x00fe42", fixture.file]);
    const { stdout } = await runOk("getfattr", ["-d", "-e", "hex", "--absolute-names", fixture.file]);
    assert(stdout.includes("user.ours=0x00ff41\n"), stdout);
    assertEquals(lgetxattr(fixture.file, "user.theirs")?.slice(), new Uint8Array([0, 0xfe, 0x42]));
  },
);

Deno.test("an attribute that is not there is undefined, also where the file system knows none", () => {
  using fixture = new Fixture();
  assertEquals(lgetxattr(fixture.file, "user.none"), undefined);
  assertEquals(fgetxattr(fixture.fd, "user.none"), undefined);
  assertEquals(lgetxattr("/proc/version", "user.none"), undefined);
  assertEquals(llistxattr("/proc/version"), []);
});

Deno.test("an empty attribute is not a missing one", () => {
  using fixture = new Fixture();
  lsetxattr(fixture.file, "user.empty", new Uint8Array(0));
  assertEquals(lgetxattr(fixture.file, "user.empty")?.length, 0);
});

Deno.test("setting again replaces, removing removes", () => {
  using fixture = new Fixture();
  lsetxattr(fixture.file, "user.a", new Uint8Array(100));
  lsetxattr(fixture.file, "user.a", new Uint8Array(1));
  assertEquals(lgetxattr(fixture.file, "user.a")?.length, 1);
  assertEquals(tryLremovexattr(fixture.file, "user.a"), 0);
  assertEquals(tryLremovexattr(fixture.file, "user.a"), -ERRNO.ENODATA);
  assertEquals(llistxattr(fixture.file), []);
});

Deno.test("llistxattr() and flistxattr() list none, one, and more names than the first offer holds", () => {
  using fixture = new Fixture();
  assertEquals(llistxattr(fixture.file), []);
  assertEquals(flistxattr(fixture.fd), []);
  const names = Array.from({ length: 40 }, (_, i) => `user.attribute-number-${i}`);
  lsetxattr(fixture.file, names[0]!, new Uint8Array(1));
  assertEquals([...llistxattr(fixture.file)], [names[0]!]);
  for (const name of names) lsetxattr(fixture.file, name, new Uint8Array(1));
  assertEquals([...llistxattr(fixture.file)].sort(), names.toSorted());
  assertEquals([...flistxattr(fixture.fd)].sort(), names.toSorted());
});

testNeeding([needsRoot], "tryListxattrat() lists what llistxattr() does, of a link and of many names", () => {
  using fixture = new Fixture();
  using directory = new Fd(openat(AT_FDCWD, fixture.directory.path, O_RDONLY | O_DIRECTORY));
  const [link, many] = [fixture.directory.join("link"), fixture.directory.join("many")];
  Deno.symlinkSync("many", link);
  Deno.writeTextFileSync(many, "");
  // A kernel before 6.13 has no such call.
  if (tryListxattrat(directory.fd, "link") === undefined) return;
  assertEquals(tryListxattrat(directory.fd, "link"), []);
  lsetxattr(link, "trusted.link", new Uint8Array(1));
  assertEquals([...tryListxattrat(directory.fd, "link")!], ["trusted.link"]);
  for (let i = 0; i < 30; i++) lsetxattr(many, `user.${"n".repeat(40)}${i}`, new Uint8Array(1));
  assertEquals(tryListxattrat(directory.fd, "many"), llistxattr(many));
  assertErrno(() => tryListxattrat(directory.fd, "missing"), "ENOENT");
});

testNeeding([needsRoot], "attributes of a symbolic link are its own", () => {
  using fixture = new Fixture();
  const link = fixture.directory.join("link");
  Deno.symlinkSync("file", link);
  lsetxattr(link, "trusted.link", new Uint8Array(1));
  assertEquals([...llistxattr(link)], ["trusted.link"]);
  assertEquals(llistxattr(fixture.file), []);
  assertEquals(tryLsetxattr(link, "user.link", new Uint8Array(1)), -ERRNO.EPERM);
});

Deno.test("xattr calls answer ENOENT, EBADF, EOPNOTSUPP and ERANGE", () => {
  using fixture = new Fixture();
  const missing = fixture.directory.join("missing");
  assertErrno(() => lgetxattr(missing, "user.a"), "ENOENT");
  assertErrno(() => llistxattr(missing), "ENOENT");
  assertErrno(() => fgetxattr(BAD_FD, "user.a"), "EBADF");
  assertErrno(() => flistxattr(BAD_FD), "EBADF");
  assertEquals(tryFsetxattr(BAD_FD, "user.a", new Uint8Array(1)), -ERRNO.EBADF);
  assertEquals(tryLremovexattr(missing, "user.a"), -ERRNO.ENOENT);
  assertEquals(tryLsetxattr(fixture.file, "nonsense", new Uint8Array(1)), -ERRNO.EOPNOTSUPP);
  assertEquals(tryLsetxattr(fixture.file, `user.${"n".repeat(300)}`, new Uint8Array(1)), -ERRNO.ERANGE);
  const error = assertErrno(() => lsetxattr(missing, "user.a", new Uint8Array(3)), "ENOENT");
  assertEquals(error.message, `lsetxattr("${missing}", "user.a", "…", 3): ENOENT`);
});

Deno.test("xattr calls refuse NUL in a path and in a name", () => {
  using fixture = new Fixture();
  const calls = [
    () => lgetxattr("a\0b", "user.a"),
    () => lgetxattr(fixture.file, "user.a\0b"),
    () => fgetxattr(fixture.fd, "user.a\0b"),
    () => lsetxattr("a\0b", "user.a", new Uint8Array(1)),
    () => lsetxattr(fixture.file, "user.a\0b", new Uint8Array(1)),
    () => tryFsetxattr(fixture.fd, "user.a\0b", new Uint8Array(1)),
    () => tryLremovexattr(fixture.file, "user.a\0b"),
    () => llistxattr("a\0b"),
  ];
  for (const call of calls) assertThrows(call, TypeError, "contains NUL");
});
