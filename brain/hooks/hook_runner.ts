/**
 * Runs one hook that this Brain owns: is notified of new messages in its rooms, surveys the log periodically for missed
 * ones, and makes a bounded number of concurrent calls. `feeds.ts` sends the notifications, `room_feed.ts` keeps the
 * order within a room, `capability.ts` decides which hooks this Brain owns.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { WebhookConstants } from "../../shared/config/keys/constants.ts";
import type { AfterHook } from "../../shared/config/automation/hooks.ts";
import { CallFailed, callHook, type CallTerms } from "../../shared/hooks/call.ts";
import {
  deadKey,
  hookBytes,
  positionKey,
  readDeadLetter,
  readHookWait,
  readPosition,
  waitKey,
} from "../../shared/records/hook_document.ts";
import type { DeadLetter, HookPosition } from "../../shared/records/hook_document.ts";
import { GONE, isTaken, pauseAfter, RETRY_AFTER_MAX_MS } from "../../shared/hooks/schedule.ts";
import { Seats } from "../../shared/hooks/seats.ts";
import { signedHeaders } from "../../shared/hooks/signature.ts";
import type { TenantDeletions } from "../../shared/records/tenant_deletions.ts";
import type { Env } from "../../shared/env.ts";
import { EVENTS_ROOM } from "../../shared/rooms/reserved.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { pagesBack } from "../../shared/spine/contract/read_page.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { type HookFeeds, isWanted } from "./feeds.ts";
import type { HookEventCall } from "./hook_event.ts";
import { type CallOutcome, RoomFeed } from "./room_feed.ts";
import { slice } from "../../shared/turns/slices.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";
import { lifeAt } from "../../shared/spine/contract/lives.ts";
import { Gauge, metricsOn, type Registry, scrapedGauge } from "../../shared/metrics/metrics.ts";

const ROOMS_PAGE = 256;
const ROOMS_A_PIECE = 64;
const NO_ROOMS: ReadonlySet<string> = new Set();
/** A wait is stored again only if it is longer by at least this. */
const RETRY_STORED_MS = 1_000;
/** After failed surveys, pauses grow up to this many times `survey_ms`. */
const SURVEY_PAUSES_MAX = 8;

/** The dependencies of a hook. */
export interface HookRunnerOptions extends Pick<Env, "log" | "now" | "monotonic_ms"> {
  readonly hook: AfterHook;
  /** Its name in metrics. */
  readonly label: string;
  readonly bounds: WebhookConstants;
  /** The terms of its calls. Throws CallFailed if they are unknown. */
  readonly terms: () => CallTerms;
  readonly feeds: HookFeeds;
  readonly bucket: KeyValue;
  readonly deletions: Pick<TenantDeletions, "known" | "put" | "update">;
  /** Rejects as `Spine.log`. */
  readonly openLog: () => Promise<DurableLog>;
  /** The hook's start position; stored for a new hook. Rejects as the bucket and `openLog` do. */
  readonly since: () => Promise<HookPosition>;
  /** Stores a later start position; rejects as the bucket does. */
  readonly raise: (since: HookPosition) => Promise<void>;
  /** With positions in more rooms, the old ones are merged into the start position. */
  readonly rooms_kept: number;
  /** Throws if the secret cannot be read. */
  readonly secret: () => string;
  /** Its failed time at previous owners, ms. */
  readonly failed_ms: number;
  /** Stores the present failed time. Must not throw. */
  readonly onFailedTime: (failed_ms: number) => void;
  /** Called with the reason when the hook has to be disabled. Must not throw. */
  readonly onOff: (why: string) => void;
  readonly metrics: HookMetrics;
  /** Numbers in [0, 1). */
  readonly random: () => number;
}

/** A hook that this Brain calls, until it is closed. */
export class HookRunner {
  readonly #options: HookRunnerOptions;
  readonly #feeds = new Map<string, RoomFeed>();
  readonly #seats: Seats;
  readonly #stop: () => void;
  readonly #failed_time: FailedTime;
  readonly #ending = new AbortController();
  /** Monotonic ms: the receiver requested no calls before this time. */
  #not_before_ms = -Infinity;
  #since: HookPosition | undefined;
  /** The end of the log at the previous survey. */
  #edge: HookPosition | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #surveying: Promise<void> | undefined;
  #failed_surveys = 0;
  #is_closed = false;
  /** Running orders to repeat calls. */
  #going_back = 0;
  /** Some positions were merged before the bucket failed or a room became active. */
  #is_half_together = false;
  /** Rooms with a stored position when this Brain took the hook: it may be before the start position. */
  #stored: ReadonlySet<string> | undefined;

