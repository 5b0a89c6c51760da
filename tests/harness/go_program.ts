/**
 * Programs in Go and Rust for tests that check us against other software: from the PATH, else built once into
 * `.arqon/cache`. Building takes a minute or two, so tests that need one are among the slow ones.
 */
import { installed, run } from "../../tasks/checkout/programs.ts";
import { ROOT } from "../../tasks/checkout/source_files.ts";

/** The program to build. */
export interface GoProgram {
  /** Name of the program and, with the version, of the file in the cache. */
  readonly name: string;
  readonly version: string;
  /** Package for `go install`, or the folder of a module or of a crate in this checkout. */
  readonly source:
    | { readonly package: string }
    | { readonly folder: string }
    | { readonly crate: string };
}

/** Does what `nats stream backup` and `nats stream restore` do, with the same library. */
export const STREAM_TOOL: GoProgram = {
  name: "arqon_stream_tool",
  version: "jsm-0.5.1",
  source: { folder: "tests/stream_tool" },
};
/** `age`, which encrypts files. */
export const AGE: GoProgram = {
  name: "age",
  version: "v1.3.2",
  source: { package: "filippo.io/age/cmd/age" },
};

async function build({ name, version, source }: GoProgram, target: string): Promise<void> {
  const bin = target.slice(0, target.lastIndexOf("/"));
  const [compiler, ...args] = "crate" in source
    ? ["cargo", "install", "--locked", "--path", `${ROOT}${source.crate}`, "--root", `${bin}/made`]
    : "folder" in source
    ? ["go", "build", "-C", `${ROOT}${source.folder}`, "-o", target, "."]
    : ["go", "install", `${source.package}@${version}`];
  const env = { GOBIN: bin, CARGO_TARGET_DIR: `${bin}/target` };
  const built = await run(compiler!, args, { env });
  if (built === undefined) {
    const needed = "crate" in source ? "Rust 1.85 with cargo" : "Go 1.26";
    throw new Error(`${name} is not on the PATH, and without ${needed} it cannot be built`);
  }
  if (!built.ok) throw new Error(`${name}: ${compiler} failed: ${built.stderr}`);
  if ("crate" in source) await Deno.rename(`${bin}/made/bin/${name}`, target);
}

/** Its path. Throws an Error that says what to do. */
export async function ensureGoProgram(program: GoProgram): Promise<string> {
  const { name, version } = program;
  if (await run(name, ["--version"]) !== undefined) return name;
  return await installed(`${name}-${version}`, async (folder) => {
    await build(program, `${folder}/${name}`);
    return `${folder}/${name}`;
  });
}
