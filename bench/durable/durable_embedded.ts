/** Appends to the embedded engine's log, in memory and in a file with each setting of `synchronous`. */
import { configFrom } from "../../shared/config/load.ts";
import { openSpine } from "../../shared/spine/open.ts";
import { errorLog } from "../measure/brains.ts";
import type { Effort } from "../measure/parts.ts";
import { answer, measuredBy } from "../measure/program.ts";
import { medianOf } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";
import { keepBusyFor, type Pace } from "../rooms/rooms_load.ts";

/** The store of the log: memory, or a file with this setting of `synchronous`. */
const STORES = ["memory", "normal", "full"] as const;
type Store = typeof STORES[number];

interface EmbeddedRound extends Pace {
  readonly store: Store;
  readonly rooms: number;
}

const ROOMS = [1, 1_000];
/** Appends that are under way at a time. */
const OUTSTANDING = 256;
const STORED_BYTES = 512;
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

async function measure({ rounds, seconds }: Effort): Promise<EmbeddedRound[]> {
  await using owned = new AsyncDisposableStack();
  const payload = crypto.getRandomValues(new Uint8Array(STORED_BYTES));
  const rows = [];
  for (const store of STORES) {
    const log = await openStore(store, owned);
    for (const rooms of ROOMS) rows.push({ store, log, rooms });
  }
  let sent = 0;
  const results: EmbeddedRound[] = [];
  for (let round = 0; round <= rounds; round++) {
    for (const { store, log, rooms } of rows) {
      const pace = await keepBusyFor(
        round === 0 ? WARM_UP_SECONDS : seconds,
        OUTSTANDING,
        async () => {
          const key = `bench/${sent++}`;
          await log.append(`room-${sent % rooms}`, payload, { key });
        },
      );
      if (round > 0) results.push({ store, rooms, ...pace });
    }
  }
  return results;
}

/** Measures appends with this effort. */
export function measureEmbedded(effort: Effort): Promise<EmbeddedRound[]> {
  console.error("durable: appends to the embedded log ...");
  return measuredBy(import.meta.url, effort);
}

/** The table of the rounds: one row for each store and number of rooms. */
export function renderEmbedded(rounds: readonly EmbeddedRound[]): string {
  const rows = Map.groupBy(rounds, ({ store, rooms }) => `${store} ${rooms}`);
  return renderTable([...rows.values()], [
    [
      `embedded log, ${OUTSTANDING} under way`,
      ([one]) => one!.store === "memory" ? "in memory" : `file, synchronous ${one!.store}`,
    ],
    ["rooms", ([one]) => one!.rooms],
    ["appends/s", (mine) => medianOf(mine, "commands_per_s")],
    ["p50 ms", (mine) => medianOf(mine, "p50_ms"), 2],
    ["p99 ms", (mine) => medianOf(mine, "p99_ms"), 2],
  ]);
}

if (import.meta.main) await answer(measure);
