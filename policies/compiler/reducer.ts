/**
 * Compiles a reducer in AssemblyScript: the guest SDK of `reducer_sdk/` and the reducer's own files. Policies have
 * another SDK and `assemblyscript.ts`, whose compiler this module uses.
 */
import {
  compileEntry,
  ENTRY,
  type Module,
  moveStart,
  type NoneType,
  PolicyCompileError,
  type PolicySources,
  withoutExtensions,
} from "./assemblyscript.ts";

import { parseRoomSchema, withRoomSchema } from "../../wasm/reducer/schema/room_schema.ts";
import { SchemaError } from "../../wasm/reducer/schema/shape.ts";

const PACKAGE = /^node_modules\/@arqon\/reducer(?:\.ts|\/index\.ts)$/;
/** The same SDK, by the path that the examples of the checkout import. */
const IN_CHECKOUT = "reducer_sdk/mod.ts";
const EXPORTS = "arqon_alloc, arqon_apply, arqon_init, arqon_migrate";

function finish(module: Module, none: NoneType): void {
  module.removeExport("arqon_start");
  if (module.getFunction("sdk/guest/migrate") === 0) module.removeExport("arqon_migrate");
  moveStart(module, none);
}

/** The module with the schema beside its source, if there is one. */
async function withSchema(
  module: Uint8Array<ArrayBuffer>,
  entry: string,
  readFile: PolicySources["readFile"],
): Promise<Uint8Array<ArrayBuffer>> {
  const name = entry.replace(/\.ts$/, ".schema.json");
  const text = await readFile(`policy/${name}`);
  if (text === undefined || text === null) return module;
  const schema = new TextEncoder().encode(text);
  try {
    parseRoomSchema(schema);
  } catch (error) {
    if (error instanceof SchemaError) throw new PolicyCompileError(`${name}: ${error.message}`);
    throw error;
  }
  return withRoomSchema(module, schema);
}

/**
 * Compiles one reducer, and embeds the schema beside it: `auction.schema.json`, beside `auction.ts`. `sources` provides
 * `policy/…`, the reducer's folder, and `sdk/…`, the guest SDK. Rejects with `PolicyCompileError` if it does not
 * compile or handles no command.
 */
export async function compileReducer(
  { entry, readFile }: PolicySources,
): Promise<Uint8Array<ArrayBuffer>> {
  let handles = false;
  const read = async (name: string): Promise<string | null> => {
    if (name === ENTRY) {
      return `import "./policy/${entry}";\nexport { ${EXPORTS} } from "./sdk/guest";\n`;
    }
    if (name === IN_CHECKOUT) return 'export * from "../sdk/mod";\n';
    if (PACKAGE.test(name)) return 'export * from "../../../sdk/mod";\n';
    if (!/^(policy|sdk)\//.test(name) || name.split("/").includes("..")) return null;
    return withoutExtensions(await readFile(name)) ?? null;
  };
  const bytes = await compileEntry(read, (module, { none }) => {
    handles = module.getFunction("sdk/guest/on") !== 0;
    finish(module, none);
  });
  if (handles) return await withSchema(bytes, entry, readFile);
  throw new PolicyCompileError(`${entry} handles no command; call on("name", handler)`);
}
