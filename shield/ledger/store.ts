/**
 * Starts what keeps ledgers beyond their Shields: the writer of this one, and what reads those of others. Nothing
 * is opened, made or written unless `[ledger] store` asks for it.
 */
import type { Env } from "../../shared/env.ts";
import { scrapedGauge } from "../../shared/metrics/metrics.ts";
import { scrapedCounter } from "../../shared/metrics/metrics_plain.ts";
import type { BlockStore } from "../../shared/spine/contract/block_store.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { OwnLife } from "../../shared/lives/own_life.ts";
import type { FormerReading } from "./former_ledgers.ts";
import type { Ledger } from "./ledger.ts";
import type { LedgerStart } from "./start.ts";
import { registerReads, StoreReads } from "./store_reads.ts";
import { StoreWriter } from "./store_writer.ts";

/** What storing needs of the process. */
export interface StoreStart extends LedgerStart, Pick<Env, "log" | "node_id"> {
  readonly spine: Pick<Spine, "blocks">;
  readonly life: OwnLife;
}

/** The store of ledgers. */
export interface LedgerStore {
  readonly writer: StoreWriter;
  readonly former: FormerReading;
  /** What this Shield's own answers are named by. */
  readonly life_ms: number;
}

/** Starts it; undefined where nothing is stored. */
export function startStore(start: StoreStart, ledger: Ledger): LedgerStore | undefined {
  const { config, registry, spine, life, now } = start;
  const { store: is_stored, log_bytes, seconds } = config.ledger;
  if (!is_stored) return undefined;
  let opened: Promise<BlockStore> | undefined;
  const store = () => {
    if (opened !== undefined) return opened;
    const opening = spine.blocks("ledger", { max_bytes: log_bytes, max_age_seconds: seconds });
    opened = opening;
    opening.catch(() => opened = undefined);
    return opening;
  };
  const log = start.log.child({ part: "ledger" });
  const bounds = { ...config.ledger, tenant_bytes: config.ledger.log_bytes / 4 };
  const writer = new StoreWriter({ ...start, ...bounds, ledger, store, log });
  scrapedGauge(
    registry,
    "shield_ledger_waiting_bytes",
    "Bytes of the ledger that wait for its store.",
    () => writer.waiting_bytes,
  );
  scrapedCounter(
    registry,
    "shield_ledger_stored_bytes_total",
    "Bytes of the ledger that were stored.",
    () => writer.totals.stored_bytes,
  );
  scrapedCounter(
    registry,
    "shield_ledger_lost_blocks_total",
    "Blocks of the ledger that were not stored: too many waited, or the store refused them.",
    () => writer.totals.lost_blocks,
  );
  const lives = () => life.lives.all();
  const reads = new StoreReads(config.ledger);
  registerReads(registry, reads);
  const former = { store, lives, reads, kept_ms: 1_000 * seconds, now };
  return { writer, former, life_ms: life.began_ms };
}