  constructor(options: HookRunnerOptions) {
    this.#options = options;
    const { hook, feeds, bounds } = options;
    this.#seats = new Seats(bounds.in_flight);
    this.#failed_time = new FailedTime(options.failed_ms);
    this.#stop = feeds.listen(hook, (room_id, offset) => this.#receive(room_id, offset));
    this.#surveyIn(0);
  }

  /** Number of rooms with a failed call that will be retried. */
  get failing(): number {
    return [...this.#feeds.values()].filter(({ is_failing }) => is_failing).length;
  }

  /** Makes no further calls; resolves when the running ones have ended. */
  async close(): Promise<void> {
    this.#is_closed = true;
    this.#stop();
    this.#ending.abort();
    clearTimeout(this.#timer);
    await Promise.all([...this.#feeds.values()].map((feed) => feed.close()));
    await this.#surveying;
  }

  /** Makes one call for each dead letter, and removes it on success. Rejects as the bucket does. */
  async replay(): Promise<void> {
    const { hook: { tenant, id }, bucket, log } = this.#options;
    const { signal } = this.#ending;
    let taken = 0, left = 0;
    for (const key of await bucket.keys(deadKey(tenant, id))) {
      if (this.#is_closed) throw new Error("the hook is another Brain's by now");
      const entry = await bucket.get(key);
      const letter = entry && readDeadLetter(entry.value);
      if (entry === undefined || letter === undefined) continue;
      // It may wait for hours, and be erased meanwhile.
      const isStill = async () => await bucket.get(key) !== undefined;
      const { status = 0 } = await this.#call(letter as HookEventCall, signal, isStill) ?? {};
      if (isTaken(status)) {
        await bucket.delete(key);
        taken++;
      } else left++;
    }
    log.info("dead letters of a hook were called for again", { hook: id, taken, left });
  }

  /** Repeats the calls for all messages stored since that time and still in the log. Rejects as bucket and log do. */
  async again(from_ms: number): Promise<void> {
    const { hook: { id, tenant }, openLog, log } = this.#options;
    // Positions are not merged meanwhile.
    this.#going_back++;
    let rooms = 0;
    try {
      await this.#surveying;
      this.#since ??= await this.#options.since();
      const durable = await openLog();
      for await (const rooms_wanted of this.#wanted(durable)) {
        for (const room_id of rooms_wanted) {
          await slice(tenant);
          const position = await positionBefore(durable, tenant, room_id, from_ms);
          if (this.#is_closed) throw new Error("the hook is another Brain's by now");
          if (position === undefined) continue;
          if (await this.#feedOf(room_id).goBack(position)) rooms++;
        }
      }
    } finally {
      this.#going_back--;
    }
    log.info("a hook is called again", { hook: id, from: new Date(from_ms).toISOString(), rooms });
  }

  #receive(room_id: string, offset: number): void {
    // Until the start position is known, the next survey finds the message.
    if (this.#since !== undefined) this.#feedOf(room_id).wake(offset);
  }

  #feedOf(room_id: string): RoomFeed {
    let feed = this.#feeds.get(room_id);
    if (feed !== undefined) return feed;
    const { hook, bounds, label, openLog, bucket, deletions, log, metrics } = this.#options;
    const { now, monotonic_ms, random } = this.#options;
    feed = new RoomFeed({
      hook,
      bounds,
      room_id,
      openLog,
      bucket,
      deletions,
      log,
      now,
      monotonic_ms,
      random,
      since: () => this.#since as HookPosition,
      call: (event, signal, isStill) => this.#call(event, signal, isStill),
      keepDead: (letter, isStill) => this.#keepDead(letter, isStill),
      onLost: () => metrics.lost.inc({ hook: label }),
    });
    this.#feeds.set(room_id, feed);
    return feed;
  }

  /** Makes a call; undefined: it was no longer needed. */
  async #call(
    event: HookEventCall,
    signal: AbortSignal,
    isStill?: () => Promise<boolean>,
  ): Promise<CallOutcome | undefined> {
    const { hook, label, terms, secret, now, monotonic_ms, metrics, deletions } = this.#options;
    const deletion = deletions.known(hook.tenant);
    using _seat = await this.#seats.take(signal);
    for (let wait_ms; (wait_ms = this.#not_before_ms - monotonic_ms()) > 0;) {
      await pause(wait_ms, undefined, { signal });
    }
    if (await isStill?.() === false) return undefined;
    step(AT.hook);
    const { url, timeout_ms } = hook;
    try {
      const signed = signedHeaders(secret(), { ...event, now_ms: now() });
      const headers = { ...signed, "content-type": "application/json" };
      const { body } = event;
      const call = { url, headers, body, timeout_ms, ...terms(), answer_bytes: 0, signal };
      const { status, retry_after_ms = 0 } = await callHook(call);
      this.#ended(status, retry_after_ms, deletion);
      metrics.calls.inc({ hook: label, outcome: isTaken(status) ? "taken" : "refused" });
      return { status, problem: isTaken(status) ? "" : `answered ${status}` };
    } catch (error) {
      signal.throwIfAborted();
      this.#ended(0, 0, deletion);
      metrics.calls.inc({ hook: label, outcome: "failed" });
      const problem = error instanceof CallFailed ? error.message : "the secret cannot be read";
      return { status: 0, problem };
    }
  }

  /** Records the outcome of a call: it may delay the next one, or disable the hook. */
  #ended(status: number, retry_after_ms: number, deletion: number): void {
    const { monotonic_ms, onFailedTime, onOff } = this.#options;
    const now_ms = monotonic_ms();
    const is_taken = isTaken(status);
    if (!is_taken && retry_after_ms > 0) this.#waitFor(retry_after_ms, deletion);
    const failed_ms = this.#failed_time.add(is_taken, now_ms);
    if (failed_ms !== undefined) onFailedTime(failed_ms);
    if (status === GONE) onOff(`it answered ${GONE}: it is gone`);
    else if (this.#failed_time.is_over) onOff("no call was taken for 5 days");
  }

  /** Pauses calls for this time; stores it for the next Brain, unless a similar wait is stored. */
  #waitFor(retry_after_ms: number, deletion: number): void {
    const { hook: { tenant, id }, bucket, deletions, log, now, monotonic_ms } = this.#options;
    const wait_ms = Math.min(retry_after_ms, RETRY_AFTER_MAX_MS);
    const until_ms = monotonic_ms() + wait_ms;
    const is_known = until_ms < this.#not_before_ms + RETRY_STORED_MS;
    this.#not_before_ms = Math.max(this.#not_before_ms, until_ms);
    if (is_known) return;
    const value = hookBytes({ wait_ms, at_ms: now() });
    deletions.put(bucket, deletion, waitKey(tenant, id), value).catch((error) =>
      log.warn("Retry-After of a hook cannot be stored", { tenant_id: tenant, hook: id, error })
    );
  }

  /** Applies the wait that the receiver requested from another Brain, by the store's clock if it has one. */
  async #takeWait(): Promise<void> {
    const { hook: { tenant, id }, bucket, now, monotonic_ms } = this.#options;
    const entry = await bucket.get(waitKey(tenant, id));
    const wait = entry && readHookWait(entry.value);
    if (entry === undefined || wait === undefined) return;
    const left_ms = wait.wait_ms - Math.max(0, entry.age_ms ?? now() - wait.at_ms);
    const until_ms = monotonic_ms() + Math.min(left_ms, RETRY_AFTER_MAX_MS);
    this.#not_before_ms = Math.max(this.#not_before_ms, until_ms);
  }

  async #keepDead(letter: DeadLetter, isStill: () => Promise<boolean>): Promise<boolean> {
    const { hook: { tenant, id }, bounds: { dead_letters }, label, bucket, metrics, log } =
      this.#options;
    const own = deadKey(tenant, id, letter.id);
    await bucket.put(own, hookBytes(letter));
    let is_kept = false;
    try {
      // After it is stored: an erasure under way looks for letters only once.
      is_kept = await isStill();
    } finally {
      if (!is_kept) await bucket.delete(own);
    }
    if (!is_kept) return false;
    metrics.dead.inc({ hook: label });
    const { room, offset, problem } = letter;
    log.warn("a hook is not called any more for an event", { hook: id, room, offset, problem });
    const keys = await bucket.keys(deadKey(tenant, id));
    if (keys.length <= dead_letters) return true;
    const offsetOf = (key: readonly string[]) => Number(key.at(-1)?.split("_").at(-1));
    keys.sort((a, b) => offsetOf(a) - offsetOf(b));
    for (const key of keys.slice(0, keys.length - dead_letters)) await bucket.delete(key);
    return true;
  }

  #surveyIn(wait_ms: number): void {
    if (this.#is_closed) return;
    this.#timer = setTimeout(() => {
      this.#surveying = this.#survey().then(
        () => this.#onSurveyed(),
        (error) => this.#onSurveyFailed(error),
      );
    }, wait_ms);
  }

