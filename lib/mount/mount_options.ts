// SPDX-License-Identifier: Apache-2.0

/**
 * Options of mounts as people give them: which there are, which exclude each other, and which are no matter of overlayfs
 * but of every mount.
 *
 * The kernel finds most mistakes as well, but says EINVAL to all of them; and some it passes over without a word.
 *
 * @module
 */

import { MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_SYNCHRONOUS } from "../../ffi/mount.ts";
import { MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY } from "../../ffi/mount_api.ts";
import { StorageError } from "../errors.ts";
import { formatLabel, LABEL_KINDS, type LabelKind } from "../mount_label.ts";

/** An option of every mount. */
export interface MountFlag {
  /** Its bit in fsmount(2). */
  attribute: number;
  /** Its bit in mount(2). */
  flag: number;
  /** It belongs to the file system, which fsconfig(2) is told, and not to the mount. */
  ofFileSystem?: true;
}

const DEFAULT: MountFlag = { attribute: 0, flag: 0 };

/** Options of every mount by name. */
export const MOUNT_FLAGS: ReadonlyMap<string, MountFlag> = new Map([
  ["ro", { attribute: MOUNT_ATTR_RDONLY, flag: MS_RDONLY }],
  ["rw", DEFAULT],
  ["nosuid", { attribute: MOUNT_ATTR_NOSUID, flag: MS_NOSUID }],
  ["suid", DEFAULT],
  ["nodev", { attribute: MOUNT_ATTR_NODEV, flag: MS_NODEV }],
  ["dev", DEFAULT],
  ["noexec", { attribute: MOUNT_ATTR_NOEXEC, flag: MS_NOEXEC }],
  ["exec", DEFAULT],
  ["sync", { attribute: 0, flag: MS_SYNCHRONOUS, ofFileSystem: true }],
  ["async", DEFAULT],
]);

/** Options of overlayfs that name one of a few values; those without any take no value. */
const OVERLAY_VALUES: ReadonlyMap<string, readonly string[]> = new Map([
  ["index", ["on", "off"]],
  ["metacopy", ["on", "off"]],
  ["redirect_dir", ["on", "off", "follow", "nofollow"]],
  ["xino", ["on", "off", "auto"]],
  ["nfs_export", ["on", "off"]],
  ["uuid", ["on", "off", "null", "auto"]],
  ["verity", ["on", "off", "require"]],
  ["volatile", []],
  ["userxattr", []],
  ["default_permissions", []],
]);

/** Directories are the driver's to say. */
const DIRECTORY_KEYS: readonly string[] = ["lowerdir", "lowerdir+", "datadir+", "upperdir", "workdir"];

/** Pairs that cannot both be, and why. `key=` stands for any value. */
const CONFLICTS: readonly (readonly [string, string, why: string])[] = [
  ["ro", "rw", "one says that nothing can be written, the other that it can"],
  ["ro", "volatile", "volatile is about what is written, and ro lets nobody write"],
  ["ro", "sync", "sync is about what is written, and ro lets nobody write"],
  ["sync", "async", "one says the opposite of the other"],
  ["sync", "volatile", "volatile never waits for the disk"],
  ["suid", "nosuid", "one says the opposite of the other"],
  ["dev", "nodev", "one says the opposite of the other"],
  ["exec", "noexec", "one says the opposite of the other"],
  ["metacopy=on", "redirect_dir=off", "a copy of metadata alone finds its content by a redirect"],
  ["metacopy=on", "redirect_dir=follow", "a copy of metadata alone finds its content by a redirect"],
  ["metacopy=on", "redirect_dir=nofollow", "a copy of metadata alone finds its content by a redirect"],
  ["metacopy=on", "nfs_export=on", "the kernel cannot do both"],
  ["metacopy=on", "userxattr", "in a user namespace the kernel trusts no copies of metadata"],
  ["redirect_dir=on", "userxattr", "in a user namespace the kernel trusts no redirects"],
  ["redirect_dir=follow", "userxattr", "in a user namespace the kernel trusts no redirects"],
  ["index=off", "nfs_export=on", "handles of files are kept in the index"],
  ["verity=on", "metacopy=off", "digests are kept with copies of metadata"],
  ["verity=require", "metacopy=off", "digests are kept with copies of metadata"],
  ["verity=on", "userxattr", "in a user namespace the kernel trusts no copies of metadata"],
  ["verity=require", "userxattr", "in a user namespace the kernel trusts no copies of metadata"],
  ["context=", "defcontext=", "the one is the label of all files, the other of those that have none"],
];

