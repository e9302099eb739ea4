// SPDX-License-Identifier: Apache-2.0

/**
 * Real archives, made when they are needed by the programs that make such things: what the fuzz run damages.
 *
 * @module
 */

import { packFile } from "../archive/_engine.ts";
import { runOk } from "../_helpers/run.ts";
import type { TempDir } from "../_helpers/temp_dir.ts";

/** Small, so that damage hits something; of every kind of file. Times are fixed: the same archives every day. */
const TREE = `
  set -e
  mkdir -p etc/deep usr/bin gone "$(printf 'n%.0s' $(seq 120))/sub"
  echo content >etc/file; ln etc/file usr/second; ln -s ../etc/file usr/link; ln -s /abs usr/absolute
  ln -s etc alias; head -c 3000 /dev/zero | tr '\\0' x >usr/bin/program; chmod 4755 usr/bin/program
  ln -s "$(printf 't%.0s' $(seq 120))" usr/far; mkfifo pipe; mknod null c 1 3; mknod gone/file c 0 0
  echo l >"$(printf 'n%.0s' $(seq 120))/sub/$(printf 'm%.0s' $(seq 90))"; echo q >"$(printf 'q\\377')"
  chown 4000000:50 etc/file; setfattr -n user.note -v value etc/file; setfattr -n trusted.overlay.opaque -v y etc/deep
  setfacl -m u:1234:rw usr/bin/program
  find . -exec touch -h -d '2001-02-03 04:05:06.123456789 UTC' {} +
`;
const PYTHON = `
import sys, tarfile
with tarfile.open(sys.argv[1], "w", format=getattr(tarfile, sys.argv[2])) as tar:
    for name in ["etc", "usr", "alias"]: tar.add(name)
`;

/** Makes them in `directory`; names of files with plain or compressed archives. */
export async function makeSeedArchives(directory: TempDir): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const tree = await directory.mkdir("tree");
  await runOk("bash", ["-c", TREE], { cwd: tree });
  const archives = new Map<string, Uint8Array<ArrayBuffer>>();
  const keep = async (name: string, make: (path: string) => unknown): Promise<void> => {
    await make(directory.join(name));
    archives.set(name, await Deno.readFile(directory.join(name)));
  };
  const inTree = (program: string, ...args: string[]): Promise<unknown> => runOk(program, args, { cwd: tree });
  const small = ["--owner=7", "--group=8", "--exclude=far", "etc", "usr", "alias"];
  for (const format of ["v7", "ustar"]) {
    await keep(
      `gnu-tar-${format}`,
      (path) => inTree("tar", `--format=${format}`, "--sort=name", "-cf", path, ...small),
    );
  }
  await keep("gnu-tar-gnu", (path) => inTree("tar", "--format=gnu", "--sort=name", "-cf", path, "."));
  const options = [
    "--format=pax",
    "--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f",
    "--sort=name",
  ];
  await keep("gnu-tar-pax", (path) => inTree("tar", ...options, "--xattrs", "--xattrs-include=*", "-cf", path, "."));
  await keep("bsdtar-pax", (path) => inTree("bsdtar", "--format", "pax", "-cf", path, "etc", "usr", "pipe", "null"));
  await keep("python-gnu", (path) => inTree("python3", "-c", PYTHON, path, "GNU_FORMAT"));
  await keep("python-pax", (path) => inTree("python3", "-c", PYTHON, path, "PAX_FORMAT"));
  await keep("ours", (path) => packFile(tree, path));
  for (const program of ["gzip", "zstd"]) {
    const copy = directory.join(`copy-${program}`);
    await Deno.copyFile(directory.join("ours"), copy);
    await keep(`ours.${program}`, (path) => runOk("sh", ["-c", '"$1" -c <"$2" >"$3"', "sh", program, copy, path]));
  }
  return archives;
}
