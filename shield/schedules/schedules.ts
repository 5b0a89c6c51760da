/**
 * The schedules of all tenants on one Shield. Every Shield knows all of them; the first Shield that claims a time by
 * compare-and-set publishes it. Another Shield takes over an unfinished claim and uses the same message id, so the
 * message is stored once. `publisher.ts` publishes.
 */
import { ArqonError } from "@arqon/proto";
import { isForNow } from "../../shared/for_now.ts";
import { ClockSteps } from "../../shared/clock_steps.ts";
import type { Env } from "../../shared/env.ts";
import { changeDocument, isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvChange, KvWatch } from "../../shared/spine/contract/spine.ts";
import { DEDUPLICATION_MS } from "../fanout/deduplicate.ts";
import type { TenantDeletions } from "../../shared/records/tenant_deletions.ts";
import type { DueTime } from "./publisher.ts";
import {
  afterTime,
  claimed,
  type CountedOutcome,
  decodeSchedule,
  encodeSchedule,
  type Outcome,
  type Schedule,
  setAside,
  survived,
  withoutMissed,
} from "./schedule.ts";
import { ENTRY_BYTES, FILLABLE } from "../../shared/spine/bucket_shares.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";
import { slice } from "../../shared/turns/slices.ts";
import { createTurns, UNBOUNDED } from "../../shared/turns/tenant_turns.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";
import { unlessNewer } from "../../shared/records/stored.ts";

/** The longest random wait of a Shield before a claim, so that mostly one Shield claims, in ms. */
const SPREAD_MS = 20;
/** The time after which another Shield takes over an unfinished claim, in ms. */
const CLAIM_MS = 5_000;
/** The time after which the process of a claim that was taken over counts as dead, in ms. */
const LEFT_MS = 30_000;
/** The pause before a retry, in ms. */
const AGAIN_MS = 500;
/** The longest such pause: less than `CLAIM_MS`, or another Shield would take the claim over. */
const AGAIN_MAX_MS = 4_000;
const AT_A_TIME = 64;
/** The most messages of one tenant published at a time: they may be slow. */
const OF_A_TENANT = 16;
/** How long a schedule stays after its last time, in ms: a day. */
const KEPT_MS = 86_400_000;
/** The longest wait of a timer, in ms. It is then set again. */
const WAIT_MAX_MS = 3_600_000;
/**
 * The longest wait for a future time, in ms. The timer is then set again, since the clock may be set or the machine may
 * sleep.
 */
const LOOK_MS = 10_000;
/** How long the log certainly detects repetitions, in ms. */
const KNOWN_MS = DEDUPLICATION_MS / 2;

/** The dependencies and settings of `Schedules`. */
export interface SchedulesOptions extends Pick<Env, "log" | "node_id" | "now"> {
  readonly bucket: KeyValue;
  /** Resolves with the offset in the room's log, if it has one. Rejects like a refused publish. */
  readonly publish: (due: DueTime) => Promise<number | void>;
  /** Removes a message from its room's log. */
  readonly takeBack: (due: DueTime, offset: number) => Promise<void>;
  readonly deletions: Pick<TenantDeletions, "known" | "keep">;
  /** Whether the log of the room has the message already. */
  readonly isInLog: (due: DueTime, claimed_ms: number) => Promise<boolean>;
  /** The largest delay with which a missed time is still published, in ms. */
  readonly late_ms: () => number;
  /** One time has ended: its outcome, and its delay, in ms. */
  readonly onTime: (outcome: Outcome["outcome"], late_ms: number) => void;
  /** Ms that only grow; absent: `performance.now`. */
  readonly monotonic_ms?: () => number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** How long a Shield may keep a claim, in ms; absent: five seconds. */
  readonly claim_ms?: number;
  /** How long a Shield may keep a second claim, in ms; absent: half a minute. A living process acts sooner. */
  readonly left_ms?: number;
  /** The first pause after a failure, in ms; absent: half a second. */
  readonly again_ms?: number;
  /** The interval of reading the wall clock until a time is due, in ms; absent: ten seconds. */
  readonly look_ms?: number;
}

/** `[schedules]`: of one tenant, and of all. */
export interface ScheduleBounds {
  readonly tenant_schedules: number;
  readonly schedules: number;
}

/** A schedule as this Shield knows it. */
interface Known {
  readonly tenant_id: string;
  readonly schedule_id: string;
  schedule: Schedule;
  revision: number;
  /** In the bucket. */
  bytes: number;
  timer: ReturnType<typeof setTimeout> | undefined;
  failures: number;
  /** The start of the claim that this process has written, or may have written, Unix ms. */
  own_claim_ms: number | undefined;
}

