/**
 * A program that measures appends to the embedded engine's log, in memory and in a file with each setting of
 * `synchronous`. Its argument is a plan as JSON; it prints JSON. `durable_embedded.ts` starts it.
 */
import { configFrom } from "../../shared/config/load.ts";
import { openSpine } from "../../shared/spine/open.ts";
import { errorLog } from "../measure/brains.ts";
import { keepBusy, type Pace } from "../rooms/rooms_load.ts";

/** The plan of the measurement. */
export interface EmbeddedPlan {
  readonly rounds: number;
  readonly seconds: number;
  readonly rooms: readonly number[];
  /** Appends that are under way at a time. */
  readonly outstanding: number;
  /** Size of each stored message. */
  readonly stored_bytes: number;
}

/** The store of the log: memory, or a file with this setting of `synchronous`. */
export type Store = "memory" | "normal" | "full";

/** The result of one round of one row. */
export interface EmbeddedRound extends Pace {
  readonly store: Store;
  readonly rooms: number;
}

const STORES: readonly Store[] = ["memory", "normal", "full"];
const RETENTION = { history_size: 1_000, history_ttl_seconds: 86_400, replicas: undefined };
const WARM_UP_SECONDS = 0.5;

async function openStore(store: Store, owned: AsyncDisposableStack) {
  const dir = await Deno.makeTempDir({ prefix: "arqon-bench-" });
  owned.defer(() => Deno.remove(dir, { recursive: true }));
  const config = store === "memory"
    ? configFrom({})
    : configFrom({ server: { data_dir: dir }, durable: { synchronous: store } });
  const spine = await openSpine(config, { log: errorLog("bench"), now: Date.now });
  owned.defer(() => spine.drain());
  return await spine.log("acme", RETENTION);
}

async function run(plan: EmbeddedPlan): Promise<EmbeddedRound[]> {
  await using owned = new AsyncDisposableStack();
  const payload = crypto.getRandomValues(new Uint8Array(plan.stored_bytes));
  const rows = [];
  for (const store of STORES) {
    const log = await openStore(store, owned);
    for (const rooms of plan.rooms) rows.push({ store, log, rooms });
  }
  let sent = 0;
  const results: EmbeddedRound[] = [];
  for (let round = 0; round <= plan.rounds; round++) {
    for (const { store, log, rooms } of rows) {
      const seconds = round === 0 ? WARM_UP_SECONDS : plan.seconds;
      const end_ms = performance.now() + seconds * 1_000;
      const pace = await keepBusy(plan.outstanding, async () => {
        if (performance.now() >= end_ms) return false;
        const key = `bench/${sent++}`;
        await log.append(`room-${sent % rooms}`, payload, { key });
        return true;
      });
      if (round > 0) results.push({ store, rooms, ...pace });
    }
  }
  return results;
}

if (import.meta.main) {
  console.log(JSON.stringify(await run(JSON.parse(Deno.args[0] ?? ""))));
  Deno.exit(0);
}
