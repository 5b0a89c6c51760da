/**
 * Delivers the events of one room to one hook, in order: reads the log after the stored position, retries the call for
 * each event until it succeeds or is given up, and stores the position by compare-and-set. So a Brain that has lost the
 * hook to another one stops at its next write. `hook_runner.ts` selects rooms and makes the calls.
 */
import { setTimeout } from "node:timers/promises";
import { changeDocument, isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { WebhookConstants } from "../../shared/config/keys/constants.ts";
import type { AfterHook } from "../../shared/config/automation/hooks.ts";
import { hookBytes, positionKey, readPosition } from "../../shared/records/hook_document.ts";
import type { DeadLetter, HookPosition } from "../../shared/records/hook_document.ts";
import { isTaken, pauseAfter } from "../../shared/hooks/schedule.ts";
import type { TenantDeletions } from "../../shared/records/tenant_deletions.ts";
import type { Env } from "../../shared/env.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { readPage } from "../../shared/spine/contract/read_page.ts";
import { slice } from "../../shared/turns/slices.ts";
import { lastOf, lifeAt } from "../../shared/spine/contract/lives.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { eventCallOf, type HookEventCall, lostCallOf, type LostReason } from "./hook_event.ts";

const READ_MESSAGES = 64;
const READ_BYTES = 1_048_576;
const FAILED_PAUSE_MS = 1_000;
/** The most reads for an announced event that is not readable yet. */
const LOOKS_MAX = 40;
const LOOK_PAUSE_MS = 50;
/** How long a read event is used without another check whether it was erased. */
const FRESH_MS = 500;

/** The outcome of one call. `status` 0: no answer. */
export interface CallOutcome {
  readonly status: number;
  /** The problem, for operators; "" on success. */
  readonly problem: string;
}

interface RoomFeedOptions extends Pick<Env, "log" | "now" | "monotonic_ms"> {
  readonly hook: AfterHook;
  readonly bounds: Pick<WebhookConstants, "backoff_ms" | "backoff_max_ms">;
  readonly room_id: string;
  /** Rejects as `Spine.log`. */
  readonly openLog: () => Promise<DurableLog>;
  readonly bucket: KeyValue;
  readonly deletions: Pick<TenantDeletions, "known" | "update">;
  /** The start position in a room without a position. */
  readonly since: () => HookPosition;
  /**
   * Makes one call, in its turn; undefined: `isStill` reported then that it is no longer needed. Rejects if the feed
   * has ended, or as `isStill`.
   */
  readonly call: (
    event: HookEventCall,
    signal: AbortSignal,
    isStill?: () => Promise<boolean>,
  ) => Promise<CallOutcome | undefined>;
  /** Stores a dead letter; false: its message was erased, also while it was stored, and it was removed again. */
  readonly keepDead: (letter: DeadLetter, isStill: () => Promise<boolean>) => Promise<boolean>;
  readonly onLost: () => void;
  /** Numbers in [0, 1). */
  readonly random: () => number;
}

/** The delivery of one room's events to one hook. */
export class RoomFeed {
  readonly #options: RoomFeedOptions;
  readonly #ending = new AbortController();
  #position: HookPosition | undefined;
  #revision = 0;
  /** The newest deletion of the tenant before the position was read. */
  #deletion = 0;
  /** Whether this Brain has written the known position. */
  #is_claimed = false;
  #is_due = false;
  /** The highest announced offset: a reader may lag behind it. */
  #announced = 0;
  #running: Promise<void> | undefined;
  /** The stored position has been changed by others. */
  #is_moved = false;
  #failed = 0;
  /** When the present page was read, in monotonic ms. */
  #read_ms = 0;

  constructor(options: RoomFeedOptions) {
    this.#options = options;
  }

  /** Whether no delivery is under way. */
  get is_idle(): boolean {
    return this.#running === undefined;
  }

  /** Whether an event is waiting for a retry. */
  get is_failing(): boolean {
    return this.#failed > 0;
  }

  /** Its position; undefined: not read yet. */
  get position(): HookPosition | undefined {
    return this.#position;
  }

  /** Announces possible new events in the room, up to this offset. */
  wake(offset = 0): void {
    this.#announced = Math.max(this.#announced, offset);
    this.#is_due = true;
    this.#running ??= this.#work().finally(() => {
      this.#running = undefined;
    });
  }

  /**
   * Moves back to this position; false if it is not before the present one. A running delivery stops at its next write.
   * Rejects as the bucket does.
   */
  async goBack(to: HookPosition): Promise<boolean> {
    const { bucket, deletions, hook: { tenant, id }, room_id, since } = this.#options;
    const is_back = await changeDocument(async (mayLose) => {
      const deletion = deletions.known(tenant);
      const key = positionKey(tenant, id, room_id);
      const entry = await bucket.get(key);
      const { offset } = (entry && readPosition(entry.value)) ?? since();
      if (offset <= to.offset) return false;
      const update = { key, value: hookBytes(to), expected_revision: entry?.revision ?? 0 };
      await mayLose(deletions.update(bucket, deletion, update));
      return true;
    });
    if (is_back) {
      this.#is_moved = true;
      this.wake();
    }
    return is_back;
  }

  /** Ends the running call; resolves when the feed has stopped. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }

  async #work(): Promise<void> {
    const { log, room_id } = this.#options;
    const { signal } = this.#ending;
    let looks = 0;
    while (this.#is_due && !signal.aborted) {
      this.#is_due = false;
      try {
        await this.#bringAll();
        if (this.#announced > (this.#position?.offset ?? 0) && looks++ < LOOKS_MAX) {
          this.#is_due = true;
          await this.#pause(LOOK_PAUSE_MS);
        } else this.#announced = 0;
      } catch (error) {
        if (signal.aborted) return;
        // Another Brain may have changed the position.
        this.#position = undefined;
        this.#is_claimed = false;
        this.#is_due = true;
        if (!isConflict(error)) log.warn("a hook waits for its room", { room_id, error });
        // The pause is aborted only when the feed ends.
        await this.#pause(FAILED_PAUSE_MS).catch(() => {});
      }
    }
  }

  /** Delivers all stored events. Rejects if the feed has ended, or on a failed read or write. */
  async #bringAll(): Promise<void> {
    const { hook: { tenant }, room_id, openLog } = this.#options;
    const durable = await openLog();
    if (this.#is_moved) this.#position = undefined;
    this.#is_moved = false;
    let position = this.#position ??= await this.#load();
    for (;;) {
      // Thousands of rooms may be due at once.
      await slice(tenant);
      const { after, lost } = startIn(durable, position);
      const options = { after, limit: READ_MESSAGES, max_bytes: READ_BYTES };
      this.#read_ms = this.#options.monotonic_ms();
      const page = await durable.read(room_id, options);
      const [first] = page.messages;
      if (first === undefined) return;
      // The write fences off a previous owner before the first call.
      if (!this.#is_claimed) await this.#store(position);
      this.#is_claimed = true;
      const removed = page.erased === undefined ? "history-trimmed" : "erased";
      const reason = lost ?? (page.complete ? undefined : removed);
      if (reason !== undefined) await this.#tellLost(position, reason);
      let is_whole = true;
      for (const message of page.messages) {
        const { offset } = message;
        const stream = lifeAt(durable.lives, offset).name;
        const event = eventAt(this.#options, stream, message);
        is_whole = await this.#bring(event, offset, () => this.#isThere(durable, offset));
        if (!is_whole) break;
        position = this.#position = { stream, offset };
      }
      await this.#store(position);
      if (is_whole && !page.more) return;
    }
  }

  /** Whether a message of the present page is still in the log: a call may wait for days. */
  async #isThere(durable: DurableLog, offset: number): Promise<boolean> {
    const { room_id, monotonic_ms } = this.#options;
    if (monotonic_ms() - this.#read_ms < FRESH_MS) return true;
    const one = { after: offset - 1, limit: 1, max_bytes: 1 };
    const { messages } = await readPage(durable, room_id, one, offset);
    return messages[0]?.offset === offset;
  }

  async #load(): Promise<HookPosition> {
    const { bucket, since, deletions, hook: { tenant } } = this.#options;
    this.#deletion = deletions.known(tenant);
    const entry = await bucket.get(this.#key);
    this.#revision = entry?.revision ?? 0;
    return (entry && readPosition(entry.value)) ?? since();
  }

  get #key() {
    const { hook: { tenant, id }, room_id } = this.#options;
    return positionKey(tenant, id, room_id);
  }

  async #store(position: HookPosition): Promise<void> {
    this.#ending.signal.throwIfAborted();
    const { bucket, deletions } = this.#options;
    const update = {
      key: this.#key,
      value: hookBytes(position),
      expected_revision: this.#revision,
    };
    this.#revision = await deletions.update(bucket, this.#deletion, update);
  }

  async #tellLost({ stream, offset }: HookPosition, reason: LostReason): Promise<void> {
    const { hook, room_id, now, onLost } = this.#options;
    const place = { tenant_id: hook.tenant, room_id, stream };
    await this.#bring(lostCallOf(place, offset, reason, now()), offset);
    onLost();
  }

  /** Retries the call until it succeeds or is given up; false: the event is no longer needed. Rejects as `call`. */
  async #bring(
    event: HookEventCall | undefined,
    offset: number,
    isStill?: () => Promise<boolean>,
  ): Promise<boolean> {
    if (event === undefined) return true;
    const { hook: { retries }, bounds, call, random, keepDead, now, room_id } = this.#options;
    this.#failed = 0;
    for (;;) {
      const outcome = await call(event, this.#ending.signal, isStill);
      if (outcome === undefined || isTaken(outcome.status)) {
        this.#failed = 0;
        return outcome !== undefined;
      }
      const { status, problem } = outcome;
      this.#failed++;
      const pause_ms = pauseAfter({ retries, ...bounds }, this.#failed, status, random);
      if (pause_ms === undefined) {
        const about = { room: room_id, offset, at_ms: now(), status, problem };
        const letter = { ...event, ...about, calls: this.#failed };
        const is_kept = await keepDead(letter, async () => {
          this.#read_ms = -Infinity;
          return await isStill?.() !== false;
        });
        this.#failed = 0;
        // Of an erased event, `hook.lost` precedes the next one.
        return is_kept;
      }
      if (this.#position !== undefined && this.#failed === 1) await this.#store(this.#position);
      await this.#pause(pause_ms);
    }
  }

  /** Waits. Rejects if the feed has ended. */
  #pause(pause_ms: number): Promise<void> {
    return setTimeout(pause_ms, undefined, { signal: this.#ending.signal });
  }
}

/** Where to continue after a position, and whether events were lost before that. */
function startIn(
  { lives }: DurableLog,
  { stream, offset }: HookPosition,
): { after: number; lost?: LostReason } {
  const last = lastOf(lives, stream);
  if (last === undefined) return { after: 0, lost: "epoch-changed" };
  return offset <= last ? { after: offset } : { after: last, lost: "epoch-changed" };
}

function eventAt(
  { hook, room_id }: RoomFeedOptions,
  stream: string,
  message: Parameters<typeof eventCallOf>[2],
): HookEventCall | undefined {
  return eventCallOf(hook, { tenant_id: hook.tenant, room_id, stream }, message);
}