/** A schedule whose time has come, with its revision. After another write it waits again. */
interface Due {
  readonly known: Known;
  readonly revision: number;
}

/** The schedules of all tenants. */
export class Schedules {
  /** Resolves when all stored schedules are known; rejects with `spine-unavailable` if it ends earlier. */
  readonly ready: Promise<void>;
  readonly #options: SchedulesOptions;
  /** Which Shield publishes a time is chance: all go by the same clock. */
  readonly #now: () => number;
  readonly #known = new Map<string, Known>();
  readonly #counts = new FairBound(Infinity);
  readonly #bytes = new FairBound(Infinity);
  readonly #watch: KvWatch;
  readonly #due = createTurns<Due>(UNBOUNDED);
  /**
   * Schedules with a claim abandoned by another process. They are tried one at a time, since one of them may kill this
   * process.
   */
  readonly #left: Due[] = [];
  readonly #steps: ClockSteps;
  /** The timer of the next of them; absent: none is tried. */
  #trying: ReturnType<typeof setTimeout> | undefined;
  readonly #running = new Map<Promise<void>, Known>();
  #is_closed = false;

  constructor(options: SchedulesOptions) {
    this.#options = options;
    this.#now = options.now;
    const { now, monotonic_ms = () => performance.now() } = options;
    this.#steps = new ClockSteps({ now, monotonic_ms });
    this.#watch = options.bucket.watch([], (change) => this.#receive(change));
    this.ready = this.#watch.ready;
  }

  get all(): Iterable<Schedule> {
    return this.#known.values().map(({ schedule }) => schedule);
  }

