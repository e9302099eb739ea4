// SPDX-License-Identifier: Apache-2.0

/**
 * Which file imports which, as Deno itself sees it, and the rules of design that hold between them.
 *
 * @module
 */

import { runOk } from "./run.ts";

/** One import: what is written, and the file it leads to (relative to the checkout) where it is one of ours. */
export interface Import {
  specifier: string;
  file: string | undefined;
}

/** Imports by file, paths relative to the checkout. */
export type ModuleGraph = ReadonlyMap<string, readonly Import[]>;

interface InfoDependency {
  specifier: string;
  code?: { specifier?: string };
  type?: { specifier?: string };
}

interface InfoOutput {
  modules: { specifier: string; dependencies?: InfoDependency[] }[];
}

/** Every file below `directory` whose name ends in `.ts`, relative to `root`. */
export async function listSources(root: string, directory: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(`${root}/${directory}`)) {
    const path = `${directory}/${name}`;
    if (isDirectory) found.push(...await listSources(root, path));
    else if (name.endsWith(".ts")) found.push(path);
  }
  return found.sort();
}

/** Asks `deno info` for the imports of `files`; comments and strings that look like imports do not deceive it. */
export async function readGraph(root: string, files: readonly string[]): Promise<ModuleGraph> {
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  const rootUrl = `file://${await Deno.realPath(root)}/`;
  try {
    await Deno.writeTextFile(entry, files.map((file) => `import "${rootUrl}${file}";\n`).join(""));
    const args = ["info", "--json", "--no-lock", "--config", `${root}/deno.json`, entry];
    const { modules } = JSON.parse((await runOk(Deno.execPath(), args)).stdout) as InfoOutput;
    const graph = new Map<string, Import[]>();
    for (const { specifier, dependencies = [] } of modules) {
      if (!specifier.startsWith(rootUrl)) continue;
      graph.set(specifier.slice(rootUrl.length), dependencies.map((dependency) => toImport(dependency, rootUrl)));
    }
    return graph;
  } finally {
    await Deno.remove(entry);
  }
}

function toImport({ specifier, code, type }: InfoDependency, rootUrl: string): Import {
  const target = code?.specifier ?? type?.specifier ?? "";
  return { specifier, file: target.startsWith(rootUrl) ? target.slice(rootUrl.length) : undefined };
}

/** The part of the program that a file belongs to: `util` for lib/util/x.ts, `lib` for lib/x.ts, `top` for mod.ts. */
export function partOf(file: string): string {
  const [first, second, third] = file.split("/");
  if (second === undefined) return "top";
  if (first !== "lib") return first!;
  return third === undefined ? "lib" : second;
}

const DRIVER_INTERFACE = ["driver", "registry", "docker_metadata", "whole_layers", "layer_files"].map((name) =>
  `lib/drivers/${name}.ts`
);

/** For each part: the parts, or single files, that it may import besides itself. */
const MAY_SEE: Readonly<Record<string, readonly string[]>> = {
  ffi: [],
  lib: ["ffi"],
  util: ["ffi", "lib/errors.ts", "lib/deps.ts", "lib/log.ts"],
  archive: ["util", "ffi", "lib"],
  mount: ["util", "ffi", "lib"],
  drivers: ["archive", "mount", "util", "ffi", "lib"],
  agent: [...DRIVER_INTERFACE, "util", "lib"],
  // `lamina serve` starts the agent, and `lamina run` mounts for the program alone.
  cli: [...DRIVER_INTERFACE, "agent", "lib/mount/enter_root.ts", "util", "lib"],
};

/** What mod.ts and cli.ts may import. */
const TOP_MAY_SEE: Readonly<Record<string, readonly string[]>> = {
  "mod.ts": [...DRIVER_INTERFACE, "lib", "lib/agent/client.ts"],
  "cli.ts": ["cli", "lib", "lib/mount/mount_from_child.ts"],
};

