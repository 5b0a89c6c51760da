/** The limit that tests set for the work of one unit, compared with a reference loop on the same machine. */
import { MULTIPLICATIONS_PER_UNIT } from "../../../wasm/metering/meter_costs.ts";

/** Whether the machine does nothing else, as `deno task test:prices` requires. */
const IS_EXACT = Deno.env.get("POLICY_PRICES") === "exact";

/**
 * Multiplications that a unit may take. Work that grows faster than its price is far over it. On a busy machine
 * the least of many runs is two or three times slower than the reference: programs on the other thread of a core,
 * and a collector whose threads wait, take time from the work, but none from the reference.
 */
export const MULTIPLICATIONS_MAX = MULTIPLICATIONS_PER_UNIT * (IS_EXACT ? 1 : 8);

/** How long the work is repeated until it is within the limit: a busy machine needs more tries. */
export const PATIENCE_MS = 60_000;
