/**
 * Files that have their name only once they are whole: a killed process leaves the old file, or none, and at most a
 * temporary file beside it. Everything that `arq` writes is written here, or by `newOutput`.
 */

/** A name that no other process can guess, and that no two of our processes share. */
const temporaryName = (path: string) => `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;

const bytesOf = (data: string | Uint8Array) =>
  typeof data === "string" ? new TextEncoder().encode(data) : data;

async function written(
  path: string,
  data: string | Uint8Array,
  mode: number | undefined,
  giveName: (temporary: string) => Promise<void>,
): Promise<void> {
  const bytes = bytesOf(data);
  const temporary = temporaryName(path);
  try {
    {
      const access = mode === undefined ? {} : { mode };
      using file = await Deno.open(temporary, { createNew: true, write: true, ...access });
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      // Without it, a power failure may leave the name and lose the content.
      await file.sync();
    }
    await giveName(temporary);
  } finally {
    // After a rename it is not there; the reason of a failure is thrown already.
    await Deno.remove(temporary).catch(() => {});
  }
}

/** Writes a new file. Rejects with AlreadyExists. */
export async function createWhole(
  path: string,
  data: string | Uint8Array,
  mode: number,
): Promise<void> {
  await written(path, data, mode, async (temporary) => {
    try {
      // Linking fails when the name exists, so of two writers one wins.
      await Deno.link(temporary, path);
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists || await exists(path)) {
        throw new Deno.errors.AlreadyExists(path);
      }
      // Some file systems have no links.
      await Deno.rename(temporary, path);
    }
  });
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch {
    // Any failure but that of a missing file is that of the write, too, which reports it.
    return false;
  }
}

/**
 * Writes a file, or replaces the one that a link leads to; without a mode it keeps that one's. Pipes and devices are
 * written directly.
 */
export async function replaceWhole(
  path: string,
  data: string | Uint8Array,
  mode?: number,
): Promise<void> {
  const there = await Deno.stat(path).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  });
  if (there?.isFile === false) return await Deno.writeFile(path, bytesOf(data));
  const to = there === undefined ? path : await Deno.realPath(path);
  await written(to, data, mode, async (temporary) => {
    const has_bits = Deno.build.os !== "windows" && there?.mode != null;
    if (mode === undefined && has_bits) await Deno.chmod(temporary, there.mode! & 0o777);
    await Deno.rename(temporary, to);
  });
}