  #onSurveyed(): void {
    const { hook: { tenant, id }, bounds: { survey_ms }, log } = this.#options;
    if (this.#failed_surveys > 0) {
      log.info("the rooms of a hook are read again", { tenant_id: tenant, hook: id });
    }
    this.#failed_surveys = 0;
    this.#surveyIn(survey_ms);
  }

  /** Warns of the first failure only: a metric counts them. */
  #onSurveyFailed(error: unknown): void {
    if (this.#is_closed) return;
    const { hook: { tenant, id }, label, bounds: { survey_ms }, metrics, log, random } =
      this.#options;
    metrics.surveys_failed.inc({ hook: label });
    const failed = ++this.#failed_surveys;
    const is_first = failed === 1;
    log[is_first ? "warn" : "debug"]("the rooms of a hook cannot be read; it is tried again", {
      tenant_id: tenant,
      hook: id,
      error,
    });
    const backoff_max_ms = survey_ms * SURVEY_PAUSES_MAX;
    const schedule = { retries: Infinity, backoff_ms: survey_ms, backoff_max_ms };
    this.#surveyIn(pauseAfter(schedule, failed, 0, random) ?? backoff_max_ms);
  }

  /**
   * Moves the start position to the end of the log at the previous survey, because the hook has everything up to there,
   * and removes the positions before it: otherwise there would be one for every room ever used.
   */
  async #together(edge: HookPosition): Promise<void> {
    const { hook: { tenant, id }, bucket, raise, rooms_kept } = this.#options;
    const feeds = [...this.#feeds.values()];
    const is_due = this.#is_half_together || feeds.length > rooms_kept;
    if (!is_due || this.#going_back > 0 || feeds.some(({ is_idle }) => !is_idle)) return;
    await raise(edge);
    this.#since = edge;
    this.#is_half_together = true;
    for (const key of await bucket.keys(positionKey(tenant, id))) {
      await slice(tenant);
      const entry = await bucket.get(key);
      const position = entry && readPosition(entry.value);
      if (entry === undefined || position === undefined || position.offset > edge.offset) continue;
      if (this.#is_closed) return;
      await bucket.delete(key, entry.revision);
      const room_id = key.at(-1) ?? "";
      // An active room detects that its position was removed, and begins again.
      if (this.#feeds.get(room_id)?.is_idle) this.#feeds.delete(room_id);
    }
    for (const [room_id, { is_idle, position }] of this.#feeds) {
      if (is_idle && position !== undefined && position.offset <= edge.offset) {
        this.#feeds.delete(room_id);
      }
    }
    this.#is_half_together = false;
  }

  async *#wanted(durable: DurableLog): AsyncGenerator<readonly string[]> {
    const { hook, hook: { room, tenant } } = this.#options;
    if (isWanted(hook, EVENTS_ROOM)) yield [EVENTS_ROOM];
    const prefix = room.replace(/\*$/, "");
    for (let after = "";;) {
      await slice(tenant);
      const page = await durable.rooms({ prefix, after, limit: ROOMS_PAGE });
      yield page.rooms.filter((room_id) => room_id !== EVENTS_ROOM && isWanted(hook, room_id));
      after = page.rooms.at(-1) ?? "";
      if (!page.more) return;
    }
  }

  async #roomsStored(): Promise<ReadonlySet<string>> {
    const { hook: { tenant, id }, bucket } = this.#options;
    const keys = await bucket.keys(positionKey(tenant, id));
    return new Set(keys.map((key) => key.at(-1) ?? ""));
  }

  /**
   * Wakes every room with messages after the hook's position; looks up unknown positions. Rejects as bucket and log do.
   */
  async #survey(): Promise<void> {
    const { hook: { tenant }, openLog } = this.#options;
    if (this.#since === undefined) await this.#takeWait();
    const since = this.#since ??= await this.#options.since();
    const durable = await openLog();
    const { stream, log_offset } = await durable.head("~");
    const stored = this.#stored ??= await this.#roomsStored();
    let is_quiet = true;
    for await (const wanted of this.#wanted(durable)) {
      const heads = await durable.heads(wanted);
      for (const [at, [room_id, offset]] of [...heads].entries()) {
        if (at % ROOMS_A_PIECE === 0) await slice(tenant);
        if (this.#is_closed) return;
        const feed = this.#feeds.get(room_id);
        const is_old = feed === undefined && since.stream === stream && offset <= since.offset &&
          !stored.has(room_id);
        const { offset: read = -1, stream: of } = feed?.position ?? {};
        // The newest message may have been erased since.
        if (is_old || read === offset || read > offset && of === stream) continue;
        is_quiet = false;
        this.#feedOf(room_id).wake();
      }
    }
    this.#stored = NO_ROOMS;
    const edge = this.#edge;
    this.#edge = { stream, offset: log_offset };
    if (is_quiet && edge?.stream === stream) await this.#together(edge);
  }
}

/** A page that is read back. */
const READ = { limit: 512, max_bytes: 1_048_576 };

/**
 * The position before the room's first message since that time; the room's beginning, if no older message is stored;
 * undefined: it has none since. Rejects as the log does.
 */
async function positionBefore(
  durable: DurableLog,
  tenant_id: string,
  room_id: string,
  from_ms: number,
): Promise<HookPosition | undefined> {
  const { last } = await durable.head(room_id);
  if (last === undefined || last.time_ms < from_ms) return undefined;
  let offset = 0;
  for await (
    const { messages } of pagesBack(durable, room_id, { before: last.offset + 1, ...READ })
  ) {
    offset = messages.findLast(({ time_ms }) => time_ms < from_ms)?.offset ?? 0;
    if (offset > 0) break;
    await slice(tenant_id);
  }
  return { stream: lifeAt(durable.lives, offset).name, offset };
}

// How long a hook has failed without a successful call: a Brain adds up the time between failures by its monotonic
// clock, and the next Brain continues the sum. So neither wall clocks nor time without a running Brain count.

/** A hook is disabled after this time. */
const OFF_AFTER_MS = 5 * 86_400_000;
/** The most that counts between two failures. */
const GAP_MAX_MS = 86_400_000;
/** The sum is stored when it has grown by this much. */
const STORED_EVERY_MS = 600_000;

/** The time of one hook on this Brain. */
class FailedTime {
  #sum_ms: number;
  #stored_ms: number;
  #last_ms: number | undefined;

  constructor(stored_ms: number) {
    this.#sum_ms = this.#stored_ms = stored_ms;
  }

  /** Whether the hook has to be disabled. */
  get is_over(): boolean {
    return this.#sum_ms >= OFF_AFTER_MS;
  }

  /** Records a call that ended at `at_ms`, monotonic. Returns the sum if it has to be stored. */
  add(is_taken: boolean, at_ms: number): number | undefined {
    if (is_taken) this.#sum_ms = 0;
    else if (this.#last_ms !== undefined) {
      this.#sum_ms += Math.min(Math.max(0, at_ms - this.#last_ms), GAP_MAX_MS);
    }
    this.#last_ms = is_taken ? undefined : at_ms;
    const is_due = is_taken
      ? this.#stored_ms > 0
      : this.#sum_ms >= this.#stored_ms + STORED_EVERY_MS;
    if (!is_due) return undefined;
    this.#stored_ms = this.#sum_ms;
    return this.#sum_ms;
  }
}

/** The metrics of hooks. */
export type HookMetrics = ReturnType<typeof createHookMetrics>;

/**
 * Creates them; two callbacks are called on a scrape: `failing` for rooms with failed calls, by hook, and `off` for the
 * number of disabled hooks.
 */
export function createHookMetrics(
  registry: Registry,
  failing: () => Iterable<readonly [hook: string, rooms: number]>,
  off: () => number,
) {
  const registers = [registry];
  scrapedGauge(
    registry,
    "brain_hooks_off",
    "Hooks of the whole bus that are switched off because their receivers are gone or take nothing.",
    off,
  );
  new Gauge({
    name: "brain_hook_rooms_waiting",
    help: "Rooms with an event for which a hook was called in vain and will be again, by hook.",
    labelNames: ["hook"],
    registers,
    collect() {
      this.reset();
      for (const [hook, rooms] of failing()) this.inc({ hook }, rooms);
    },
  });
  const { counter } = metricsOn(registry);
  return {
    // `outcome`: taken, refused (another status) or failed (no answer).
    calls: counter(
      "brain_hook_calls_total",
      "Calls of hooks, by hook and outcome: taken, refused or failed.",
      "hook",
      "outcome",
    ),
    dead: counter(
      "brain_hook_dead_letters_total",
      "Events for which a hook is not called any more, by hook.",
      "hook",
    ),
    lost: counter(
      "brain_hook_lost_total",
      "How often a hook was told that events of a room may be lost, by hook.",
      "hook",
    ),
    surveys_failed: counter(
      "brain_hook_survey_failures_total",
      "How often the rooms of a hook could not be read from the log, by hook.",
      "hook",
    ),
  };
}
