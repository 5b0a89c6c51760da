/**
 * Files that have their name only once they are whole: a killed process leaves the old file, or none, and at most a
 * temporary file beside it. Everything that `arq` writes is written here, or by `newOutput`.
 */

/** A name that no other process can guess, and that no two of our processes share. */
const temporaryName = (path: string) => `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;

const bytesOf = (data: string | Uint8Array) =>
  typeof data === "string" ? new TextEncoder().encode(data) : data;

const optionsOf = (mode: number | undefined) => mode === undefined ? {} : { mode };

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
      const options = { createNew: true, write: true, ...optionsOf(mode) };
      using file = await Deno.open(temporary, options);
      await writeAll(file, bytes);
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

/** Where a link leads whose file is not there yet; undefined: it is no link. */
async function targetOf(path: string): Promise<string | undefined> {
  try {
    const target = await Deno.readLink(path);
    return /^(?:[/\\]|\w:)/.test(target) ? target : path.replace(/[^/\\]*$/, "") + target;
  } catch {
    // Any failure but that of a path without a link is that of the write, too, which reports it.
    return undefined;
  }
}

/** The process's own outputs: opened by name, a redirected one would be written from its beginning. */
const OWN_OUTPUTS: Readonly<Record<string, Pick<Deno.FsFile, "write">>> = {
  "/dev/stdout": Deno.stdout,
  "/dev/stderr": Deno.stderr,
};

async function writeAll(to: Pick<Deno.FsFile, "write">, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await to.write(bytes.subarray(at));
}

/** Gives the new file the owner of the old one; false if this process may not. */
async function giveTo(temporary: string, { uid, gid }: Deno.FileInfo): Promise<boolean> {
  const { uid: own_uid, gid: own_gid } = await Deno.stat(temporary);
  if (uid === own_uid && gid === own_gid || Deno.build.os === "windows") return true;
  try {
    await Deno.chown(temporary, uid, gid);
    return true;
  } catch {
    return false; // The file is written in place then.
  }
}

/**
 * Writes a file, or replaces the one that a link leads to; it keeps its owner and, without `mode`, its mode. Pipes and
 * devices are written directly, and so is a file that another could not replace: it has several names, its folder takes
 * no new file, it is mounted alone, or its owner cannot be kept.
 */
export async function replaceWhole(
  path: string,
  data: string | Uint8Array,
  mode?: number,
): Promise<void> {
  const bytes = bytesOf(data);
  const own = OWN_OUTPUTS[path];
  if (own !== undefined) return await writeAll(own, bytes);
  const there = await Deno.stat(path).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  });
  if (there === undefined) {
    const target = await targetOf(path);
    if (target !== undefined) return await replaceWhole(target, bytes, mode);
    return await written(path, bytes, mode, (temporary) => Deno.rename(temporary, path));
  }
  if (!there.isFile) return await Deno.writeFile(path, bytes);
  const to = await Deno.realPath(path);
  // Replacing a file needs no right to write it.
  (await Deno.open(to, { write: true })).close();
  if (await isReplaced(to, bytes, mode, there)) return;
  if (mode !== undefined && Deno.build.os !== "windows") await Deno.chmod(to, mode);
  await Deno.writeFile(to, bytes);
}

/** Replaces the file; false if it has to be written in place. */
async function isReplaced(
  to: string,
  bytes: Uint8Array,
  mode: number | undefined,
  there: Deno.FileInfo,
): Promise<boolean> {
  if ((there.nlink ?? 1) > 1) return false;
  let is_replaced = false;
  try {
    await written(to, bytes, mode, async (temporary) => {
      if (!await giveTo(temporary, there)) return;
      const has_bits = Deno.build.os !== "windows" && there.mode != null;
      if (mode === undefined && has_bits) await Deno.chmod(temporary, there.mode! & 0o777);
      await Deno.rename(temporary, to);
      is_replaced = true;
    });
  } catch (error) {
    const is_refused = error instanceof Deno.errors.PermissionDenied ||
      error instanceof Deno.errors.Busy;
    if (!is_refused) throw error;
  }
  return is_replaced;
}
