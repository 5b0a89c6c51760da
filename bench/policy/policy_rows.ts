/** The payloads, policies and chains of the measurement of policy overhead. */
import wabt from "wabt";
import { ROOT } from "../measure/scenario.ts";

/** One row: a load with one chain. */
export interface OverheadRow {
  readonly name: string;
  readonly payload_bytes: number;
  /** The module of each policy in the chain, by its name in `readModules`. */
  readonly chain: readonly string[];
}

/** Every row. */
export const ROWS: readonly OverheadRow[] = [
  { name: "none 200 B", payload_bytes: 200, chain: [] },
  { name: "allow", payload_bytes: 200, chain: ["allow"] },
  { name: "bad words 200 B", payload_bytes: 200, chain: ["bad_words"] },
];

/** The cost of keyed state, compared with `none 200 B`: each connection has its own keys. */
export const STATE_ROWS: readonly OverheadRow[] = [
  { name: "state, 1 key", payload_bytes: 200, chain: ["state_one"] },
  { name: "state, 2 keys", payload_bytes: 200, chain: ["state_two"] },
];

/** Connections that share a load. */
export const CONNECTIONS = 10;

const SENTENCE =
  "The quick brown fox jumps over the lazy dog; Füchse können springen, naïve ones too. ";

/** A chat message in JSON of exactly this many bytes, without a bad word. */
export function chatPayload(size_bytes: number): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const frame = encoder.encode('{"text":""}').length;
  const text = encoder.encode(SENTENCE.repeat(Math.ceil(size_bytes / SENTENCE.length)));
  const room = size_bytes - frame;
  let end = room;
  // The text must not end within a character; spaces fill the missing bytes.
  while (end > 0 && ((text[end] ?? 0) & 0xc0) === 0x80) end--;
  const inner = new TextDecoder().decode(text.subarray(0, end)) + " ".repeat(room - end);
  return encoder.encode(`{"text":"${inner}"}`);
}

async function assemble(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const source = await Deno.readTextFile(`${ROOT}/bench/kernels/${name}.wat`);
  using module = disposable((await wabt()).parseWat(`${name}.wat`, source));
  return new Uint8Array(module.value.toBinary({}).buffer);
}

function disposable<T extends { destroy(): void }>(value: T) {
  return { value, [Symbol.dispose]: () => value.destroy() };
}

/** A committed example of `policies/build`. */
export function example(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(`${ROOT}/policies/build/${name}.wasm`);
}

/** All modules of the rows, by name. */
export async function readModules(): Promise<ReadonlyMap<string, Uint8Array<ArrayBuffer>>> {
  const modules = new Map([["bad_words", await example("bad_words")]]);
  for (const name of ["allow", ...STATE_ROWS.flatMap(({ chain }) => chain)]) {
    modules.set(name, await assemble(name));
  }
  return modules;
}
