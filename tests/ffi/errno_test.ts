// SPDX-License-Identifier: Apache-2.0

import "../_helpers/warm_libc.ts";
import { lastErrno, libc } from "../../ffi/_libc.ts";
import { ERRNO, failure, hex, isErrno, octal } from "../../ffi/errno.ts";
import { AT_FDCWD, existsat, O_RDONLY, O_WRONLY, tryOpenat } from "../../ffi/file.ts";
import { assert, assertEquals, assertStringIncludes } from "../_helpers/std_assert.ts";
import { needsProgram, testNeeding } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";

Deno.test("SyscallError prints the call as strace does", () => {
  const error = failure(ERRNO.EINVAL, "mount", "overlay", "/x/merged", null, hex(0x5), octal(0o755), -100, undefined);
  assertEquals(error.message, 'mount("overlay", "/x/merged", NULL, 0x5, 0755, -100, NULL): EINVAL');
  assertEquals([error.name, error.syscall, error.errno, error.code], ["SyscallError", "mount", 22, "EINVAL"]);
});

Deno.test("SyscallError shows bytes up to their NUL and cuts what is very long", () => {
  const error = failure(ERRNO.ENOENT, "openat", new Uint8Array([0x2f, 0x78, 0, 0x79]), "x".repeat(5000));
  assertStringIncludes(error.message, 'openat("/x", "xxx');
  assertStringIncludes(error.message, 'x…"): ENOENT');
  assert(error.message.length < 400);
});

Deno.test("SyscallError names a number that the table lacks by the number", () => {
  assertEquals(failure(4095, "close", 3).code, "E4095");
});

Deno.test("isErrno() is about the codes it is given, or any, and takes nothing but a SyscallError", () => {
  const error = failure(ERRNO.ENOENT, "openat");
  assert(isErrno(error, "EEXIST", "ENOENT"));
  assert(!isErrno(error, "EEXIST"));
  assert(isErrno(error));
  assert(!isErrno(new Error("ENOENT")));
  assert(!isErrno(new Error("ENOENT"), "ENOENT"));
  assert(!isErrno(undefined, "ENOENT"));
});

testNeeding([needsProgram("python3")], "ERRNO has the numbers that the C library has", async () => {
  const { stdout } = await runOk("python3", ["-c", "import errno, json; print(json.dumps(errno.errorcode))"]);
  const names = JSON.parse(stdout) as Record<string, string>;
  const synonyms: Record<string, string> = { ENOTSUP: "EOPNOTSUPP", EDEADLOCK: "EDEADLK" };
  for (const [code, errno] of Object.entries(ERRNO)) {
    const name = names[String(errno)] ?? "";
    assertEquals(synonyms[name] ?? name, code);
  }
});

/** Calls that fail for different reasons, mixed: a value read late would be another one's. */
Deno.test("errno is right in 200,000 failing calls in a hot loop", () => {
  const missing = new TextEncoder().encode("/nonexistent\0");
  const file = new TextEncoder().encode("/proc/self/stat/x\0");
  const directory = new TextEncoder().encode("/\0");
  let wrong = 0;
  let garbage: unknown[] = [];
  for (let i = 0; i < 50_000; i++) {
    if (tryOpenat(AT_FDCWD, missing, O_RDONLY) !== -ERRNO.ENOENT) wrong++;
    if (tryOpenat(AT_FDCWD, file, O_RDONLY) !== -ERRNO.ENOTDIR) wrong++;
    if (tryOpenat(AT_FDCWD, directory, O_WRONLY) !== -ERRNO.EISDIR) wrong++;
    if ((libc.close(1_000_000) === -1 ? lastErrno() : 0) !== ERRNO.EBADF) wrong++;
    garbage.push({ text: `${i}`, more: [i] });
    if (garbage.length > 1000) garbage = [];
  }
  assertEquals(wrong, 0);
});

Deno.test("errno is right in strings that are encoded for each of 20,000 calls", () => {
  for (let i = 0; i < 20_000; i++) assertEquals(existsat(AT_FDCWD, `/nonexistent-${i}/é`), false);
});

Deno.test("errno is per thread: a Worker that fails otherwise does not disturb this one", async () => {
  const source = `
    import { openAllSymbols } from ${JSON.stringify(new URL("../../ffi/_libc.ts", import.meta.url).href)};
    import { tryOpenat } from ${JSON.stringify(new URL("../../ffi/file.ts", import.meta.url).href)};
    openAllSymbols();
    self.postMessage("ready");
    let wrong = 0;
    for (let i = 0; i < 100_000; i++) if (tryOpenat(-100, "/", 1) !== -21) wrong++;
    self.postMessage(wrong);
    self.close();`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/typescript" }));
  const worker = new Worker(url, { type: "module" });
  const answers: unknown[] = [];
  const ended = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  worker.onmessage = ({ data }) => {
    answers.push(data);
    if (data === "ready") started.resolve();
    else ended.resolve();
  };
  await started.promise;
  let wrong = 0;
  for (let i = 0; i < 100_000; i++) if (tryOpenat(AT_FDCWD, "/nonexistent", O_RDONLY) !== -ERRNO.ENOENT) wrong++;
  await ended.promise;
  URL.revokeObjectURL(url);
  assertEquals(wrong, 0);
  assertEquals(answers, ["ready", 0]);
});
