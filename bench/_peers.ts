// SPDX-License-Identifier: Apache-2.0

/**
 * The programs that are measured beside lamina, as far as they are there: GNU tar always is.
 *
 * @module
 */

/** Paths of programs; undefined where there is none. */
export interface Peers {
  /** The least that the kernel has to do for a job, in C: `floor untar|tar|walk`. */
  floor: string | undefined;
  /** Runs the graph drivers of Docker and containers/storage. */
  gobench: string | undefined;
  /** The command of Debian's package containers-storage. */
  containersStorage: string | undefined;
  /** Archives of layers. */
  data: string | undefined;
}

/** What of the peers `directory` holds, in `bin/` and `data/`; what is missing is said in one line each to `note`. */
export async function findPeers(directory: string | undefined, note: (line: string) => void): Promise<Peers> {
  const find = async (path: string, what: string): Promise<string | undefined> => {
    if (directory !== undefined && await exists(`${directory}/${path}`)) return `${directory}/${path}`;
    note(
      `Not measured: ${what}; ${
        directory === undefined ? "no --peers-dir is given" : `${directory}/${path} is missing`
      }`,
    );
    return undefined;
  };
  const [floor, gobench] = [
    await find("bin/floor", "the C floor, so the ratios are to GNU tar"),
    await find("bin/gobench", "the Go drivers of Docker and containers/storage"),
  ];
  const containersStorage = await exists("/usr/bin/containers-storage") ? "/usr/bin/containers-storage" : undefined;
  if (containersStorage === undefined) note("Not measured: containers-storage; it is not installed");
  return {
    floor,
    gobench,
    containersStorage,
    data: await find("data", "the generated layers, a root file system made of this host instead"),
  };
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
