/** Finds texts in the raw bytes of a folder's files. Tests only. */
import { Buffer } from "node:buffer";

async function* filesIn(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* filesIn(path);
    else yield path;
  }
}

/** The texts that were found, each with the files that have it. */
export async function findBytes(
  folder: string,
  texts: readonly string[],
): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  for await (const path of filesIn(folder)) {
    let bytes: Uint8Array;
    try {
      bytes = await Deno.readFile(path);
    } catch (error) {
      // A server has removed it meanwhile.
      if (error instanceof Deno.errors.NotFound) continue;
      throw error;
    }
    const all = Buffer.from(bytes.buffer);
    for (const text of texts) {
      if (all.includes(text)) found.set(text, [...found.get(text) ?? [], path]);
    }
  }
  return found;
}
