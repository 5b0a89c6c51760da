/**
 * The golden files of the metering transform: each rule as a small module in `golden/NAME.wat`, and
 * its metered form in `golden/NAME.metered.wat`. Run as a program, this file writes the second from
 * the first, so that a person can read the difference: `deno run --allow-read --allow-write
 * --allow-env wasm/testing/golden.ts`.
 */
import { meter } from "../metering/meter.ts";
import { fromText } from "./bytes.ts";
import { watText } from "./wat.ts";

const FOLDER = new URL("./golden/", import.meta.url);
const SUFFIX = ".metered.wat";

/** A rule's golden files. */
export interface GoldenCase {
  readonly name: string;
  readonly before: string;
  /** "" if there is none yet. */
  readonly after: string;
}

/** Every case, by name. */
export async function goldenCases(): Promise<readonly GoldenCase[]> {
  const files = (await Array.fromAsync(Deno.readDir(FOLDER))).map(({ name }) => name);
  const names = files.filter((name) => !name.endsWith(SUFFIX)).map((name) => name.slice(0, -4));
  return await Promise.all(
    names.sort().map(async (name) => ({
      name,
      before: await Deno.readTextFile(new URL(`${name}.wat`, FOLDER)),
      after: files.includes(name + SUFFIX)
        ? await Deno.readTextFile(new URL(name + SUFFIX, FOLDER))
        : "",
    })),
  );
}

/** The metered form of a module, as of a policy of its version; both texts must be valid. */
export function meterText(before: string): string {
  const bytes = fromText(before);
  if (!WebAssembly.validate(bytes)) throw new TypeError("the module is not valid");
  const renewed = before.includes('"arqon_host_v2"');
  const options = { memory_limit_pages: 4, initial_fuel_units: 500n, renewed };
  return watText(meter(bytes, options).bytes);
}

if (import.meta.main) {
  for (const { name, before } of await goldenCases()) {
    await Deno.writeTextFile(new URL(name + SUFFIX, FOLDER), meterText(before));
  }
}
