/**
 * Builds the example policies that are not in AssemblyScript: WAT with the npm package, C and Rust with the compilers
 * of this machine. A missing compiler is a result, not an error.
 */
import wabt from "wabt";
import { run } from "../checkout/programs.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";

/** The compiled module, or the reason why there is none. */
export type NativeBuild =
  | { readonly bytes: Uint8Array; readonly toolchain: string }
  | { readonly missing: string };

/** Bytes of linear memory for the stack of C and Rust, which lies below the data. */
const STACK_BYTES = 16_384;

const TARGET = "wasm32-unknown-unknown";
const INSTALL = "apt-get install -y clang lld rustc libstd-rust-dev-wasm32";

async function compile(
  program: string,
  args: readonly string[],
  cwd: string,
  output: string,
): Promise<Uint8Array> {
  const built = await run(program, args, { cwd });
  if (built?.ok !== true) throw new Error(`${program} failed:\n${built?.text ?? "not found"}`);
  return await Deno.readFile(output);
}

/** The bytes as the characters of a WAT string. */
function watString(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
}

/** Assembles a WAT text. `readFile` returns the bytes for a string `@file:…`. */
export async function assembleWat(
  path: string,
  text: string,
  readFile: (path: string) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const { parseWat } = await wabt();
  let whole = text;
  for (const [marker, file = ""] of text.matchAll(/"@file:([\w./-]+)"/g)) {
    whole = whole.replaceAll(marker, `"${watString(await readFile(file))}"`);
  }
  const module = parseWat(path, whole, { mutable_globals: true });
  try {
    module.validate();
    return module.toBinary({}).buffer;
  } finally {
    module.destroy();
  }
}

/** Compiles one C file of `folder` with clang, and generates `fold_table.h` for it. */
export async function buildC(
  folder: string,
  file: string,
  foldTable: Uint8Array,
): Promise<NativeBuild> {
  const versions = await Promise.all([run("clang", ["--version"]), run("wasm-ld", ["--version"])]);
  const [clang, linker] = versions.map((version) => version?.text.split("\n")[0]);
  if (clang === undefined || linker === undefined) {
    return { missing: `clang and wasm-ld (${INSTALL})` };
  }
  await using temporary = await temporaryFolder();
  const output = `${temporary.path}/policy.wasm`;
  await Deno.writeTextFile(`${temporary.path}/fold_table.h`, foldTable.join());
  const linkerOptions = [
    "--no-entry",
    "--strip-all",
    // `host_reject` unwinds without the epilogues, so the host restores this after a call.
    "--export=__stack_pointer",
    `-z,stack-size=${STACK_BYTES}`,
  ].map((option) => `-Wl,${option}`);
  const options = ["-std=c11", "-O2", "-nostdlib", "-Wall", "-Wextra", "-Werror"];
  const wasm = ["--target=wasm32", "-mmutable-globals", `-I${temporary.path}`, ...linkerOptions];
  const bytes = await compile("clang", [...options, ...wasm, "-o", output, file], folder, output);
  return { bytes, toolchain: `${clang}; ${linker}` };
}

/** The first Rust compiler that has a `core` for WebAssembly; the compiler of rustup may have none. */
async function findRust(): Promise<{ program: string; version: string } | undefined> {
  for (const program of ["rustc", "/usr/bin/rustc"]) {
    const found = await run(program, ["--print", "target-libdir", "--target", TARGET]);
    if (found?.ok !== true) continue;
    try {
      for await (const { name } of Deno.readDir(found.text)) {
        if (!name.startsWith("libcore-")) continue;
        const version = await run(program, ["--version"]);
        return { program, version: version?.text ?? "" };
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return undefined;
}

/** A dependency of a Rust file. */
interface RustCrate {
  readonly name: string;
  /** The folder of its `src/lib.rs`. */
  readonly folder: string;
}

const RUST = ["--edition=2021", `--target=${TARGET}`];
const RUST_CODEGEN = ["opt-level=3", "codegen-units=1", "panic=abort"];
const RUST_MODULE = [
  "strip=symbols",
  "linker=wasm-ld",
  "linker-flavor=wasm-ld",
  "target-feature=+mutable-globals",
  "link-arg=--export=__stack_pointer",
  `link-arg=-zstack-size=${STACK_BYTES}`,
];

const codegenOf = (options: readonly string[]) => options.flatMap((option) => ["-C", option]);

/** Compiles one Rust file of `folder` with rustc and wasm-ld. */
export async function buildRust(
  folder: string,
  file: string,
  crate?: RustCrate,
): Promise<NativeBuild> {
  const linker = await run("wasm-ld", ["--version"]);
  const rust = await findRust();
  if (rust === undefined || linker === undefined) {
    return { missing: `rustc with target ${TARGET}, and wasm-ld (${INSTALL})` };
  }
  // The files are passed by their names alone, since panic messages contain the paths.
  await using temporary = await temporaryFolder();
  const used: string[] = [];
  if (crate !== undefined) {
    const output = `${temporary.path}/lib${crate.name}.rlib`;
    const options = [...RUST, "--crate-type=rlib", `--crate-name=${crate.name}`, "-Dwarnings"];
    const args = [...options, ...codegenOf(RUST_CODEGEN), "-o", output, "src/lib.rs"];
    await compile(rust.program, args, crate.folder, output);
    used.push("--extern", `${crate.name}=${output}`);
  }
  const output = `${temporary.path}/policy.wasm`;
  const options = [...RUST, "--crate-type=cdylib", ...used];
  const codegen = codegenOf([...RUST_CODEGEN, ...RUST_MODULE]);
  const bytes = await compile(
    rust.program,
    [...options, ...codegen, "-o", output, file],
    folder,
    output,
  );
  return { bytes, toolchain: `${rust.version}; ${linker.text.split("\n")[0]}` };
}
