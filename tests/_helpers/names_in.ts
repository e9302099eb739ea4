// SPDX-License-Identifier: Apache-2.0

/** The names in `directory`, sorted. */
export async function namesIn(directory: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(directory)) names.push(name);
  return names.sort();
}

/** As {@linkcode namesIn}; none where there is no directory. */
export async function existingNames(directory: string): Promise<string[]> {
  try {
    return await namesIn(directory);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
