/** The packed declarations in programs with the strictest settings, in both module resolutions. */
import ts from "typescript";
import type { Scenario, World } from "./world.ts";

/** All checks of TypeScript, including the declarations themselves. */
const STRICT: ts.CompilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noPropertyAccessFromIndexSignature: true,
  noUnusedLocals: true,
  isolatedModules: true,
  verbatimModuleSyntax: true,
  skipLibCheck: false,
  noEmit: true,
  target: ts.ScriptTarget.ES2024,
  types: [],
};

/**
 * Other libraries' sockets as the option `webSocket`, without a cast. As a string, because Deno has no types of `ws`.
 */
const WS_PROGRAM = `
import { connect, type ConnectOptions, type WebSocketConstructor } from "@arqon/sdk";
import { WebSocket as NamedWs } from "ws";
import Ws from "ws";

const sockets: readonly WebSocketConstructor[] = [Ws, NamedWs, WebSocket];

/** The npm package, with a custom certificate, and the platform's. */
export async function open(options: ConnectOptions): Promise<void> {
  class Own extends Ws {
    constructor(url: string, protocols: string[]) {
      super(url, protocols, { ca: "…" });
    }
  }
  await connect({ ...options, webSocket: Own });
  await connect({ ...options, webSocket: sockets[0] ?? Ws });
  // @ts-expect-error: it has to send.
  await connect({ ...options, webSocket: EventTarget });
}
`;

function check({ project }: World, file: string, options: ts.CompilerOptions): void {
  const program = ts.createProgram([`${project.folder}/${file}`], { ...STRICT, ...options });
  const found = ts.getPreEmitDiagnostics(program);
  if (found.length === 0) return;
  throw new Error(ts.formatDiagnostics(found, {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => project.folder,
    getNewLine: () => "\n",
  }));
}

/** The minimum libraries of a program. */
const LIB = ["lib.es2024.d.ts", "lib.dom.d.ts", "lib.esnext.disposable.d.ts"];

/** Strict programs compile, and their errors are found. */
export const TYPES_SCENARIOS: readonly Scenario[] = ([
  ["nodenext", ts.ModuleKind.NodeNext, ts.ModuleResolutionKind.NodeNext],
  ["bundler", ts.ModuleKind.ESNext, ts.ModuleResolutionKind.Bundler],
] as const).map(([name, module, moduleResolution]) => ({
  name: `a strict program compiles with moduleResolution ${name}`,
  run: async (world) => {
    const options = { module, moduleResolution, lib: LIB };
    check(world, "typed.ts", options);
    // Node's declarations and a page's contradict each other in places.
    await Deno.writeTextFile(`${world.project.folder}/typed_ws.ts`, WS_PROGRAM);
    check(world, "typed_ws.ts", { ...options, skipLibCheck: true });
  },
}));
