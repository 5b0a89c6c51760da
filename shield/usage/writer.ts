/**
 * Writes what a Shield counts: every few seconds the minute so far, over what was there of it, and each minute
 * once it is over as a block. So a repetition changes nothing, and who is killed loses its last seconds: its life
 * tells readers of it. A store that is away is tried again; nothing waits for it but the end, and that not for long.
 */
import type { Logger } from "../../shared/logs/log.ts";
import type { KvKey } from "../../shared/spine/contract/spine.ts";
import type { LivingPart, OwnLife } from "../lives/own_life.ts";
import type { UsageLedger } from "./ledger.ts";
import { encodeMinute } from "./minute.ts";
import { runningKey, type UsagePlace } from "./place.ts";

const MINUTE_MS = 60_000;
/** Between two tries of the last writing, in ms. */
const AGAIN_MS = 100;
/** Writings under way at a time. */
const UNDER_WAY = 8;
/** How often minutes that are too old are looked for, in ms. */
const SWEEP_MS = 6 * 3_600_000;

/** What the writer needs of the process. */
export interface UsageWriterOptions {
  readonly ledger: UsageLedger;
  readonly place: UsagePlace;
  readonly node_id: string;
  readonly life: Pick<OwnLife, "began_ms" | "begin">;
  /** How often the running minute is written, in ms. */
  readonly flush_ms: number;
  /** How long a block stays, and how many bytes those of a tenant may take. */
  readonly retention_seconds: number;
  readonly tenant_bytes: number;
  /** The most bytes of minutes that wait until they are stored. */
  readonly queue_bytes: number;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
}

/** A minute that is over and not stored yet. */
interface Waiting {
  readonly tenant_id: string;
  readonly payload: Uint8Array;
  /** It stands in the bucket, too. */
  readonly is_running: boolean;
}

/** The writer of one Shield. */
export class UsageWriter {
  /** Minutes that were stored, and that were given up because too many waited. */
  readonly totals = { stored: 0, lost: 0 };
  readonly #options: UsageWriterOptions;
  readonly #life_ms: number;
  #living: LivingPart | undefined;
  /** Tenants whose running minute stands in the bucket, with what was written last. */
  readonly #running = new Map<string, string>();
  #waiting: Waiting[] = [];
  #waiting_bytes = 0;
  #minute: number;
  /** Until when everything that was counted is written, Unix ms. */
  #until_ms: number;
  #pass: Promise<void> = Promise.resolve();
  #is_writing = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  #swept_ms = -Infinity;
  #failed = false;

  constructor(options: UsageWriterOptions) {
    this.#options = options;
    this.#life_ms = options.life.began_ms;
    this.#until_ms = options.now();
    this.#minute = Math.floor(this.#until_ms / MINUTE_MS);
  }

  /** Bytes of minutes that wait. */
  get waiting_bytes(): number {
    return this.#waiting_bytes;
  }

