/**
 * Compiles a policy in AssemblyScript with the guest SDK beside it. Pure except for `readFile`: the same
 * sources give the same bytes of Wasm. It repeats no check of the Shield; `policies/testing` and the Shield
 * have them.
 *
 * The addition to the compiler: the policy's top-level statements (`onMessage(…)`) would run in a start
 * section, which the Shield refuses because it is not metered. They run at the start of the first hook
 * instead, in a policy of version 2 in `arqon_init`. Only hooks with a registered handler are exported.
 *
 * The compiler takes most of a second to load, and is loaded on the first compilation: `arq plan` of a folder
 * without sources does not wait for it.
 *
 * A policy has version 2 of the ABI if one of its files imports the SDK's `v2.ts`. The SDK's other files
 * import the host's functions from `arqon_host_v1.ts`; for such a policy that file is `arqon_host_v2.ts`.
 */
import type asc from "assemblyscript/asc";
import type binaryenModule from "assemblyscript/binaryen";

/** A compilation error of a policy; the message is the compiler's, with file and line. */
export class PolicyCompileError extends Error {
  override readonly name = "PolicyCompileError";
}

/** The sources of a policy. */
export interface PolicySources {
  /** Name of the policy's own file within `policy/`, for example `bad_words.ts`. */
  readonly entry: string;
  /**
   * Text of `policy/…` (the policy's folder) or `sdk/…` (the guest SDK), undefined if there is no such file. No other
   * path is requested.
   */
  readonly readFile: (path: string) => Promise<string | undefined>;
}

/** A module of the compiler before it is written. */
export type Module = InstanceType<typeof binaryenModule.Module>;
/** The compiler's number for a type: "no value", or that of a value. */
export type NoneType = typeof binaryenModule.none;
type Binaryen = typeof binaryenModule;

