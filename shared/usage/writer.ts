/**
 * Writes the counts of a Shield or a Brain: every few seconds the running minute, overwriting its earlier state, and
 * each finished minute as a block. So a repetition changes nothing, and a killed process loses its last seconds, which
 * its incarnation record reports. A slow or unreachable store is retried. Only closing waits for it, and not for long;
 * the running state of a minute stays until the minute is stored.
 */
import type { Env } from "../env.ts";
import { ClockSteps } from "../clock_steps.ts";
import type { KvKey } from "../spine/contract/spine.ts";
import { BlockQueue, type WaitingBlock } from "../blocks/block_queue.ts";
import type { LivingPart, OwnLife } from "../lives/own_life.ts";
import { slice } from "../turns/slices.ts";
import { untilOf } from "./budget.ts";
import { LedgerFill } from "./fill.ts";
import { encodeMinute, type TenantRows } from "./minute.ts";
import { runningKey, type UsageStores } from "./usage_stores.ts";

const MINUTE_MS = 60_000;
/** Retry interval of the last writing, in ms. */
const AGAIN_MS = 100;
/** Concurrent writes. */
const UNDER_WAY = 8;
/** Rows that are encoded in one piece, unless one tenant has more. */
const ROWS_A_PIECE = 32;
/** Interval of the search for expired minutes, in ms. */
const SWEEP_MS = 6 * 3_600_000;

interface UsageWriterOptions extends Pick<Env, "log" | "node_id" | "now" | "monotonic_ms"> {
  /**
   * The rows of every tenant that has any, each as of when it is asked for; `is_end`: the minute has ended, and counts
   * restart.
   */
  readonly ledger: {
    take(is_end: boolean): Iterable<TenantRows>;
    /** The tenant's counts restart. */
    forget(tenant_id: string): void;
  };
  readonly place: UsageStores;
  readonly life: Pick<OwnLife, "began_ms" | "begin">;
  /** Interval of writing the running minute, in ms. */
  readonly flush_ms: number;
  /** The retention of blocks, and the most bytes of one tenant's. */
  readonly retention_seconds: number;
  readonly tenant_bytes: number;
  /** The most bytes of minutes that wait to be stored. */
  readonly queue_bytes: number;
}

/** A finished minute that is not stored yet. */
interface Waiting extends WaitingBlock {
  readonly ran: KvKey | undefined;
}

interface Running {
  readonly tenant_id: string;
  readonly payload: Uint8Array;
  readonly text: string;
  readonly key: KvKey;
}

/** The writer of one process. */
export class UsageWriter {
  /** Stored minutes, and those dropped because too many waited. */
  readonly totals = { stored: 0, lost: 0 };
  readonly fill: LedgerFill;
  readonly #options: UsageWriterOptions;
  readonly #life_ms: number;
  #living: LivingPart | undefined;
  /** Tenants with a running minute in the bucket, and the last text written. */
  readonly #running = new Map<string, string>();
  readonly #waiting: BlockQueue<Waiting>;
  #minute: number;
  /** The number of the current minute; each has its own, whatever the clock shows. */
  #seq = 0;
  /** Everything counted before that is written, Unix ms. */
  #until_ms: number;
  #pass: Promise<void> = Promise.resolve();
  #is_writing = false;
  #storing: Promise<void> | undefined;
  /** The last failure to store. */
  #refused: unknown;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** Monotonic ms. */
  #swept_ms = -Infinity;
  /** Nothing is removed by a clock that was set lately. */
  readonly #steps: ClockSteps;
  #failed = false;

  constructor(options: UsageWriterOptions) {
    this.#options = options;
    this.fill = new LedgerFill(options);
    this.#steps = new ClockSteps(options);
    this.#life_ms = options.life.began_ms;
    this.#until_ms = options.now();
    this.#minute = Math.floor(this.#until_ms / MINUTE_MS);
    const lost = (minute: Waiting, error?: unknown) => this.#lose(minute, error);
    this.#waiting = new BlockQueue({ bytes_max: options.queue_bytes, lost });
  }

  get waiting_bytes(): number {
    return this.#waiting.bytes;
  }