  /**
   * Whether the tenant may have so many more, and so many more bytes in the bucket: both are shared. A full bucket
   * would refuse the claims of all tenants' schedules.
   */
  hasRoom(tenant_id: string, bounds: ScheduleBounds, more: number, more_bytes: number): boolean {
    const { bucket: { limit_bytes = Infinity } } = this.#options;
    const may = (held: FairBound, most: number, size: number) =>
      size <= 0 || held.hasRoom(tenant_id, size, most);
    const own = this.#counts.of(tenant_id) + more;
    return (more <= 0 || own <= bounds.tenant_schedules) &&
      may(this.#counts, bounds.schedules, more) &&
      may(this.#bytes, limit_bytes * FILLABLE, more_bytes);
  }

  /** Publishes nothing more; resolves when running work has ended. Never rejects. */
  async close(): Promise<void> {
    this.#is_closed = true;
    this.#watch.stop();
    for (const { timer } of this.#known.values()) clearTimeout(timer);
    clearTimeout(this.#trying);
    await Promise.all(this.#running.keys());
  }

  #receive({ key: [tenant_id = "", schedule_id = ""], value, revision }: KvChange): void {
    const name = `${tenant_id}/${schedule_id}`;
    const known = this.#known.get(name);
    const schedule = value && unlessNewer(() => decodeSchedule(value));
    if (value !== undefined && schedule === undefined) {
      this.#options.log.error("a schedule cannot be read", { tenant_id, schedule: schedule_id });
    }
    // A Shield of a newer version publishes it.
    if (schedule === undefined || schedule === "newer") {
      clearTimeout(known?.timer);
      if (this.#known.delete(name)) this.#counts.add(tenant_id, -1);
      this.#bytes.add(tenant_id, -(known?.bytes ?? 0));
      return;
    }
    if (known?.revision === revision) return;
    const next: Known = known ?? {
      tenant_id,
      schedule_id,
      schedule,
      revision,
      bytes: 0,
      timer: undefined,
      failures: 0,
      own_claim_ms: undefined,
    };
    if (known === undefined) this.#counts.add(tenant_id, 1);
    const bytes = value!.length + ENTRY_BYTES;
    this.#bytes.add(tenant_id, bytes - next.bytes);
    next.bytes = bytes;
    this.#known.set(name, next);
    this.#take(next, schedule, revision);
  }

  #take(known: Known, schedule: Schedule, revision: number): void {
    known.schedule = schedule;
    known.revision = revision;
    known.failures = 0;
    this.#arm(known);
  }

  /** Sets the timer of a schedule's next action. */
  #arm(known: Known, wait_ms = this.#waitOf(known)): void {
    clearTimeout(known.timer);
    if (this.#is_closed || wait_ms === undefined) return;
    const { claim, next_ms } = known.schedule;
    const { look_ms = LOOK_MS } = this.#options;
    const most_ms = claim === null && next_ms !== null ? look_ms : WAIT_MAX_MS;
    known.timer = setTimeout(() => {
      if (wait_ms > most_ms) return this.#arm(known);
      const is_tried = this.#isLeft(known) && !this.#isLeftTwice(known);
      const due = { known, revision: known.revision };
      if (is_tried) this.#left.push(due);
      else this.#due.push(known.tenant_id, due, 0);
      this.#run();
    }, Math.min(wait_ms, most_ms));
  }

  /** Whether the process of the claim has abandoned it. */
  #isLeft({ schedule: { claim }, own_claim_ms }: Known): boolean {
    if (claim === null) return false;
    return claim.node_id !== this.#options.node_id || claim.claimed_ms !== own_claim_ms;
  }

  /** Whether that process had taken the claim over from another one. */
  #isLeftTwice(known: Known): boolean {
    return known.schedule.claim?.again === true && this.#isLeft(known);
  }

  #waitOf(known: Known): number | undefined {
    const { claim, next_ms, is_paused, last, changed_ms } = known.schedule;
    const { random, claim_ms = CLAIM_MS, left_ms = LEFT_MS } = this.#options;
    const spread_ms = random() * SPREAD_MS;
    if (claim !== null) return spread_ms + (this.#isLeftTwice(known) ? left_ms : claim_ms);
    if (next_ms === null) {
      return Math.max(0, (last?.at_ms ?? changed_ms) + KEPT_MS - this.#now()) + spread_ms;
    }
    return is_paused ? undefined : Math.max(0, next_ms - this.#now()) + spread_ms;
  }

  /** Whether one more message of the tenant may be published now. */
  #hasPlace(tenant_id: string): boolean {
    const own = this.#running.values().filter((known) => known.tenant_id === tenant_id);
    return own.toArray().length < OF_A_TENANT;
  }

  #run(): void {
    while (this.#running.size < AT_A_TIME) {
      const left = this.#trying === undefined ? this.#left.shift() : undefined;
      const due = left ?? this.#due.take((tenant_id) => this.#hasPlace(tenant_id));
      if (due === undefined) return;
      const turn = this.#turn(due);
      if (left !== undefined) this.#try(turn);
      const running = turn.finally(() => {
        this.#running.delete(running);
        this.#run();
      });
      this.#running.set(running, due.known);
    }
  }

  /** Tries no other abandoned claim until this turn has ended, or for as long as a Shield may keep a claim. */
  #try(turn: Promise<void>): void {
    const trying = this.#trying = setTimeout(() => end(), this.#options.claim_ms ?? CLAIM_MS);
    const end = () => {
      clearTimeout(trying);
      if (this.#trying === trying) this.#trying = undefined;
      this.#run();
    };
    void turn.then(end);
  }

  /** Handles a due schedule. One that was written since its time came waits again. Never rejects. */
  async #turn({ known, revision }: Due): Promise<void> {
    const { log, again_ms = AGAIN_MS } = this.#options;
    const { tenant_id, schedule_id, schedule } = known;
    // After an outage many schedules are due at once, and the missed times of each are counted.
    await slice(tenant_id);
    step(AT.schedule);
    if (this.#is_closed || this.#known.get(`${tenant_id}/${schedule_id}`) !== known) return;
    if (known.revision !== revision) return;
    try {
      if (schedule.claim === null && schedule.next_ms === null) return await this.#forget(known);
      if (schedule.claim === null && (schedule.is_paused || schedule.next_ms! > this.#now())) {
        return this.#arm(known);
      }
      if (this.#isLeftTwice(known)) await this.#setAside(known);
      else await this.#publish(known);
    } catch (error) {
      // Another Shield was faster: the watch delivers its write.
      if (isConflict(error)) return;
      if (known.failures === 0) {
        log.warn("a schedule could not be published; retrying", {
          tenant_id,
          schedule: schedule_id,
          error,
        });
      }
      const pause_ms = Math.min(AGAIN_MAX_MS, again_ms * 2 ** known.failures++);
      // The owner of that claim could not write either, so it gets its time again.
      this.#arm(known, this.#isLeftTwice(known) ? undefined : pause_ms);
    }
  }

  /** Deletes a schedule that ended long ago: by the store's clock, or by a clock that was not set lately. */
  async #forget(known: Known): Promise<void> {
    const { tenant_id, schedule_id, schedule, revision } = known;
    const { bucket } = this.#options;
    const key = [tenant_id, schedule_id];
    const { age_ms } = await bucket.get(key) ?? {};
    const is_believed = age_ms !== undefined || this.#steps.isBelieved();
    const old_ms = age_ms ?? this.#now() - (schedule.last?.at_ms ?? schedule.changed_ms);
    if (is_believed && old_ms >= KEPT_MS) return await bucket.delete(key, revision);
    this.#arm(known, Math.max(1_000, Math.min(WAIT_MAX_MS, KEPT_MS - old_ms)));
  }

  /** Sets aside a schedule that may have killed those processes. */
  async #setAside(known: Known): Promise<void> {
    const { log, onTime } = this.#options;
    const { tenant_id, schedule_id, schedule } = known;
    await this.#write(known, setAside(schedule, this.#now()));
    onTime("set_aside", 0);
    const about = { tenant_id, schedule: schedule_id, due_ms: schedule.next_ms };
    log.error("two processes died while they published a schedule: it is set aside", about);
  }

  async #publish(known: Known): Promise<void> {
    const { bucket, node_id, late_ms, look_ms, onTime, deletions } = this.#options;
    const { tenant_id, schedule_id, schedule: before } = known;
    const since = deletions.known(tenant_id);
    const schedule = before.claim === null
      ? withoutMissed(before, this.#now() - late_ms(), this.#now())
      : before;
    // Its last time would be lost for good by a process that began with its clock ahead.
    const is_sure = bucket.storeTime !== undefined || this.#steps.isBelieved();
    if (schedule.next_ms === null && !is_sure) return this.#arm(known, look_ms ?? LOOK_MS);
    for (let missed = before.missed; missed < schedule.missed; missed++) onTime("missed", 0);
    const is_due = schedule.next_ms !== null && schedule.next_ms <= this.#now();
    const by = { node_id, now_ms: this.#now(), is_left: this.#isLeft(known) };
    const next = is_due ? claimed(schedule, by) : schedule;
    known.own_claim_ms = next.claim?.claimed_ms;
    await this.#write(known, next);
    if (!is_due) return;
    const due = { tenant_id, schedule_id, schedule: next, due_ms: schedule.next_ms! };
    let last: CountedOutcome;
    try {
      last = await this.#outcome(due, since, before.claim?.claimed_ms, by.is_left);
    } catch (error) {
      // This process survived, whatever failed. Its next attempt may be long in coming: the tenant's others go first.
      if (next.claim?.again) await this.#write(known, survived(next));
      throw error;
    }
    await this.#end(known, next, last);
  }

  /** Stores a schedule with this process's claim. The attempts of that claim that have failed still count. */
  async #write(known: Known, next: Schedule): Promise<void> {
    const { tenant_id, schedule_id, failures } = known;
    const { bucket } = this.#options;
    const key = [tenant_id, schedule_id];
    this.#take(known, next, await bucket.update(key, encodeSchedule(next), known.revision));
    known.failures = failures;
  }

  /**
   * Publishes it. Rejects with temporary errors. This process's clock does not show the age of another process's claim.
   */
  async #outcome(
    due: DueTime,
    since: number,
    claimed_ms: number | undefined,
    is_left: boolean,
  ): Promise<CountedOutcome> {
    const { late_ms, publish, takeBack, isInLog, onTime, deletions } = this.#options;
    const { due_ms, tenant_id } = due;
    const ended = (outcome: CountedOutcome["outcome"], reason?: string): CountedOutcome => {
      onTime(outcome, this.#now() - due_ms);
      return { due_ms, at_ms: this.#now(), outcome, ...(reason === undefined ? {} : { reason }) };
    };
    const is_old = is_left || Math.abs(this.#now() - (claimed_ms ?? this.#now())) > KNOWN_MS;
    try {
      if (claimed_ms === undefined || !is_old || !(await isInLog(due, claimed_ms))) {
        // A policy or a hook may hold it for longer than its tenant stays.
        const published = async () => ({ offset: await publish(due) });
        await deletions.keep(tenant_id, since, published, async ({ offset }) => {
          if (typeof offset === "number") await takeBack(due, offset);
        });
      }
      return ended("published");
    } catch (error) {
      if (!(error instanceof ArqonError)) throw error;
      if (!isForNow(error)) return ended("refused", error.message);
      if (this.#now() - due_ms <= late_ms()) throw error;
      return ended("missed", error.message);
    }
  }

  /** Stores its outcome, unless another Shield has taken over the claim. */
  async #end(known: Known, { claim }: Schedule, last: CountedOutcome): Promise<void> {
    const { bucket } = this.#options;
    const key = [known.tenant_id, known.schedule_id];
    await changeDocument(async (mayLose) => {
      const entry = await bucket.get(key);
      const schedule = entry && decodeSchedule(entry.value);
      if (schedule?.claim?.node_id !== claim?.node_id) return;
      if (schedule?.claim?.claimed_ms !== claim?.claimed_ms) return;
      const next = afterTime(schedule!, last);
      const revision = await mayLose(bucket.update(key, encodeSchedule(next), entry!.revision));
      this.#take(known, next, revision);
    });
  }
}
