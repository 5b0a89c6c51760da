/**
 * `deno task policies`: builds the example policies and reducers into `policies/build/`; the results are
 * committed. The same sources and compilers give the same bytes.
 *
 * `--check` writes nothing and fails if a rebuild differs from the committed file. A policy without a
 * compiler on this machine gives a line that begins with `NOTE`; with `--strict`, as in CI, a missing
 * compiler fails. A compiler with another version than the committed file's must build, but its bytes
 * are not compared. `--fold-table` regenerates the Unicode tables first.
 */
import { compileReducer } from "../../policies/compiler/reducer.ts";
import { compilePolicy } from "../../policies/compiler/assemblyscript.ts";
import { makeFoldTable, renderFoldTable, UNICODE_VERSION } from "./policies_fold_table.ts";
import { assembleWat, buildC, buildRust, type NativeBuild } from "./policies_native.ts";
import { ROOT } from "../checkout/source_files.ts";

const POLICIES = `${ROOT}policies/`;
const EXAMPLES = `${POLICIES}examples/`;
const REDUCERS = `${POLICIES}reducers/`;
const BUILD = `${POLICIES}build/`;
const FOLD_TABLE = `${POLICIES}sdk/fold_table.bin`;
const FOLD_TABLE_TS = `${POLICIES}sdk/fold_table.ts`;
const TOOLCHAINS = `${BUILD}toolchains.json`;

/** Names of the sources in AssemblyScript: one for each `.ts` file in the folder. */
async function assemblyScriptNames(folder: string): Promise<string[]> {
  const names = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
  return names.filter((name) => name.endsWith(".ts")).map((name) => name.slice(0, -3)).sort();
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The version of a package that deno.json pins; it is the compiler's version. */
async function pinned(specifier: string): Promise<string> {
  const { imports } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  return String(imports[specifier]).replace(/^npm:((?:@[^/]+\/)?[^/]+).*$/, "$1");
}

/**
 * Returns the text of a source `policy/…` or `sdk/…` for the compiler, from these folders; undefined if there is none.
 * The reducer SDK uses the JSON reader of the policy SDK.
 */
function sourcesOf(policy: string, sdk: string) {
  return async (path: string): Promise<string | undefined> => {
    const file = path.startsWith("policy/")
      ? policy + path.slice("policy/".length)
      : path === "sdk/json.ts"
      ? `${POLICIES}sdk/json.ts`
      : sdk + path.slice("sdk/".length);
    const bytes = await readIfThere(file);
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
  };
}

/** A function that builds each policy, in the order of the report. */
async function builders(): Promise<Map<string, () => Promise<NativeBuild>>> {
  const assemblyScript = await pinned("assemblyscript/asc");
  const watToolchain = await pinned("wabt");
  const all = new Map<string, () => Promise<NativeBuild>>();
  for (
    const [prefix, folder, sdk, compile] of [
      ["", EXAMPLES, "sdk/", compilePolicy],
      ["reducers/", REDUCERS, "reducer_sdk/", compileReducer],
    ] as const
  ) {
    const readFile = sourcesOf(folder, POLICIES + sdk);
    for (const name of await assemblyScriptNames(folder)) {
      all.set(prefix + name, async () => ({
        bytes: await compile({ entry: `${name}.ts`, readFile }),
        toolchain: assemblyScript,
      }));
    }
  }
  for (
    const [name, file] of [["bad_words_wat", "bad_words.wat"], ["mask_digits", "mask_digits.wat"]]
  ) {
    const readFile = (path: string) => Deno.readFile(EXAMPLES + path);
    all.set(name!, async () => ({
      bytes: await assembleWat(file!, await Deno.readTextFile(EXAMPLES + file), readFile),
      toolchain: watToolchain,
    }));
  }
  const table = () => Deno.readFile(FOLD_TABLE);
  all.set("bad_words_c", async () => await buildC(EXAMPLES, "bad_words.c", await table()));
  all.set("bad_words_rust", () => buildRust(EXAMPLES, "bad_words.rs"));
  all.set("reducers/counter_rust", () => buildRust(REDUCERS, "counter.rs"));
  const sdk = { name: "arqon_reducer", folder: `${POLICIES}reducer_sdk/rust` };
  for (const name of ["quota", "tally"]) {
    all.set(`reducers/${name}_rust`, () => buildRust(REDUCERS, `${name}.rs`, sdk));
  }
  return all;
}

const isSame = (one: Uint8Array | undefined, other: Uint8Array) =>
  one !== undefined && one.length === other.length &&
  one.every((byte, index) => byte === other[index]);

/**
 * Generates the Unicode tables. With `check` it returns the differences, if this Deno has the same version of Unicode.
 */
async function foldTables(check: boolean): Promise<string[]> {
  const committed = new TextDecoder().decode(await readIfThere(FOLD_TABLE_TS));
  if (check && committed !== "" && !committed.includes(`Unicode ${UNICODE_VERSION};`)) {
    console.log(`NOTE fold table not compared: this Deno has Unicode ${UNICODE_VERSION}`);
    return [];
  }
  const table = makeFoldTable();
  const text = renderFoldTable(table);
  if (isSame(await readIfThere(FOLD_TABLE), table) && committed === text) return [];
  if (check) return ["policies/sdk/fold_table.*"];
  await Deno.writeFile(FOLD_TABLE, table);
  await Deno.writeTextFile(FOLD_TABLE_TS, text);
  console.log(`fold_table.bin ${table.length} bytes, Unicode ${UNICODE_VERSION}`);
  return [];
}

async function buildAll(check: boolean, strict: boolean): Promise<string[]> {
  const problems: string[] = [];
  const toolchainsText = new TextDecoder().decode(await readIfThere(TOOLCHAINS));
  const toolchains: Record<string, string> = toolchainsText === ""
    ? {}
    : JSON.parse(toolchainsText);
  for (const [name, build] of await builders()) {
    const result = await build();
    if ("missing" in result) {
      const line = `${name}.wasm was not built: no ${result.missing}`;
      if (strict) problems.push(line);
      else console.log(`NOTE ${line}`);
      continue;
    }
    const { bytes, toolchain } = result;
    if (!check) {
      await Deno.writeFile(`${BUILD}${name}.wasm`, bytes);
      toolchains[name] = toolchain;
      console.log(`${name}.wasm ${bytes.length} bytes, ${toolchain}`);
    } else if (toolchains[name] !== toolchain) {
      console.log(`NOTE ${name}.wasm not compared: built by ${toolchain}, not ${toolchains[name]}`);
    } else if (isSame(await readIfThere(`${BUILD}${name}.wasm`), bytes)) {
      console.log(`${name}.wasm is the same`);
    } else {
      problems.push(`${name}.wasm differs from its sources; run deno task policies`);
    }
  }
  if (!check) await Deno.writeTextFile(TOOLCHAINS, `${JSON.stringify(toolchains, null, 2)}\n`);
  return problems;
}

if (import.meta.main) {
  const known = ["--check", "--strict", "--fold-table"];
  const unknown = Deno.args.filter((argument) => !known.includes(argument));
  if (unknown.length > 0) {
    console.error(
      `unknown: ${unknown.join(" ")}; usage: deno task policies [${known.join("] [")}]`,
    );
    Deno.exit(2);
  }
  const check = Deno.args.includes("--check");
  const stale = check || Deno.args.includes("--fold-table") ? await foldTables(check) : [];
  const problems = [
    ...stale.map((path) => `${path} is stale; run deno task policies --fold-table`),
    ...await buildAll(check, Deno.args.includes("--strict")),
  ];
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) Deno.exit(1);
}
