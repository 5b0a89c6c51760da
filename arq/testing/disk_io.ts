/** An `Io` in a test's own process: files of the disk, recorded output, no bus. */
import { diskFiles } from "../terminal/disk_files.ts";
import type { Io, Output } from "../terminal/io.ts";

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

/** A folder with these files, which is removed at the end of its scope. */
export async function folderWith(
  files: Readonly<Record<string, string>>,
): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await Deno.makeTempDir({ prefix: "arq-schema-" });
  for (const [name, text] of Object.entries(files)) {
    const file = `${path}/${name}`;
    await Deno.mkdir(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(file, text);
  }
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