  /** Starts to write; from then on readers learn when this incarnation ends. */
  start(): void {
    this.#timer = setInterval(() => this.tick(), this.#options.flush_ms);
    Deno.unrefTimer(this.#timer);
    this.tick();
  }

  /** Writes what is due, unless the last write still runs. */
  tick(): void {
    if (this.#is_writing) return;
    this.#is_writing = true;
    this.#pass = this.#write(false).finally(() => this.#is_writing = false);
  }

  /** Drops what a deleted tenant has used here, and removes what is stored of it. Never rejects. */
  async forget(tenant_id: string): Promise<void> {
    const { ledger, place, node_id, log } = this.#options;
    ledger.forget(tenant_id);
    // A write under way has earlier counts.
    await this.#pass;
    try {
      await this.#waiting.forget(tenant_id, node_id, () => place.store());
      const bucket = await place.running();
      for (const key of await bucket.keys(runningKey(tenant_id, node_id))) await bucket.delete(key);
    } catch (error) {
      log.warn("use of a deleted tenant stays in the ledger", { tenant_id, error });
    }
    // The minute of a successor is written again.
    this.#running.delete(tenant_id);
  }

  /** Resolves when everything due was written, or failed. */
  async idle(): Promise<void> {
    await this.#pass;
    await this.#storing;
  }

  /**
   * Writes everything and ends this incarnation. What cannot be written within `timeout_ms`, and one more try, is
   * reported as lost, like that of a killed Shield.
   */
  async close(timeout_ms: number): Promise<void> {
    clearInterval(this.#timer);
    let is_late = false;
    const timer = setTimeout(() => is_late = true, timeout_ms);
    await this.idle();
    await this.#write(true);
    // A reconnecting connection takes the next try.
    while (!this.#waiting.is_empty && !is_late) {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      await this.#write(true);
    }
    clearTimeout(timer);
    this.#living?.end(this.#waiting.is_empty);
  }

  async #write(is_last: boolean): Promise<void> {
    const { ledger, life, now } = this.#options;
    this.#living ??= life.begin("usage", () => this.#until_ms);
    const now_ms = now();
    const minute = Math.floor(now_ms / MINUTE_MS);
    const is_over = is_last || minute !== this.#minute;
    const running: Running[] = [];
    let taken = 0;
    for (const { tenant_id, rows } of ledger.take(is_over)) {
      if ((taken += rows.length) > ROWS_A_PIECE) {
        taken = rows.length;
        await slice(tenant_id);
      }
      const life_ms = this.#life_ms;
      const seq = this.#seq;
      const key = runningKey(tenant_id, this.#options.node_id, `${life_ms}`, `${seq}`);
      const about = { life_ms, seq, minute: this.#minute, until_ms: now_ms, rows };
      if (is_over) {
        const ran = this.#running.delete(tenant_id) ? key : undefined;
        const id = crypto.randomUUID();
        this.#waiting.push({ id, tenant_id, payload: encodeMinute(about), ran });
        continue;
      }
      // A minute with the same counts need not be written again.
      const text = JSON.stringify(rows);
      if (this.#running.get(tenant_id) === text) continue;
      running.push({ tenant_id, payload: encodeMinute(about), text, key });
      this.#running.set(tenant_id, "");
    }
    this.#minute = minute;
    if (is_over) this.#seq++;
    try {
      this.#storing ??= this.#store().finally(() => this.#storing = undefined);
      if (is_last) await this.#storing;
      const refusal = await this.#writeRunning(running) ?? this.#refused;
      if (refusal !== undefined) throw refusal;
      if (this.#waiting.is_empty) this.#until_ms = now_ms;
      this.#living.mark();
      await this.fill.look(await this.#options.place.store());
      await this.#sweepIfDue();
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) {
        this.#options.log.warn("use could not be written; it is tried again", { error });
      }
      this.#failed = true;
    }
  }

  #lose({ tenant_id, ran }: Waiting, error?: unknown): void {
    this.totals.lost++;
    const { place } = this.#options;
    // Its running state would stay for ever. If removing it fails, a sweep does it.
    if (ran !== undefined) place.running().then((there) => there.delete(ran)).catch(() => {});
    const why = error === undefined ? "too many wait for their store" : "its store refuses it";
    this.#options.log.warn(`a minute of use is lost: ${why}`, { tenant_id, error });
  }

  /** Stores finished minutes. Never rejects; failed ones stay queued. */
  async #store(): Promise<void> {
    if (this.#waiting.is_empty) return;
    const { place, node_id, retention_seconds, tenant_bytes } = this.#options;
    try {
      const store = await place.store();
      const bucket = await place.running();
      this.#refused = await this.#waiting.store(async ({ id, tenant_id, payload, ran }) => {
        const bounds = { ttl_seconds: retention_seconds, max_bytes: tenant_bytes };
        await store.append({ ...bounds, id, tenant_id, node_id, payload });
        if (ran !== undefined) await bucket.delete(ran);
        this.totals.stored++;
        this.fill.stored(tenant_id);
      });
    } catch (error) {
      this.#refused = error;
    }
  }

  /** Resolves with the first failure; the rest is written the next time. */
  async #writeRunning(all: readonly Running[]): Promise<unknown> {
    if (all.length === 0) return undefined;
    const bucket = await this.#options.place.running();
    let first: unknown;
    for (let at = 0, written = 1; at < all.length && written > 0; at += UNDER_WAY) {
      written = 0;
      await slice(all[at]!.tenant_id);
      await Promise.all(
        all.slice(at, at + UNDER_WAY).map(async ({ tenant_id, payload, text, key }) => {
          try {
            await bucket.put(key, payload);
            this.#running.set(tenant_id, text);
            written++;
          } catch (error) {
            first ??= error;
          }
        }),
      );
    }
    return first;
  }

  async #sweepIfDue(): Promise<void> {
    const now_ms = this.#options.monotonic_ms();
    if (!this.#steps.isBelieved() || now_ms - this.#swept_ms < SWEEP_MS) return;
    this.#swept_ms = now_ms;
    await this.#sweep();
  }

  /** Removes minutes left by killed Shields once they are older than the ledger's retention. */
  async #sweep(): Promise<void> {
    const { place, now } = this.#options;
    const bucket = await place.running();
    const oldest_ms = now() - place.kept_ms;
    for (const key of await bucket.keys()) {
      if (lifeOf(key) < oldest_ms) await this.#removeOld(key, oldest_ms);
    }
  }

  async #removeOld(key: KvKey, oldest_ms: number): Promise<void> {
    const { place } = this.#options;
    const bucket = await place.running();
    const entry = await bucket.get(key);
    if (entry === undefined) return;
    // The store's clock, if it has one, contradicts a wrong one of this process.
    const is_old = untilOf(entry.value) < oldest_ms && (entry.age_ms ?? Infinity) >= place.kept_ms;
    if (is_old) await bucket.delete(key, entry.revision);
  }
}

/** The start of the incarnation in a key, Unix ms. */
const lifeOf = (key: KvKey): number => Number(key[3]);
