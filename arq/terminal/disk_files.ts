/**
 * The files of this machine: as commands see them, for `main.ts` and tests, and those of the development bus that may
 * be missing.
 */
import { type Files, type FileState, type FileWriter, unlessStopped } from "./io.ts";
import { createWhole, replaceWhole } from "./whole_file.ts";

const isMissing = (error: unknown) =>
  error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;

async function writer(path: string, mode: number): Promise<FileWriter> {
  const file = await Deno.open(path, { createNew: true, write: true, mode });
  let is_open = true;
  const close = () => {
    if (is_open) file.close();
    is_open = false;
  };
  return {
    async write(bytes) {
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    },
    async finish() {
      await file.sync();
      close();
    },
    abandon: close,
  };
}

async function state(path: string): Promise<FileState | undefined> {
  try {
    const { isDirectory, isFile, mode, size } = await Deno.stat(path);
    // Windows has no permission bits.
    const bits = Deno.build.os === "windows" || mode === null ? undefined : mode & 0o777;
    return { is_directory: isDirectory, is_file: isFile, mode: bits, size_bytes: size };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function realPath(path: string): Promise<string | undefined> {
  try {
    return await Deno.realPath(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Reads and writes the disk with the permissions that the process has. */
export const diskFiles: Files = {
  read: (path) => Deno.readFile(path),
  open: async (path) => (await Deno.open(path)).readable,
  create: createWhole,
  write: replaceWhole,
  writer,
  rename: (from, to) => Deno.rename(from, to),
  remove: (path) => Deno.remove(path),
  realPath,
  state,
  makeDirectory: (path) => Deno.mkdir(path, { recursive: true }),
  async list(path) {
    try {
      return (await Array.fromAsync(Deno.readDir(path))).map((entry) => entry.name);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  },
};

/** Whether a file is a pipe or a device: reading or writing one may block forever. */
const mayWait = async (path: string) => (await state(path))?.is_file === false;

/**
 * The same, but pipes are abandoned once `signal` is aborted: the command ends with its reason. Reads during the
 * cleanup afterwards work as usual.
 */
export function diskFilesUntil(signal: AbortSignal): Files {
  const { read, open, write } = diskFiles;
  const stops = async (path: string) => !signal.aborted && await mayWait(path);
  return {
    ...diskFiles,
    read: async (path) =>
      await stops(path) ? await unlessStopped(signal, read(path)) : await read(path),
    async open(path) {
      if (!await stops(path)) return await open(path);
      const bytes = await unlessStopped(signal, open(path));
      return bytes.pipeThrough(new TransformStream(), { signal });
    },
    write: async (path, data, mode) =>
      await stops(path)
        ? await unlessStopped(signal, write(path, data, mode))
        : await write(path, data, mode),
  };
}

/** The text of a file; undefined when there is none. */
export async function textIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Removes a file or an empty folder, or with `recursive` any; does nothing when it is not there. */
export async function removeIfThere(path: string, options?: Deno.RemoveOptions): Promise<void> {
  try {
    await Deno.remove(path, options);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
