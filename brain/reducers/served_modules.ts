/**
 * Serves a room's module to clients, page by page, if its class allows that: metered, so that an endless loop ends in a
 * client, too. The caller has authorized the request.
 */
import { createHash } from "node:crypto";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import type { RunnableProgram } from "./log/program.ts";
import type { ReducerHost } from "./thread/host.ts";

/** Bytes of a page; base64 adds a third. */
const PAGE_BYTES = 98_304;

interface Served {
  readonly bytes: Uint8Array;
  readonly sha256: string;
}

/** Modules as clients get them, cached as long as their programs are. */
const made = new WeakMap<RunnableProgram, Promise<Served>>();

function servedOf(program: RunnableProgram, host: Pick<ReducerHost, "metered">): Promise<Served> {
  const known = made.get(program);
  if (known !== undefined) return known;
  const making = host.metered(program).then((bytes) => {
    return { bytes, sha256: createHash("sha256").update(bytes).digest("hex") };
  });
  made.set(program, making);
  // The thread has died: another one is asked.
  making.catch(() => made.delete(program));
  return making;
}

/** The page that starts at a byte, as JSON. Rejects as the thread does. */
export async function modulePage(
  program: RunnableProgram,
  from: number,
  host: Pick<ReducerHost, "metered">,
): Promise<string> {
  const { bytes, sha256 } = await servedOf(program, host);
  const { module, fuel_limit } = program;
  return JSON.stringify({
    module,
    sha256,
    size_bytes: bytes.length,
    from,
    fuel_units: Math.round(fuel_limit * UNITS_PER_FUEL),
    bytes: bytes.subarray(from, from + PAGE_BYTES).toBase64(),
  });
}