/** The entry file of the compilation. */
export const ENTRY = "arqon_entry.ts";
const PACKAGE = /^node_modules\/@arqon\/policy(?:\.ts|\/index\.ts)$/;
const PACKAGE_V2 = /^node_modules\/@arqon\/policy\/v2\.ts$/;
const IMPORTS_V2 = /\bfrom\s*["'](?:@arqon\/policy|(?:\.{1,2}\/)+sdk)\/v2(?:\.ts)?["']/;
const HOST = "sdk/arqon_host_v1.ts";
const HOST_V2 = 'export * from "./arqon_host_v2";\n';

/** Hook by the SDK function that registers a handler for it. */
const REGISTERS: Readonly<Record<string, string>> = {
  onConnect: "arqon_on_connect",
  onSubscribe: "arqon_on_subscribe",
  onMessage: "arqon_on_message",
};
/** The register and the hook of policies of version 2 only: exported if it is called. */
const ON_APPEND = "sdk/appending/onAppend";
const APPEND_HOOK = "sdk/appending/arqon_on_append";

const OPTIONS = [
  "--outFile=policy.wasm",
  "--optimizeLevel=3",
  "--shrinkLevel=1",
  // Garbage is collected at the start of a call, when nothing is on the stack.
  "--runtime=minimal",
  "--exportStart=arqon_start",
  // A failed assertion traps; no host provides `env.abort`.
  "--use=abort=",
  "--noColors",
];

function entryText(policy: string, abi: 1 | 2): string {
  const hooks = Object.values(REGISTERS).join(", ");
  return `import "./policy/${policy}";\n` +
    `export { arqon_alloc, arqon_init, ${hooks} } from "./sdk/guest";\n` +
    (abi === 1 ? "" : `export { arqon_state_keys } from "./sdk/state";\n`);
}

/** The compiler adds ".ts" to every re-exported path; ours already have it. */
export function withoutExtensions(text: string | undefined): string | undefined {
  return text?.replace(/(\bfrom\s*["']\.{1,2}\/[^"'\n]+)\.ts(["'])/g, "$1$2");
}

/** Moves the start function, if there is one, into the SDK's `runTopLevel`. */
export function moveStart(module: Module, none: NoneType): void {
  if (module.getFunction("~start") === 0) return;
  module.removeFunction("sdk/guest/runTopLevel");
  module.addFunction("sdk/guest/runTopLevel", none, none, [], module.call("~start", [], none));
}

/** The compiler's count of the bytes of all managed objects; absent in a module without any. */
const MANAGED_BYTES = "~lib/rt/tcms/total";

/** Has the SDK's `managedBytes` return the compiler's count, which no source can name. */
function exposeCount(module: Module, i32: NoneType, none: NoneType): void {
  const name = "sdk/guest/managedBytes";
  if (module.getFunction(name) === 0 || module.getGlobal(MANAGED_BYTES) === 0) return;
  module.removeFunction(name);
  module.addFunction(name, none, i32, [], module.global.get(MANAGED_BYTES, i32));
}

/** Moves the start function and drops exports without a function. */
function finish(module: Module, { none, i32 }: Binaryen, abi: 1 | 2): void {
  module.removeExport("arqon_start");
  if (abi === 1) module.removeExport("arqon_init");
  else if (module.getFunction("sdk/state/state") === 0) module.removeExport("arqon_state_keys");
  moveStart(module, none);
  exposeCount(module, i32, none);
  for (const [register, hook] of Object.entries(REGISTERS)) {
    if (module.getFunction(`sdk/guest/${register}`) === 0) module.removeExport(hook);
  }
  if (module.getFunction(ON_APPEND) !== 0) module.addFunctionExport(APPEND_HOOK, "arqon_on_append");
}

/** The files that the compiler requests, for a policy of version 1 until a file imports `v2.ts`. */
class Files {
  readonly #sources: PolicySources;
  abi: 1 | 2;
  /** Whether the entry or the host's functions were read for the other version. */
  is_mixed = false;
  #entry: 1 | 2 | undefined;
  #host: 1 | 2 | undefined;

  constructor(sources: PolicySources, abi: 1 | 2) {
    this.#sources = sources;
    this.abi = abi;
  }

  async read(name: string): Promise<string | null> {
    if (name === ENTRY) return await this.#readEntry();
    if (PACKAGE.test(name)) return 'export * from "../../../sdk/mod";\n';
    if (PACKAGE_V2.test(name)) return 'export * from "../../../sdk/v2";\n';
    if (!/^(policy|sdk)\//.test(name) || name.split("/").includes("..")) return null;
    if (name === "sdk/v2.ts") this.abi = 2;
    if (name === HOST) this.#host = this.abi;
    this.is_mixed = this.abi === 2 && (this.#entry === 1 || this.#host === 1);
    if (name === HOST && this.abi === 2) return HOST_V2;
    return withoutExtensions(await this.#sources.readFile(name)) ?? null;
  }

  /** Usually the policy's own file decides the version; otherwise all files are read again. */
  async #readEntry(): Promise<string> {
    const { entry, readFile } = this.#sources;
    if (IMPORTS_V2.test(await readFile(`policy/${entry}`) ?? "")) this.abi = 2;
    this.#entry = this.abi;
    return entryText(entry, this.abi);
  }
}

/** Compiles one policy. Throws `PolicyCompileError` if it does not compile or registers no handler. */
export async function compilePolicy(sources: PolicySources): Promise<Uint8Array<ArrayBuffer>> {
  const files = new Files(sources, 1);
  const compiled = await compileFiles(sources.entry, files).catch((error) => {
    if (!files.is_mixed) throw error;
  });
  // Some files may have been read before the one that imports `v2.ts`.
  if (compiled !== undefined && !files.is_mixed) return compiled;
  return await compileFiles(sources.entry, new Files(sources, 2));
}

async function compileFiles(entry: string, files: Files): Promise<Uint8Array<ArrayBuffer>> {
  let hooks = 0;
  const bytes = await compileEntry((name) => files.read(name), (module, binaryen) => {
    finish(module, binaryen, files.abi);
    const count = (name: string) => module.getFunction(`sdk/guest/${name}`) === 0 ? 0 : 1;
    hooks = Object.keys(REGISTERS).reduce<number>((sum, name) => sum + count(name), 0) +
      (module.getFunction(ON_APPEND) === 0 ? 0 : 1);
  });
  if (hooks > 0) return bytes;
  throw new PolicyCompileError(
    `${entry} registers no handler; call onConnect, onSubscribe, onMessage or onAppend`,
  );
}

/**
 * Compiles `ENTRY`; `readFile` provides it and all other files. `finish` may change the module before it is written.
 */
export async function compileEntry(
  readFile: (name: string) => Promise<string | null>,
  finish: (module: Module, binaryen: Binaryen) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const [{ default: compiler }, { default: binaryen }] = await Promise.all([
    import("assemblyscript/asc"),
    import("assemblyscript/binaryen"),
  ]);
  let output: Uint8Array | undefined;
  const afterCompile = (module: Module) => finish(module, binaryen);
  const transform = { afterCompile } as unknown as InstanceType<typeof asc.Transform>;
  const { error, stderr } = await compiler.main([ENTRY, ...OPTIONS], {
    stdout: compiler.createMemoryStream(),
    readFile,
    writeFile: (_name, contents) => {
      if (contents instanceof Uint8Array) output = contents;
    },
    listFiles: () => null,
    transforms: [transform],
  });
  if (error === null && output !== undefined) return new Uint8Array(output);
  throw new PolicyCompileError(String(stderr).trim() || error?.message || "no output");
}
