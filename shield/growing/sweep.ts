/**
 * Ends messages that nobody adds to any more, and brings to its end what a Shield that was killed has left in the
 * middle. Every Shield looks after all of them: what two of them do is done once.
 */
import type { Logger } from "../../shared/logs/log.ts";
import type { GrowingContext } from "./places.ts";
import { judgedWithEnding } from "./judging.ts";
import type { GrowingRecord } from "./record.ts";
import type { GrowingKey } from "./records.ts";
import { callerOf, settle } from "./settling.ts";
import type { Ended } from "./settling.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

/** Who ends a message brings it to its end within so long, in ms, or somebody else does. */
const SETTLE_MS = 5_000;
const SWEEP_MS_MAX = 10_000;
/** What cannot be brought to its end is tried again the less often the longer that goes on; at least so often. */
const RETRY_MS_MAX = 600_000;
/** What is said of a message that nobody adds to any more. */
const ABANDONED = "abandoned";

/** Looks after all messages now and then, until it is closed. */
export class GrowingSweep {
  readonly #context: GrowingContext;
  readonly #log: Logger;
  readonly #timer: ReturnType<typeof setInterval>;
  /** When each message is to be looked at, monotonic ms, by its key. As many as there are. */
  #due = new Map<string, number>();
  #running: Promise<void> | undefined;

  /** `isNeeded` says whether there may be messages at all. */
  constructor(context: GrowingContext, log: Logger, isNeeded: () => boolean) {
    this.#context = context;
    this.#log = log;
    const every_ms = Math.min(SWEEP_MS_MAX, context.bounds().idle_ms / 4);
    this.#timer = setInterval(() => {
      if (!isNeeded()) return;
      this.#running ??= this.pass().catch((error) => {
        this.#log.warn("growing messages could not be looked at", { error });
      }).finally(() => this.#running = undefined);
    }, every_ms);
  }

  /** Looks at all that are due. Rejects with `spine-unavailable`. */
  async pass(): Promise<void> {
    const { records, stats } = this.#context;
    const keys = await records.list();
    stats.seen(keys.length);
    const due = new Map<string, number>();
    for (const key of keys) {
      const name = `${key.tenant_id} ${key.room_id} ${key.id}`;
      const before = this.#due.get(name) ?? 0;
      const is_due = before <= performance.now();
      const rest_ms = is_due ? await this.#look(key) : 0;
      due.set(name, is_due ? performance.now() + rest_ms : before);
    }
    this.#due = due;
  }

  /** Looks after nothing more; resolves when what is under way has ended. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  /** Ends the message if its time has come; resolves with how long nobody has to look again, in ms. */
  async #look(key: GrowingKey): Promise<number> {
    const { records, logTime } = this.#context;
    step(AT.growing);
    const found = await records.get(key);
    if (found === undefined) return 0;
    const now_ms = await logTime(key.tenant_id);
    const left_ms = this.#untilOf(found.record) - now_ms;
    if (left_ms > 0) return left_ms;
    try {
      const ended = await records.change(key, (before) => this.#abandoned(key, before));
      if (ended?.record.ending !== null && ended !== undefined) {
        await settle(this.#context, key, ended as Ended);
      }
    } catch (error) {
      this.#log.warn("a growing message could not be ended", { ...key, error });
      const { ending } = found.record;
      return ending === null ? 0 : Math.min(RETRY_MS_MAX, (now_ms - ending.at_ms) / 2);
    }
    return 0;
  }

  #untilOf({ ending, active_ms }: GrowingRecord): number {
    const { bounds } = this.#context;
    return ending === null ? active_ms + bounds().idle_ms : ending.at_ms + SETTLE_MS;
  }

  /** The record with its end; undefined: there is none, it ends already, or it has been added to meanwhile. */
  async #abandoned(
    key: GrowingKey,
    found: { readonly record: GrowingRecord } | undefined,
  ): Promise<GrowingRecord | undefined> {
    const { overseer, logTime } = this.#context;
    const at_ms = await logTime(key.tenant_id);
    if (found === undefined || found.record.ending !== null) return undefined;
    if (this.#untilOf(found.record) > at_ms) return undefined;
    const why = { outcome: "aborted", reason: ABANDONED, by: "", is_kept: true } as const;
    const { record } = found;
    const ending = { ...why, at_ms };
    const judging = { overseer, now_ms: at_ms };
    return (await judgedWithEnding(judging, callerOf(key, record), key, record, ending)).record;
  }
}
