/**
 * A program that compiles the named kernels of `bench/kernels`, and prints them plain and metered as JSON.
 * `policy_kernels.ts` starts it.
 */
import asc from "assemblyscript/asc";
import { meter } from "../../wasm/metering/meter.ts";
import type { KernelModule } from "./policy_kernels.ts";
import { readText } from "./policy_rows.ts";

/** Compiles a kernel from AssemblyScript, with the same optimisation as policies. */
async function compileKernel(name: string): Promise<Uint8Array> {
  let output: Uint8Array | undefined;
  const options = ["--optimizeLevel=3", "--shrinkLevel=1", "--runtime=stub", "--use=abort="];
  const { error, stderr } = await asc.main(
    [`${name}.ts`, "--outFile=kernel.wasm", "--initialMemory=8", "--noColors", ...options],
    {
      stdout: asc.createMemoryStream(),
      // The compiler also asks for files that need not exist.
      readFile: (file) => readText(`bench/kernels/${file}`).catch(() => null),
      writeFile: (_name, contents) => {
        if (contents instanceof Uint8Array) output = contents;
      },
      listFiles: () => null,
    },
  );
  if (error !== null || output === undefined) {
    throw new Error(`bench/kernels/${name}.ts: ${String(stderr) || error?.message}`);
  }
  return output;
}

async function readKernel(name: string): Promise<KernelModule> {
  const plain = await compileKernel(name);
  // The start function that the compiler adds takes fuel, too.
  const options = { memory_limit_pages: 64, initial_fuel_units: 1_000_000n };
  const metered = meter(plain, options).bytes;
  return { name, plain: plain.toBase64(), metered: metered.toBase64() };
}

if (import.meta.main) {
  const modules: KernelModule[] = [];
  for (const name of Deno.args) modules.push(await readKernel(name));
  console.log(JSON.stringify(modules));
}