  /** Begins to write; from then on the end of this life is told. */
  start(): void {
    this.#timer = setInterval(() => this.tick(), this.#options.flush_ms);
    Deno.unrefTimer(this.#timer);
    this.tick();
  }

  /** Writes what there is now, unless the last time is not over yet. */
  tick(): void {
    if (this.#is_writing) return;
    this.#is_writing = true;
    this.#pass = this.#write(false).finally(() => this.#is_writing = false);
  }

  /** Resolves when what was to be written by now is, or has failed. */
  async idle(): Promise<void> {
    await this.#pass;
  }

  /**
   * Writes everything and ends this life. What cannot be written by `timeout_ms` from now, and one more try, is told
   * as what a killed Shield loses.
   */
  async close(timeout_ms: number): Promise<void> {
    clearInterval(this.#timer);
    let is_late = false;
    const timer = setTimeout(() => is_late = true, timeout_ms);
    await this.#pass;
    await this.#write(true);
    // A connection that is being made again takes the next one.
    while (this.#waiting.length > 0 && !is_late) {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      await this.#write(true);
    }
    clearTimeout(timer);
    this.#living?.end(this.#waiting.length === 0);
  }

  async #write(is_last: boolean): Promise<void> {
    const { ledger, life, now } = this.#options;
    this.#living ??= life.begin("usage", () => this.#until_ms);
    const now_ms = now();
    const minute = Math.floor(now_ms / MINUTE_MS);
    const is_over = is_last || minute !== this.#minute;
    const running: { tenant_id: string; payload: Uint8Array }[] = [];
    for (const { tenant_id, rows } of ledger.take(is_over)) {
      const about = { life_ms: this.#life_ms, minute: this.#minute, until_ms: now_ms, rows };
      if (is_over) {
        const is_running = this.#running.delete(tenant_id);
        this.#wait({ tenant_id, payload: encodeMinute(about), is_running });
        continue;
      }
      // What did not change but for its time need not be written again.
      const text = JSON.stringify(rows);
      if (this.#running.get(tenant_id) === text) continue;
      running.push({ tenant_id, payload: encodeMinute(about) });
      this.#running.set(tenant_id, text);
    }
    this.#minute = minute;
    try {
      await this.#store();
      await this.#writeRunning(running);
      this.#until_ms = now_ms;
      this.#living.mark();
      await this.#sweepIfDue();
      this.#failed = false;
    } catch (error) {
      for (const { tenant_id } of running) this.#running.set(tenant_id, "");
      if (!this.#failed) {
        this.#options.log.warn("use could not be written; it is tried again", { error });
      }
      this.#failed = true;
    }
  }

  #wait(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#waiting_bytes += waiting.payload.length;
    while (this.#waiting_bytes > this.#options.queue_bytes) {
      const oldest = this.#waiting.shift();
      if (oldest === undefined) break;
      this.#waiting_bytes -= oldest.payload.length;
      this.totals.lost++;
      this.#options.log.warn("a minute of use is lost: too many wait for their store", {
        tenant_id: oldest.tenant_id,
      });
    }
  }

  /** Stores minutes that are over. Rejects with the first refusal; what is not stored waits on. */
  async #store(): Promise<void> {
    if (this.#waiting.length === 0) return;
    const { place, node_id, retention_seconds, tenant_bytes } = this.#options;
    const [store, bucket] = [await place.store(), await place.running()];
    while (this.#waiting.length > 0) {
      const some = this.#waiting.slice(0, UNDER_WAY);
      await Promise.all(some.map(async ({ tenant_id, payload, is_running }) => {
        const bounds = { ttl_seconds: retention_seconds, max_bytes: tenant_bytes };
        await store.append({ ...bounds, tenant_id, node_id, payload });
        if (is_running) await bucket.delete(runningKey(tenant_id, ...this.#names));
      }));
      // What was lost meanwhile was counted as lost, and is stored all the same.
      this.#waiting = this.#waiting.filter((one) => !some.includes(one));
      this.#waiting_bytes = this.#waiting.reduce((sum, one) => sum + one.payload.length, 0);
      this.totals.stored += some.length;
    }
  }

  async #writeRunning(
    all: readonly { readonly tenant_id: string; readonly payload: Uint8Array }[],
  ): Promise<void> {
    if (all.length === 0) return;
    const bucket = await this.#options.place.running();
    for (let at = 0; at < all.length; at += UNDER_WAY) {
      await Promise.all(
        all.slice(at, at + UNDER_WAY).map(({ tenant_id, payload }) =>
          bucket.put(runningKey(tenant_id, ...this.#names), payload)
        ),
      );
    }
  }

  async #sweepIfDue(): Promise<void> {
    const { now } = this.#options;
    if (now() - this.#swept_ms < SWEEP_MS) return;
    this.#swept_ms = now();
    await this.#sweep();
  }

  /** Removes what killed Shields have left behind once it is as old as anything in the ledger may be. */
  async #sweep(): Promise<void> {
    const { place, now } = this.#options;
    const bucket = await place.running();
    const oldest_ms = now() - place.kept_ms;
    for (const key of await bucket.keys()) {
      if (lifeOf(key) < oldest_ms) await this.#removeOld(key, oldest_ms);
    }
  }

  async #removeOld(key: KvKey, oldest_ms: number): Promise<void> {
    const bucket = await this.#options.place.running();
    const entry = await bucket.get(key);
    if (entry === undefined) return;
    const value = JSON.parse(new TextDecoder().decode(entry.value));
    const until_ms = Number(value.until ?? value.until_ms);
    if (until_ms < oldest_ms) await bucket.delete(key, entry.revision);
  }

  /** What names this life in keys. */
  get #names(): readonly [node_id: string, life: string] {
    return [this.#options.node_id, String(this.#life_ms)];
  }
}

/** When the life began that a key is of, Unix ms. */
const lifeOf = (key: KvKey): number => Number(key.at(-1));
