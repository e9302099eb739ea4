// SPDX-License-Identifier: Apache-2.0

import { namesIn } from "../_helpers/names_in.ts";

/** What lies in a home: directories of layers, and the short names of those drivers that give some. */
export async function layersLeft(home: string): Promise<{ directories: string[]; shortNames: number | undefined }> {
  const names = await namesIn(home);
  return {
    directories: names.filter((name) => name !== "l"),
    shortNames: names.includes("l") ? (await namesIn(`${home}/l`)).length : undefined,
  };
}
