/**
 * Compiles a policy written in AssemblyScript with the guest SDK beside it. Pure but for `readFile`:
 * it takes sources and gives Wasm, the same bytes for the same sources. It checks nothing that the
 * Shield checks; `policies/testing` and the Shield do.
 *
 * What it adds to the compiler: the policy's top-level statements (`onMessage(…)`) would run in a
 * start section, which the Shield refuses because nothing pays for it. They run at the start of the
 * first hook instead. And only the hooks that the policy registers are exported.
 */
import asc from "assemblyscript/asc";
import type binaryenModule from "assemblyscript/binaryen";
import binaryen from "assemblyscript/binaryen";

/** A policy that does not compile; the message is the compiler's, with file and line. */
export class PolicyCompileError extends Error {
  override readonly name = "PolicyCompileError";
}

/** Where sources come from. */
export interface PolicySources {
  /** Name of the policy's own file within `policy/`, for example `bad_words.ts`. */
  readonly entry: string;
  /**
   * Text of `policy/…` (the policy's folder) or `sdk/…` (the guest SDK), undefined when there is no
   * such file. It is never asked for anything else.
   */
  readonly readFile: (path: string) => Promise<string | undefined>;
}

type Module = InstanceType<typeof binaryenModule.Module>;

const ENTRY = "arqon_entry.ts";
const PACKAGE = /^node_modules\/@arqon\/policy(?:\.ts|\/index\.ts)$/;

/** Hook by the function of the SDK that registers a handler for it. */
const REGISTERS: Readonly<Record<string, string>> = {
  onConnect: "arqon_on_connect",
  onSubscribe: "arqon_on_subscribe",
  onMessage: "arqon_on_message",
};

const OPTIONS = [
  "--outFile=policy.wasm",
  "--optimizeLevel=3",
  "--shrinkLevel=1",
  // Garbage is collected at the start of a call, when nothing is on the stack.
  "--runtime=minimal",
  "--exportStart=arqon_start",
  // A failed assertion traps; there is nobody to import `env.abort` from.
  "--use=abort=",
  "--noColors",
];

function entryText(policy: string): string {
  const hooks = Object.values(REGISTERS).join(", ");
  return `import "./policy/${policy}";\nexport { arqon_alloc, ${hooks} } from "./sdk/guest";\n`;
}

/** The compiler adds ".ts" to every path that it re-exports from; ours say it already. */
function withoutExtensions(text: string | undefined): string | undefined {
  return text?.replace(/(\bfrom\s*["']\.{1,2}\/[^"'\n]+)\.ts(["'])/g, "$1$2");
}

/** Moves the start function into the SDK's `runTopLevel` and drops hooks without a handler. */
function finish(module: Module): void {
  module.removeExport("arqon_start");
  if (module.getFunction("~start") !== 0) {
    const none = binaryen.none;
    module.removeFunction("sdk/guest/runTopLevel");
    module.addFunction("sdk/guest/runTopLevel", none, none, [], module.call("~start", [], none));
  }
  for (const [register, hook] of Object.entries(REGISTERS)) {
    if (module.getFunction(`sdk/guest/${register}`) === 0) module.removeExport(hook);
  }
}

/**
 * Compiles one policy. Throws `PolicyCompileError` when it does not compile or registers no handler.
 */
export async function compilePolicy(sources: PolicySources): Promise<Uint8Array<ArrayBuffer>> {
  let output: Uint8Array | undefined;
  let hooks = 0;
  const { error, stderr } = await asc.main([ENTRY, ...OPTIONS], {
    stdout: asc.createMemoryStream(),
    readFile: async (name) => {
      if (name === ENTRY) return entryText(sources.entry);
      if (PACKAGE.test(name)) return 'export * from "../../../sdk/mod";\n';
      if (!/^(policy|sdk)\//.test(name) || name.split("/").includes("..")) return null;
      return withoutExtensions(await sources.readFile(name)) ?? null;
    },
    writeFile: (_name, contents) => {
      if (contents instanceof Uint8Array) output = contents;
    },
    listFiles: () => null,
    transforms: [
      {
        afterCompile(module: Module) {
          finish(module);
          const count = (name: string) => module.getFunction(`sdk/guest/${name}`) === 0 ? 0 : 1;
          hooks = Object.keys(REGISTERS).reduce<number>((sum, name) => sum + count(name), 0);
        },
      } as unknown as InstanceType<typeof asc.Transform>,
    ],
  });
  if (error !== null || output === undefined) {
    throw new PolicyCompileError(String(stderr).trim() || error?.message || "no output");
  }
  if (hooks === 0) {
    throw new PolicyCompileError(
      `${sources.entry} registers no handler; call onConnect, onSubscribe or onMessage`,
    );
  }
  return new Uint8Array(output);
}
