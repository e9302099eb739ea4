// SPDX-License-Identifier: Apache-2.0

/**
 * Runs a command line: reads it, loads the command it names, and tells what went wrong.
 *
 * @module
 */

import { parseCommandLine } from "./args.ts";
import type { Command, CommandLine, Settings } from "./command.ts";
import { type Context, makeContext } from "./context.ts";
import { EXIT, exitNumberOf } from "./exit_code.ts";
import { shortUsage } from "./help.ts";
import { withLayerIds } from "./layer_ids.ts";
import { Output } from "./output.ts";
import { UsageError } from "./usage_error.ts";

/** Runs `args`; the number to end with. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  const env = (name: string): string | undefined => Deno.env.get(name);
  let commandLine: CommandLine;
  try {
    commandLine = parseCommandLine(args, env);
  } catch (error) {
    return report(error, new Output({ json: false, quiet: false, verbose: false }));
  }
  const { command, settings } = commandLine;
  const output = new Output(settings);
  try {
    if (Deno.uid() !== 0 && (await import("./rootless/ordinary_user.ts")).isOrdinaryUser()) {
      return await (await import("./rootless/run_for_user.ts")).runForUser(args, commandLine, env, output, run);
    }
    return await run(command, settings, output);
  } catch (error) {
    return report(error, output);
  }
}

async function run(command: Command, settings: Settings, output: Output): Promise<number> {
  const context = makeContext(settings, output);
  return await dispatch(await withLayerIds(command, context), context) ?? EXIT.ok;
}

function report(error: unknown, output: Output): number {
  output.error(error);
  if (error instanceof UsageError) output.printError(shortUsage(error.command));
  return exitNumberOf(error);
}

/** Each command's module is loaded when it is called: help should not have to wait for a driver. */
async function dispatch(command: Command, context: Context): Promise<number | void> {
  switch (command.kind) {
    case "create":
      return await (await import("./commands/create.ts")).create(command, context);
    case "apply":
      return await (await import("./commands/apply.ts")).apply(command, context);
    case "diff":
      return await (await import("./commands/diff.ts")).diff(command, context);
    case "export":
      return await (await import("./commands/export.ts")).exportLayer(command, context);
    case "import":
      return await (await import("./commands/import.ts")).importArchive(command, context);
    case "run":
      return await (await import("./commands/run.ts")).run(command, context);
    case "cp":
      return await (await import("./commands/cp.ts")).cp(command, context);
    case "squash":
      return await (await import("./commands/squash.ts")).squash(command, context);
    case "remap":
      return await (await import("./commands/remap.ts")).remap(command, context);
    case "rm":
      return await (await import("./commands/rm.ts")).rm(command, context);
    case "mount":
      return await (await import("./commands/mount.ts")).mount(command, context);
    case "unmount":
      return await (await import("./commands/unmount.ts")).unmount(command, context);
    case "mounts":
      return await (await import("./commands/mounts.ts")).mounts(context);
    case "cleanup":
      return await (await import("./commands/cleanup.ts")).cleanup(context);
    case "ls":
      return await (await import("./commands/ls.ts")).ls(context);
    case "tree":
      return await (await import("./commands/tree.ts")).tree(command, context);
    case "du":
      return await (await import("./commands/du.ts")).du(command, context);
    case "inspect":
      return await (await import("./commands/inspect.ts")).inspect(command, context);
    case "exists":
      return await (await import("./commands/exists.ts")).exists(command, context);
    case "changes":
      return await (await import("./commands/changes.ts")).changes(command, context);
    case "size":
      return await (await import("./commands/size.ts")).size(command, context);
    case "info":
      return await (await import("./commands/info.ts")).info(context);
    case "check":
      return await (await import("./commands/check.ts")).check(command, context);
    case "verify":
      return await (await import("./commands/verify.ts")).verify(command, context);
    case "unshare":
      return await (await import("./commands/unshare.ts")).unshare(command, context);
    case "serve":
      return await (await import("./commands/serve.ts")).serve(command, context);
    case "man":
      return (await import("./commands/man.ts")).man(command, context);
    case "completions":
      return (await import("./commands/completions.ts")).completions(command, context);
    case "version":
      return (await import("./commands/version.ts")).version(context);
    case "help":
      return (await import("./commands/help.ts")).help(command, context);
    default:
      return command satisfies never;
  }
}
