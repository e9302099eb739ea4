// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { ERRNO } from "../../ffi/errno.ts";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  close,
  existsat,
  Fd,
  fsync,
  ftruncate,
  isatty,
  linkat,
  mkdirat,
  mknodat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
  O_WRONLY,
  openat,
  openat2,
  pipe2,
  read,
  readlinkat,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  renameat2,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  startWriteback,
  symlinkat,
  syncfs,
  tryCopyFileRange,
  tryLseek,
  tryMkdirat,
  tryOpenat,
  tryOpenat2,
  trySendfile,
  trySetPipeSize,
  tryUnlinkat,
  tryWriteBackBeside,
  unlinkat,
  writeAll,
} from "../../ffi/file.ts";
import { assertErrno } from "../_helpers/assert_errno.ts";
import { needsRoot, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../_helpers/std_assert.ts";
import { TempDir } from "../_helpers/temp_dir.ts";

const BAD_FD = 1_000_000;

/** A temporary directory and a descriptor of it. */
class OpenDir implements Disposable {
  readonly directory = TempDir.makeSync();
  readonly #fd = new Fd(openat(AT_FDCWD, this.directory.path, O_RDONLY | O_DIRECTORY));

  get fd(): number {
    return this.#fd.fd;
  }
  path(name: string): string {
    return this.directory.join(name);
  }
  write(name: string, text: string): string {
    Deno.writeTextFileSync(this.path(name), text);
    return this.path(name);
  }
  [Symbol.dispose](): void {
    this.#fd[Symbol.dispose]();
    this.directory[Symbol.dispose]();
  }
}

function readText(fd: number): string {
  const buffer = new Uint8Array(1000);
  return new TextDecoder().decode(buffer.subarray(0, read(fd, buffer)));
}

/** Every wrapper that takes a name: none of them may cut it at a NUL. */
const NUL = "etc\0/passwd";
const WITH_NUL: readonly { name: string; call: () => unknown }[] = [
  { name: "openat", call: () => openat(AT_FDCWD, NUL, O_RDONLY) },
  { name: "tryOpenat", call: () => tryOpenat(AT_FDCWD, NUL, O_RDONLY) },
  { name: "openat2", call: () => openat2(AT_FDCWD, NUL, O_RDONLY, RESOLVE_IN_ROOT) },
  { name: "linkat old", call: () => linkat(AT_FDCWD, NUL, AT_FDCWD, "x") },
  { name: "linkat new", call: () => linkat(AT_FDCWD, "x", AT_FDCWD, NUL) },
  { name: "symlinkat target", call: () => symlinkat(NUL, AT_FDCWD, "x") },
  { name: "symlinkat", call: () => symlinkat("x", AT_FDCWD, NUL) },
  { name: "readlinkat", call: () => readlinkat(AT_FDCWD, NUL) },
  { name: "unlinkat", call: () => unlinkat(AT_FDCWD, NUL) },
  { name: "tryUnlinkat", call: () => tryUnlinkat(AT_FDCWD, NUL) },
  { name: "renameat2 old", call: () => renameat2(AT_FDCWD, NUL, AT_FDCWD, "x") },
  { name: "renameat2 new", call: () => renameat2(AT_FDCWD, "x", AT_FDCWD, NUL) },
  { name: "mkdirat", call: () => mkdirat(AT_FDCWD, NUL, 0o755) },
  { name: "tryMkdirat", call: () => tryMkdirat(AT_FDCWD, NUL, 0o755) },
  { name: "mknodat", call: () => mknodat(AT_FDCWD, NUL, 0o100600) },
  { name: "existsat", call: () => existsat(AT_FDCWD, NUL) },
];
for (const { name, call } of WITH_NUL) {
  Deno.test(`${name}() refuses a name with NUL`, () => {
    assertThrows(call, TypeError, "contains NUL");
  });
}

const FAILING_OPENS: readonly { name: string; path: string; flags: number; code: keyof typeof ERRNO }[] = [
  { name: "a missing name", path: "missing", flags: O_RDONLY, code: "ENOENT" },
  { name: "an empty name", path: "", flags: O_RDONLY, code: "ENOENT" },
  { name: "a file taken for a directory", path: "file/x", flags: O_RDONLY, code: "ENOTDIR" },
  { name: "O_DIRECTORY on a file", path: "file", flags: O_RDONLY | O_DIRECTORY, code: "ENOTDIR" },
  { name: "writing to a directory", path: "dir", flags: O_WRONLY, code: "EISDIR" },
  { name: "O_EXCL on a name that is there", path: "file", flags: O_WRONLY | O_CREAT | O_EXCL, code: "EEXIST" },
  { name: "O_NOFOLLOW on a symbolic link", path: "link", flags: O_RDONLY | O_NOFOLLOW, code: "ELOOP" },
  { name: "links in a circle", path: "circle", flags: O_RDONLY, code: "ELOOP" },
  { name: "a name of 256 bytes", path: "n".repeat(256), flags: O_RDONLY, code: "ENAMETOOLONG" },
];
for (const { name, path, flags, code } of FAILING_OPENS) {
  Deno.test(`openat() and tryOpenat() answer ${code} for ${name}`, () => {
    using dir = new OpenDir();
    dir.write("file", "content");
    Deno.mkdirSync(dir.path("dir"));
    Deno.symlinkSync("file", dir.path("link"));
    Deno.symlinkSync("circle", dir.path("circle"));
    const error = assertErrno(() => openat(dir.fd, path, flags), code);
    assertStringIncludes(error.message, `openat(${dir.fd}, "`);
    assertEquals(tryOpenat(dir.fd, path, flags), -ERRNO[code]);
  });
}

Deno.test("openat() takes the mode, relative and absolute names, and names that are not UTF-8", () => {
  using dir = new OpenDir();
  using created = new Fd(openat(dir.fd, "new", O_WRONLY | O_CREAT | O_EXCL, 0o640));
  writeAll(created.fd, new TextEncoder().encode("hello"));
  assertEquals(Deno.statSync(dir.path("new")).mode! & 0o7777, 0o640);
  using absolute = new Fd(openat(BAD_FD, dir.path("new"), O_RDONLY));
  assertEquals(readText(absolute.fd), "hello");
  const latin1 = new Uint8Array([0xe9, 0xff, 0]);
  using odd = new Fd(openat(dir.fd, latin1, O_WRONLY | O_CREAT, 0o600));
  assert(odd.fd > 2);
  assert(existsat(dir.fd, latin1));
});

Deno.test("openat() gives descriptors that child processes do not inherit", async () => {
  using dir = new OpenDir();
  dir.write("secret", "x");
  using file = new Fd(openat(dir.fd, "secret", O_RDONLY));
  const { stdout } = await runOk("ls", ["-l", "/proc/self/fd"]);
  assert(!stdout.includes(dir.directory.path), `${file.fd} was inherited:\n${stdout}`);
});

Deno.test("openat() answers EBADF for a wrong directory descriptor", () => {
  assertErrno(() => openat(BAD_FD, "x", O_RDONLY), "EBADF");
});

/** A tree with every way out of it. */
function trapDir(): OpenDir {
  const dir = new OpenDir();
  Deno.mkdirSync(dir.path("root/sub/etc"), { recursive: true });
  Deno.mkdirSync(dir.path("root/etc"));
  dir.write("outside", "outside");
  dir.write("root/etc/file", "inside");
  Deno.symlinkSync("/etc/file", dir.path("root/absolute"));
  Deno.symlinkSync("../../../../../../etc/file", dir.path("root/sub/up"));
  Deno.symlinkSync("../outside", dir.path("root/escape"));
  Deno.symlinkSync("/", dir.path("root/slash"));
  Deno.symlinkSync("loop", dir.path("root/loop"));
  return dir;
}

for (
  const path of [
    "etc/file",
    "/etc/file",
    "absolute",
    "sub/up",
    "../../etc/file",
    "slash/slash/etc/file",
    "sub/../etc/file",
  ]
) {
  Deno.test(`openat2(RESOLVE_IN_ROOT) keeps ${path} inside the root`, () => {
    using dir = trapDir();
    using root = new Fd(openat(dir.fd, "root", O_PATH | O_DIRECTORY));
    using file = new Fd(openat2(root.fd, path, O_RDONLY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
    assertEquals(readText(file.fd), "inside");
  });
}

const REFUSED_LOOKUPS: readonly { name: string; path: string; resolve: number; code: keyof typeof ERRNO }[] = [
  { name: "IN_ROOT, a link that climbs out", path: "escape", resolve: RESOLVE_IN_ROOT, code: "ENOENT" },
  { name: "IN_ROOT, a circle", path: "loop", resolve: RESOLVE_IN_ROOT, code: "ELOOP" },
  { name: "NO_SYMLINKS, a link at the end", path: "absolute", resolve: RESOLVE_NO_SYMLINKS, code: "ELOOP" },
  { name: "NO_SYMLINKS, a link on the way", path: "slash/etc/file", resolve: RESOLVE_NO_SYMLINKS, code: "ELOOP" },
  { name: "BENEATH, ..", path: "../outside", resolve: RESOLVE_BENEATH, code: "EXDEV" },
  { name: "BENEATH, an absolute link", path: "absolute", resolve: RESOLVE_BENEATH, code: "EXDEV" },
  { name: "an unknown flag", path: "etc/file", resolve: 0x8000, code: "EINVAL" },
];
for (const { name, path, resolve, code } of REFUSED_LOOKUPS) {
  Deno.test(`openat2() answers ${code}: ${name}`, () => {
    using dir = trapDir();
    using root = new Fd(openat(dir.fd, "root", O_PATH | O_DIRECTORY));
    assertErrno(() => openat2(root.fd, path, O_RDONLY, resolve), code);
    assertEquals(tryOpenat2(root.fd, path, O_RDONLY, resolve), -ERRNO[code]);
  });
}

Deno.test("openat2(RESOLVE_NO_MAGICLINKS) refuses /proc/self/fd, RESOLVE_NO_XDEV refuses another file system", () => {
  assertErrno(() => openat2(AT_FDCWD, "/proc/self/fd/0", O_RDONLY, RESOLVE_NO_MAGICLINKS), "ELOOP");
  using slash = new Fd(openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  assertErrno(() => openat2(slash.fd, "proc/version", O_RDONLY, RESOLVE_NO_XDEV), "EXDEV");
});

Deno.test("openat2() creates with the mode it is given", () => {
  using dir = new OpenDir();
  using file = new Fd(openat2(dir.fd, "new", O_WRONLY | O_CREAT | O_EXCL, RESOLVE_IN_ROOT, 0o604));
  assert(file.fd > 2);
  assertEquals(Deno.statSync(dir.path("new")).mode! & 0o7777, 0o604);
});

Deno.test("close() refuses what is no descriptor, before a hot call would take it for 0", () => {
  for (const fd of [NaN, -1, 1.5, Infinity]) assertThrows(() => close(fd), RangeError, "not a descriptor");
  assertErrno(() => close(BAD_FD), "EBADF");
});

Deno.test("Fd closes once, releases, and is not used after that", () => {
  const { readFd, writeFd } = pipe2();
  const first = new Fd(readFd);
  assertEquals(first.fd, readFd);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assertThrows(() => first.fd, TypeError, "was closed");
  assertErrno(() => close(readFd), "EBADF");
  const second = new Fd(writeFd);
  assertEquals(second.release(), writeFd);
  second[Symbol.dispose]();
  close(writeFd);
});

Deno.test("read() and writeAll() through a pipe end with 0, and with EPIPE once nobody reads", () => {
  const { readFd, writeFd } = pipe2();
  using reader = new Fd(readFd);
  using writer = new Fd(writeFd);
  writeAll(writer.fd, new TextEncoder().encode("through"));
  writeAll(writer.fd, new Uint8Array(0));
  assertEquals(readText(reader.fd), "through");
  writer[Symbol.dispose]();
  assertEquals(read(reader.fd, new Uint8Array(10)), 0);
  const other = pipe2();
  close(other.readFd);
  using deaf = new Fd(other.writeFd);
  assertErrno(() => writeAll(deaf.fd, new Uint8Array(1)), "EPIPE");
});

Deno.test("read() and writeAll() answer EBADF and EISDIR", () => {
  using dir = new OpenDir();
  dir.write("file", "x");
  using file = new Fd(openat(dir.fd, "file", O_RDONLY));
  assertErrno(() => read(BAD_FD, new Uint8Array(1)), "EBADF");
  assertErrno(() => read(dir.fd, new Uint8Array(1)), "EISDIR");
  assertErrno(() => writeAll(file.fd, new Uint8Array(1)), "EBADF");
});

Deno.test("tryCopyFileRange() and trySendfile() copy on from where both files stand, and answer errors", () => {
  using dir = new OpenDir();
  dir.write("from", "0123456789");
  using from = new Fd(openat(dir.fd, "from", O_RDONLY));
  using to = new Fd(openat(dir.fd, "to", O_RDWR | O_CREAT, 0o600));
  assertEquals(tryCopyFileRange(from.fd, to.fd, 4), 4);
  assertEquals(trySendfile(to.fd, from.fd, 100), 6);
  assertEquals(tryCopyFileRange(from.fd, to.fd, 100), 0);
  assertEquals(Deno.readTextFileSync(dir.path("to")), "0123456789");
  assertEquals(tryCopyFileRange(BAD_FD, to.fd, 1), -ERRNO.EBADF);
  assertEquals(tryCopyFileRange(dir.fd, to.fd, 1), -ERRNO.EISDIR);
  assertEquals(trySendfile(BAD_FD, from.fd, 1), -ERRNO.EBADF);
});

Deno.test("tryLseek() counts beyond 4 GiB and answers EINVAL and ESPIPE; ftruncate() sets such a size", () => {
  using dir = new OpenDir();
  using file = new Fd(openat(dir.fd, "sparse", O_RDWR | O_CREAT, 0o600));
  const size = 5 * 2 ** 30 + 3;
  ftruncate(file.fd, size);
  assertEquals(Deno.statSync(dir.path("sparse")).size, size);
  assertEquals(tryLseek(file.fd, 0, 2), size);
  assertEquals(tryLseek(file.fd, -3, 1), size - 3);
  assertEquals(tryLseek(file.fd, -1, 0), -ERRNO.EINVAL);
  const { readFd, writeFd } = pipe2();
  using reader = new Fd(readFd);
  using writer = new Fd(writeFd);
  assertEquals(tryLseek(reader.fd, 0, 1), -ERRNO.ESPIPE);
  assertErrno(() => ftruncate(writer.fd, 0), "EINVAL");
  assertErrno(() => ftruncate(file.fd, -1), "EINVAL");
});

Deno.test("a file is written back, and waited for, and a pipe is not", async () => {
  using dir = new OpenDir();
  using file = new Fd(openat(dir.fd, "file", O_RDWR | O_CREAT, 0o600));
  writeAll(file.fd, new Uint8Array(100_000));
  startWriteback(file.fd);
  assertEquals(await tryWriteBackBeside(file.fd), true);
  assertErrno(() => startWriteback(BAD_FD), "EBADF");
  assertEquals(await tryWriteBackBeside(BAD_FD), false);
  const { readFd, writeFd } = pipe2();
  using _reader = new Fd(readFd);
  using writer = new Fd(writeFd);
  assertErrno(() => startWriteback(writer.fd), "ESPIPE");
  assertEquals(await tryWriteBackBeside(writer.fd), false);
});

Deno.test("fsync() and syncfs() succeed on a file and answer EBADF on none, EINVAL on a pipe", () => {
  using dir = new OpenDir();
  fsync(dir.fd);
  syncfs(dir.fd);
  assertErrno(() => fsync(BAD_FD), "EBADF");
  assertErrno(() => syncfs(BAD_FD), "EBADF");
  const { readFd, writeFd } = pipe2();
  using reader = new Fd(readFd);
  using writer = new Fd(writeFd);
  assertErrno(() => fsync(reader.fd), "EINVAL");
  assert(trySetPipeSize(writer.fd, 1 << 20) >= 1 << 20);
  assertEquals(trySetPipeSize(dir.fd, 1 << 20), -ERRNO.EBADF);
});

Deno.test("isatty() says no for files, pipes and nothing", () => {
  using dir = new OpenDir();
  assertEquals(isatty(dir.fd), false);
  assertEquals(isatty(BAD_FD), false);
});

Deno.test("linkat() makes a second name, and answers EEXIST, ENOENT, EPERM (a directory)", () => {
  using dir = new OpenDir();
  dir.write("file", "x");
  Deno.mkdirSync(dir.path("dir"));
  linkat(dir.fd, "file", dir.fd, "second");
  assertEquals(Deno.statSync(dir.path("second")).ino, Deno.statSync(dir.path("file")).ino);
  assertErrno(() => linkat(dir.fd, "file", dir.fd, "second"), "EEXIST");
  assertErrno(() => linkat(dir.fd, "missing", dir.fd, "third"), "ENOENT");
  assertErrno(() => linkat(dir.fd, "dir", dir.fd, "third"), "EPERM");
});

Deno.test("linkat() links the symbolic link itself", () => {
  using dir = new OpenDir();
  symlinkat("target", dir.fd, "link");
  linkat(dir.fd, "link", dir.fd, "second");
  assertEquals(Deno.readLinkSync(dir.path("second")), "target");
});

Deno.test("symlinkat() and readlinkat() keep targets whole: long, not UTF-8, empty refused", () => {
  using dir = new OpenDir();
  const long = "t/".repeat(2047) + "e";
  symlinkat(long, dir.fd, "long");
  assertEquals(new TextDecoder().decode(readlinkat(dir.fd, "long")), long);
  symlinkat(new Uint8Array([0xff, 0x2f, 0xe9, 0]), dir.fd, "bytes");
  assertEquals([...readlinkat(dir.fd, "bytes")], [0xff, 0x2f, 0xe9]);
  assertErrno(() => symlinkat("", dir.fd, "empty"), "ENOENT");
  assertErrno(() => symlinkat("x".repeat(4096), dir.fd, "huge"), "ENAMETOOLONG");
  assertErrno(() => symlinkat("x", dir.fd, "long"), "EEXIST");
  assertErrno(() => readlinkat(dir.fd, "missing"), "ENOENT");
  dir.write("file", "");
  assertErrno(() => readlinkat(dir.fd, "file"), "EINVAL");
});

Deno.test("unlinkat() removes files and, told so, directories", () => {
  using dir = new OpenDir();
  dir.write("file", "x");
  Deno.mkdirSync(dir.path("full/inner"), { recursive: true });
  assertErrno(() => unlinkat(dir.fd, "missing"), "ENOENT");
  assertErrno(() => unlinkat(dir.fd, "full"), "EISDIR");
  assertErrno(() => unlinkat(dir.fd, "file", AT_REMOVEDIR), "ENOTDIR");
  assertErrno(() => unlinkat(dir.fd, "full", AT_REMOVEDIR), "ENOTEMPTY");
  assertEquals(tryUnlinkat(dir.fd, "full", AT_REMOVEDIR), -ERRNO.ENOTEMPTY);
  unlinkat(dir.fd, "full/inner", AT_REMOVEDIR);
  unlinkat(dir.fd, "full", AT_REMOVEDIR);
  assertEquals(tryUnlinkat(dir.fd, "file"), 0);
  assertEquals([...Deno.readDirSync(dir.directory.path)], []);
});

Deno.test("renameat2() replaces, exchanges, and keeps what is there when told to", () => {
  using dir = new OpenDir();
  dir.write("a", "a");
  dir.write("b", "b");
  Deno.mkdirSync(dir.path("full/inner"), { recursive: true });
  Deno.mkdirSync(dir.path("empty"));
  assertErrno(() => renameat2(dir.fd, "a", dir.fd, "b", RENAME_NOREPLACE), "EEXIST");
  renameat2(dir.fd, "a", dir.fd, "b", RENAME_EXCHANGE);
  assertEquals(Deno.readTextFileSync(dir.path("a")), "b");
  renameat2(dir.fd, "a", dir.fd, "b");
  assertEquals(Deno.readTextFileSync(dir.path("b")), "b");
  assertErrno(() => renameat2(dir.fd, "a", dir.fd, "b"), "ENOENT");
  assertErrno(() => renameat2(dir.fd, "empty", dir.fd, "full"), "ENOTEMPTY");
  assertErrno(() => renameat2(dir.fd, "b", dir.fd, "empty"), "EISDIR");
  assertErrno(() => renameat2(dir.fd, "full", dir.fd, "full/inner/x"), "EINVAL");
});

Deno.test("mkdirat() makes a directory, and answers EEXIST, ENOENT, ENOTDIR", () => {
  using dir = new OpenDir();
  mkdirat(dir.fd, "new", 0o700);
  assertEquals(Deno.statSync(dir.path("new")).mode! & 0o7777, 0o700);
  dir.write("file", "");
  assertErrno(() => mkdirat(dir.fd, "new", 0o700), "EEXIST");
  assertErrno(() => mkdirat(dir.fd, "missing/new", 0o700), "ENOENT");
  assertErrno(() => mkdirat(dir.fd, "file/new", 0o700), "ENOTDIR");
  assertEquals(tryMkdirat(dir.fd, "new", 0o700), -ERRNO.EEXIST);
  assertEquals(tryMkdirat(dir.fd, "other", 0o700), 0);
});

testNeeding(
  [needsRoot],
  "mknodat() makes fifos, sockets, devices with large numbers, and the overlay whiteout",
  async () => {
    using dir = new OpenDir();
    const nodes: readonly { name: string; mode: number; major: number; minor: number; stat: string }[] = [
      { name: "fifo", mode: 0o010600, major: 0, minor: 0, stat: "fifo 0:0" },
      { name: "socket", mode: 0o140600, major: 0, minor: 0, stat: "socket 0:0" },
      { name: "whiteout", mode: 0o020000, major: 0, minor: 0, stat: "character special file 0:0" },
      { name: "null", mode: 0o020666, major: 1, minor: 3, stat: "character special file 1:3" },
      { name: "block", mode: 0o060600, major: 259, minor: 65537, stat: "block special file 103:10001" },
      { name: "largest", mode: 0o060600, major: 4095, minor: 1048575, stat: "block special file fff:fffff" },
    ];
    for (const { name, mode, major, minor } of nodes) mknodat(dir.fd, name, mode, major, minor);
    for (const { name, stat } of nodes) {
      assertEquals((await runOk("stat", ["-c", "%F %t:%T", dir.path(name)])).stdout.trim(), stat);
    }
    assertErrno(() => mknodat(dir.fd, "fifo", 0o010600), "EEXIST");
    assertErrno(() => mknodat(dir.fd, "dir", 0o040700), "EPERM");
  },
);

Deno.test("existsat() sees the name itself, and tells missing from unreadable", () => {
  using dir = new OpenDir();
  Deno.symlinkSync("nowhere", dir.path("dangling"));
  dir.write("file", "");
  assertEquals(existsat(dir.fd, "dangling"), true);
  assertEquals(existsat(dir.fd, "missing"), false);
  assertEquals(existsat(dir.fd, "file/below"), false);
  assertErrno(() => existsat(BAD_FD, "x"), "EBADF");
  assertErrno(() => existsat(dir.fd, "n".repeat(256)), "ENAMETOOLONG");
});

Deno.test("O_TMPFILE makes a file without a name", () => {
  using dir = new OpenDir();
  using file = new Fd(openat(dir.fd, ".", O_TMPFILE | O_RDWR, 0o600));
  writeAll(file.fd, new Uint8Array(3));
  assertEquals([...Deno.readDirSync(dir.directory.path)], []);
});