/** Imports that go the wrong way between parts. */
export function wrongDirections(graph: ModuleGraph): string[] {
  return violations(graph, (from, { file }) => {
    if (file === undefined) return undefined;
    const allowed = TOP_MAY_SEE[from] ?? MAY_SEE[partOf(from)];
    if (allowed === undefined) return undefined;
    const isAllowed = allowed.includes(file) || allowed.includes(partOf(file)) ||
      (partOf(from) !== "top" && partOf(from) === partOf(file));
    if (isAllowed) return undefined;
    const list = allowed.length === 0 ? "nothing but itself" : allowed.join(", ");
    return `${
      partOf(from) === "top" ? from : partOf(from)
    } may see ${list}; move the code, or hand it in as an argument`;
  });
}

/** Imports out of ffi other than its own files: it sees Deno alone. */
export function importsOutOfFfi(graph: ModuleGraph): string[] {
  return violations(
    graph,
    (from, { specifier }) =>
      from.startsWith("ffi/") && !specifier.startsWith("./")
        ? "ffi sees Deno alone; do without, or wrap it in lib"
        : undefined,
  );
}

/** Imports of a `_file.ts` from another folder. */
export function privateImports(graph: ModuleGraph): string[] {
  return violations(graph, (from, { file }) => {
    if (file === undefined || from.startsWith("tests/")) return undefined;
    const cut = file.lastIndexOf("/");
    if (!file.slice(cut + 1).startsWith("_") || from.slice(0, from.lastIndexOf("/")) === file.slice(0, cut)) {
      return undefined;
    }
    return "a file whose name begins with _ belongs to its folder; import a public file of that folder";
  });
}

const SCHEME_REGEXP = /^[a-z][a-z0-9+.-]*:/;

/** Bare names in what can be reached from `entry`: an import map does not travel with a module imported by URL. */
export function bareImports(graph: ModuleGraph, entry: string): string[] {
  const reachable = new Set<string>();
  const queue = [entry];
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    if (reachable.has(file)) continue;
    reachable.add(file);
    queue.push(...(graph.get(file) ?? []).map((found) => found.file).filter((found) => found !== undefined));
  }
  return violations(
    graph,
    (from, { specifier }) =>
      reachable.has(from) && !specifier.startsWith(".") && !SCHEME_REGEXP.test(specifier)
        ? `${entry} reaches it, and an import by URL brings no import map; write the whole specifier in lib/deps.ts`
        : undefined,
  );
}

/** Third-party specifiers of the program outside lib/deps.ts. */
export function strayDependencies(graph: ModuleGraph): string[] {
  return violations(graph, (from, { specifier }) => {
    const isProgram = partOf(from) === "top" || from.startsWith("lib/") || from.startsWith("ffi/");
    if (!isProgram || from === "lib/deps.ts" || !/^(npm|jsr|https?):/.test(specifier)) return undefined;
    return "third-party specifiers stand in lib/deps.ts; re-export it there";
  });
}

function violations(
  graph: ModuleGraph,
  judge: (from: string, found: Import) => string | undefined,
): string[] {
  return [...graph].flatMap(([from, imports]) =>
    imports.flatMap((found) => {
      const verdict = judge(from, found);
      return verdict === undefined ? [] : [`${from} imports ${found.file ?? found.specifier}: ${verdict}`];
    })
  );
}

/** The first circle of imports found from each file, as a path. */
export function cycles(graph: ModuleGraph): string[] {
  const done = new Set<string>();
  const found: string[] = [];
  function visit(file: string, path: readonly string[]): void {
    const start = path.indexOf(file);
    if (start !== -1) {
      found.push(`${[...path.slice(start), file].join(" -> ")}: move what both need into a file of its own`);
      return;
    }
    if (done.has(file)) return;
    for (const next of graph.get(file) ?? []) {
      if (next.file !== undefined) visit(next.file, [...path, file]);
    }
    done.add(file);
  }
  for (const file of graph.keys()) visit(file, []);
  return found;
}
