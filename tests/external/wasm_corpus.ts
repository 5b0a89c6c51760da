/**
 * Reads the WebAssembly specification tests in their converted form: commands and binaries. Not a test, and it judges
 * nothing.
 */

/** One command of a converted .wast file, as far as the tests here use it. */
export interface WasmCommand {
  readonly type: string;
  readonly line: number;
  /** Of the module, if the command has one. */
  readonly filename?: string;
  /** The message of the specification's interpreter. */
  readonly text?: string;
  /** `text` are .wat files: malformed text, nothing for a decoder. */
  readonly module_type?: "binary" | "text";
}

/** One converted .wast file. */
export interface WasmScript {
  /** Path without extensions, such as "core/block". */
  readonly name: string;
  readonly commands: readonly WasmCommand[];
  readonly modules: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

/** The verdicts of `proposals-modules.json` on each valid module of the proposals, by script and file. */
export type ProposalVerdicts = Readonly<Record<string, Readonly<Record<string, string>>>>;

function convertedFolder(data: string | undefined): string {
  if (data === undefined) throw new Error("run this with `deno task test:external DIR`");
  return `${data}/wasm-spec/converted`;
}

async function readScript(folder: string, name: string): Promise<WasmScript> {
  const file = await Deno.open(`${folder}/${name}.json.gz`);
  const text = await new Response(file.readable.pipeThrough(new DecompressionStream("gzip")))
    .text();
  const { commands, modules_base64 } = JSON.parse(text) as {
    commands: WasmCommand[];
    modules_base64: Record<string, string>;
  };
  const modules = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const [file_name, base64] of Object.entries(modules_base64)) {
    modules.set(file_name, Uint8Array.fromBase64(base64));
  }
  return { name, commands, modules };
}

async function* scriptNames(folder: string, under: string): AsyncGenerator<string> {
  const entries = await Array.fromAsync(Deno.readDir(`${folder}/${under}`));
  for (const entry of entries.sort((left, right) => left.name < right.name ? -1 : 1)) {
    const path = `${under}/${entry.name}`;
    if (entry.isDirectory) yield* scriptNames(folder, path);
    else if (path.endsWith(".json.gz")) yield path.slice(0, -".json.gz".length);
  }
}

/** Every script below `under` ("core" or "proposals"), in the order of their names. */
export async function* wasmScripts(
  data: string | undefined,
  under: "core" | "proposals",
): AsyncGenerator<WasmScript> {
  const folder = convertedFolder(data);
  for await (const name of scriptNames(folder, under)) yield await readScript(folder, name);
}

/** The verdicts on the valid modules of the proposals. */
export async function proposalVerdicts(data: string | undefined): Promise<ProposalVerdicts> {
  const text = await Deno.readTextFile(`${convertedFolder(data)}/proposals-modules.json`);
  return JSON.parse(text) as ProposalVerdicts;
}