/** A label whose quotes keep its commas from dividing options, or anything up to the next comma. */
const OPTION_REGEXP = /\s*((?:fs|def|root)?context="[^"]*"\s*(?=,|$)|[^,]*)(?:,|$)/gy;
/** What would make mount(2) read something else than what is written. */
const UNSAFE_REGEXP = /[\\"\p{Cc}]/u;

/**
 * Reads options, each word one or a list with commas as mount(8) has it; what comes back is one option each, labels without
 * their quotes. Unknown ones are left for the kernel to judge.
 *
 * @throws {StorageError} `invalid_argument`: two that exclude each other, a wrong value, a directory, a wrong label.
 */
export function parseMountOptions(words: readonly string[]): string[] {
  const options = words.flatMap(splitWord);
  for (const option of options) checkOption(option);
  checkConflicts(options);
  return [...new Set(options)];
}

function splitWord(word: string): string[] {
  const options = Array.from(word.matchAll(OPTION_REGEXP), (match) => match[1]!.trim());
  return options.filter((option) => option !== "").map(withoutQuotes);
}

function withoutQuotes(option: string): string {
  return isLabel(option) ? option.replace(/="(.*)"$/s, "=$1") : option;
}

/** `key` and `value` of an option; no value where there is no `=`. */
export function splitOption(option: string): [key: string, value: string | undefined] {
  const equals = option.indexOf("=");
  return equals === -1 ? [option, undefined] : [option.slice(0, equals), option.slice(equals + 1)];
}

/** Whether the option is an SELinux context. */
export function isLabel(option: string): boolean {
  const [key, value] = splitOption(option);
  return value !== undefined && (LABEL_KINDS as readonly string[]).includes(key);
}

function refused(option: string, reason: string, hint?: string): StorageError {
  return new StorageError("invalid_argument", `Cannot mount with the option ${JSON.stringify(option)}: ${reason}`, {
    ...(hint === undefined ? {} : { hint }),
  });
}

function checkOption(option: string): void {
  const [key, value] = splitOption(option);
  if (isLabel(option)) {
    if (value === "") throw refused(option, "the label is empty");
    formatLabel(value!, key as LabelKind);
    return;
  }
  if (UNSAFE_REGEXP.test(option)) throw refused(option, "no option has quotes, backslashes or control characters");
  if (DIRECTORY_KEYS.includes(key)) throw refused(option, "which directories are mounted, the layers say");
  const values = MOUNT_FLAGS.has(key) ? [] : OVERLAY_VALUES.get(key);
  if (values === undefined || (value === undefined ? values.length === 0 : values.includes(value))) return;
  throw refused(option, "there is no such value", `write ${values.map((v) => `${key}=${v}`).join(", ") || key}`);
}

function checkConflicts(options: readonly string[]): void {
  const byKey = new Map<string, string>();
  for (const option of options) {
    const [key] = splitOption(option);
    const other = byKey.get(key) ?? option;
    if (other !== option) throw conflict(other, option, "one option has one value");
    byKey.set(key, option);
  }
  const find = (pattern: string): string | undefined => {
    const [key, value] = splitOption(pattern);
    const option = byKey.get(key);
    return option === pattern || value === "" ? option : undefined;
  };
  for (const [first, second, why] of CONFLICTS) {
    const found = find(first);
    const other = find(second);
    if (found !== undefined && other !== undefined) throw conflict(found, other, why);
  }
}

function conflict(first: string, second: string, why: string): StorageError {
  return new StorageError("invalid_argument", `Cannot mount with both "${first}" and "${second}": ${why}`, {
    hint: "leave one of them out",
  });
}

/**
 * Divides options into those that every mount can have, and those of the file system in it. All are checked, and can be
 * parsed again.
 *
 * @throws {StorageError} As {@linkcode parseMountOptions}.
 */
export function divideMountOptions(words: readonly string[]): { flags: string[]; rest: string[] } {
  const options = parseMountOptions(words);
  const isFlag = (option: string): boolean => {
    const flag = MOUNT_FLAGS.get(option);
    return flag !== undefined && flag.ofFileSystem !== true;
  };
  return {
    flags: options.filter(isFlag),
    rest: options.filter((option) => !isFlag(option)).map((option) =>
      isLabel(option) ? option.replace(/=(.*)$/s, '="$1"') : option
    ),
  };
}

/** `asked` in addition to `defaults`, and instead of those that it says otherwise. */
export function overrideOptions(defaults: readonly string[], asked: readonly string[]): string[] {
  if (asked.length === 0) return [...defaults];
  const keys = new Set(asked.map((option) => splitOption(option)[0]));
  return [...defaults.filter((option) => !keys.has(splitOption(option)[0])), ...asked];
}
