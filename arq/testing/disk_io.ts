/** An `Io` in a test's own process: files of the disk, recorded output, no bus. */
import { diskFiles } from "../terminal/disk_files.ts";
import type { Io, Output } from "../terminal/io.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";

/** An output that records what is written. */
export interface KeptOutput extends Output {
  text(): string;
}

function keep(is_tty: boolean): KeptOutput {
  let text = "";
  return {
    is_tty,
    has_color: is_tty,
    // deno-lint-ignore require-await
    async write(bytes) {
      text += new TextDecoder().decode(bytes);
    },
    flush: () => Promise.resolve(),
    text: () => text,
  };
}

/** An `Io` whose working folder is `cwd`. `is_tty` applies to both outputs. */
export function diskIo(
  cwd: string,
  is_tty = false,
): Io & { readonly stdout: KeptOutput; readonly stderr: KeptOutput } {
  return {
    stdout: keep(is_tty),
    stderr: keep(is_tty),
    stdin: () => new Blob([]).stream(),
    is_stdin_tty: false,
    files: diskFiles,
    cwd,
    state_dirs: [],
    config_dir: undefined,
    arq: "arq",
    signal: new AbortController().signal,
    size: () => undefined,
    now: () => Date.now(),
    monotonic_ms: () => performance.now(),
  };
}

/** Replaces a text of a file, which must be there. */
export async function edit(file: string, from: string, to: string): Promise<void> {
  const text = await Deno.readTextFile(file);
  if (!text.includes(from)) throw new Error(`${file} has no ${from}: ${text}`);
  await Deno.writeTextFile(file, text.replace(from, to));
}

/** A folder with these files, which is removed at the end of its scope. */
export async function folderWith(
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<AsyncDisposable & { readonly path: string }> {
  const folder = await temporaryFolder();
  for (const [name, content] of Object.entries(files)) {
    const file = `${folder.path}/${name}`;
    await Deno.mkdir(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    if (typeof content === "string") await Deno.writeTextFile(file, content);
    else await Deno.writeFile(file, content);
  }
  return folder;
}

/** Every file below a folder by its relative path, with its bytes in hex. */
export async function filesOf(folder: string, below = ""): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for await (const { name, isDirectory } of Deno.readDir(`${folder}/${below}`)) {
    const path = `${below}${name}`;
    if (isDirectory) Object.assign(all, await filesOf(folder, `${path}/`));
    else all[path] = (await Deno.readFile(`${folder}/${path}`)).toHex();
  }
  return all;
}
