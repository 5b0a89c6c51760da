/**
 * A room with a reducer at its owner: calls and timers become entries, which are applied, appended, answered and
 * published in this order. If appending fails, the applied entries are discarded and the room is read again.
 * `capability.ts` has the set of rooms.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../../shared/env.ts";
import { isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import type { RunnableProgram } from "../log/program.ts";
import { answerTo, inTime, isDue, judgeCalls, takeMigration, takeNext } from "./next_entries.ts";
import type { ArrivedCall, Taken, TakenAt, WaitingCall } from "./next_entries.ts";
import type { LoadedRoom, ReducedPlace, RoomParts } from "./loaded_room.ts";
import { RoomFaults } from "./faults.ts";
import { LeftTimers, type LeftTimersOptions, TimerPace } from "./left_timers.ts";
import { isYoungFork, loadRoom } from "./room_load.ts";
import { WaitingQueries, type WaitingQuery } from "./pages.ts";
import type { StoringLimits } from "./stored_data.ts";
import { dueEvents, publishChanges, publishEvents, publishRemaining } from "./value_changes.ts";
import type { ShownRoom } from "./value_changes.ts";
import { appendEntries, appendPublished, boundLog, storeOrMakeRoom } from "./room_writes.ts";
import { nextProgram, type ProgramChoice, takeProgram, waitsToMigrate } from "./program_switch.ts";
import type { Shown } from "../visible/shown.ts";
import { AT, step } from "../../../shared/watchdog/steps.ts";
import type { Applied } from "../thread/protocol.ts";
import type { SwitchOutcome } from "./program_switch.ts";
import { awaitedLater } from "../../../shared/awaited_later.ts";

/** Conflicts with another Brain before calls are refused. */
const ATTEMPTS = 16;
const CONTENDED_RETRY_MS = 250;
/** Delay before a failed room is read again, in ms; doubles each time. */
const PAUSE_MS = 100;
const PAUSE_MAX_MS = 5_000;
/** Idle time after which the log records the published events, and the room takes less memory, in ms. */
const QUIET_MS = 1_000;
/** Messages since the snapshot beyond which no call is taken: fewer than the log keeps. */
const BEHIND_MAX = 8_000;
/** The longest delay of a JavaScript timer. */
const TIMEOUT_MAX_MS = 2_000_000_000;

/** What rooms need; shared by all rooms of a Brain. */
export interface ReducedRoomOptions extends ProgramChoice, Pick<Env, "monotonic_ms"> {
  readonly shown: (at: ReducedPlace) => Shown;
  readonly pending_commands: number;
  readonly command_timeout_ms: number;
  readonly idle_ms: number;
  readonly left: LeftTimersOptions;
}

/** A room at its owner. */
export class ReducedRoom {
  readonly at: ReducedPlace;
  readonly #limits: StoringLimits;
  readonly #options: ReducedRoomOptions;
  #waiting: ArrivedCall[] = [];
  readonly #queries = new WaitingQueries();
  readonly #publishing = new PublishingTurns();
  readonly #left: LeftTimers;
  readonly #pace: TimerPace;
  readonly #faults: RoomFaults;
  #loaded: LoadedRoom | undefined;
  #running: Promise<void> | undefined;
  #alarm: ReturnType<typeof setTimeout> | undefined;
  /** When the last call or timer came, and before when nothing is read again, monotonic ms. */
  #used_ms: number;
  #not_before_ms = 0;
  #pause_ms = PAUSE_MS;
  #lost = 0;
  #is_resting = false;
  #is_closed = false;

  constructor(at: ReducedPlace, limits: StoringLimits, options: ReducedRoomOptions) {
    this.at = at;
    this.#limits = limits;
    this.#options = options;
    this.#left = new LeftTimers(at, options);
    this.#faults = new RoomFaults(at, options);
    this.#used_ms = options.monotonic_ms();
    this.#pace = new TimerPace(this.#used_ms);
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Bytes of its state; 0 while it is not loaded. */
  get bytes(): number {
    return this.#loaded?.standing.bytes ?? 0;
  }

  /** Whether nothing is running. */
  get is_idle(): boolean {
    return this.#running === undefined && !this.#is_asked;
  }

  get is_loaded(): boolean {
    return this.#loaded !== undefined;
  }

  /** Queues a call; it is answered in any case. */
  call(call: WaitingCall): void {
    const { wanted, monotonic_ms } = this.#options;
    const arrived_ms = monotonic_ms();
    const program = wanted(this.at)?.program.id ?? this.#loaded?.program?.id ?? "";
    const refusal = this.#faults.refusal(call.user_id, program);
    if (refusal !== undefined) call.answer(refusal);
    else if (this.#admits(this.#waiting.length, call)) this.#waiting.push({ ...call, arrived_ms });
    this.wake();
  }

  /** Queues a read of values; it is answered in any case. */
  values(query: WaitingQuery): void {
    if (this.#admits(this.#queries.size, query)) this.#queries.add(query);
    this.wake();
  }

  get #is_asked(): boolean {
    return this.#waiting.length + this.#queries.size > 0;
  }

  #admits(waiting: number, { answer }: Pick<WaitingCall, "answer">): boolean {
    const { pending_commands, parts: { metrics }, monotonic_ms } = this.#options;
    if (this.#is_closed) {
      answer(new ArqonError("brain-unavailable"));
    } else if (waiting >= pending_commands) {
      metrics.refused.inc();
      answer(new ArqonError("too-many-pending", `${pending_commands} calls of this room wait`));
    } else {
      this.#used_ms = monotonic_ms();
      this.#is_resting = false;
      return true;
    }
    return false;
  }

  /** Does pending work: calls, timers, events that a previous owner left. */
  wake(): void {
    if (this.#is_closed || this.#running !== undefined) return;
    clearTimeout(this.#alarm);
    this.#alarm = undefined;
    const pause_ms = Math.max(
      this.#not_before_ms - this.#options.monotonic_ms(),
      this.#fuelWait(),
    );
    if (pause_ms > 0) return this.#wakeIn(pause_ms);
    if (this.#waits_for_turn) return this.#rest();
    this.#running = this.#work().catch((error) => this.#failed(error)).then(() => {
      this.#running = undefined;
      this.#rest();
    });
  }

  /** Stores and closes the room; resolves when nothing of it is running. Takes no more calls. */
  async close(): Promise<void> {
    this.#is_closed = true;
    clearTimeout(this.#alarm);
    await this.#running;
    // Unpublished events are published at the next load.
    await this.#publishing.done().catch(() => {});
    this.#refuse(new ArqonError("brain-unavailable"));
    const loaded = this.#loaded;
    if (loaded === undefined) return;
    try {
      // Another owner has read it by now, and would have to read it again.
      if (loaded.record?.is_behind && this.#options.owns(this.at)) await this.#store(loaded);
    } catch (error) {
      if (!isConflict(error)) this.#warn("a room was not stored when it was let go", error);
    }
    this.#drop();
  }

  /** Ms until its tenant has fuel; calls are refused meanwhile. */
  #fuelWait(): number {
    const { fuel, metrics } = this.#options.parts;
    const wait_ms = fuel.wait(this.at.tenant_id);
    if (wait_ms === 0 || !this.#is_asked) return wait_ms;
    metrics.refused.inc(this.#waiting.length + this.#queries.size);
    this.#refuse(fuel.refusal(wait_ms));
    return wait_ms;
  }

  #wakeIn(wait_ms: number): void {
    clearTimeout(this.#alarm);
    this.#alarm = setTimeout(() => this.wake(), Math.min(wait_ms, TIMEOUT_MAX_MS));
  }

  #warn(text: string, error: unknown): void {
    const { tenant_id, room_id: room } = this.at;
    this.#options.parts.log.warn(text, { tenant_id, room, error });
  }

  /** Whether it only has timers to run, and its tenant has no fuel. */
  get #waits_for_turn(): boolean {
    const { fuel } = this.#options.parts;
    if (this.#loaded === undefined || this.#is_asked || this.has_migration) return false;
    const { standing, durable } = this.#loaded;
    if (!isDue(standing, durable.now()) || fuel.timersWait(this.at.tenant_id) === 0) return false;
    // A room with an exhausted budget may wait for days: it first takes less memory.
    return this.#is_resting || !fuel.holdsTimers(this.at.tenant_id);
  }

  #rest(): void {
    if (this.#is_closed) return;
    if (this.#is_asked || this.has_migration) return this.wake();
    const loaded = this.#loaded;
    if (loaded === undefined) return;
    const { standing: { next }, durable } = loaded;
    const { parts: { fuel }, monotonic_ms } = this.#options;
    let due_ms = next === undefined ? Infinity : Math.max(
      next.at_ms - durable.now(),
      this.#left.held_ms,
      this.#faults.held_ms,
      this.#pace.wait(monotonic_ms()),
    );
    const { tenant_id } = this.at;
    if (due_ms <= 0 && fuel.timersWait(tenant_id) > 0) due_ms = fuel.timersTurn(tenant_id);
    const wait_ms = Math.max(1, Math.min(due_ms, this.#is_resting ? Infinity : QUIET_MS));
    if (wait_ms < Infinity) this.#wakeIn(wait_ms);
  }

  /** Whether it was not called for long, and no timer is due soon. */
  get is_forgotten(): boolean {
    const { idle_ms, monotonic_ms, parts: { fuel } } = this.#options;
    if (!this.is_idle || monotonic_ms() - this.#used_ms < idle_ms) return false;
    const { durable, standing } = this.#loaded ?? {};
    const next_ms = (standing?.next?.at_ms ?? Infinity) - (durable?.now() ?? 0);
    return next_ms >= idle_ms || fuel.holdsTimers(this.at.tenant_id);
  }

  async #work(): Promise<void> {
    const { parts: { metrics, fuel }, owns, shown } = this.#options;
    if (this.#left.must_read) this.#drop();
    if (this.#loaded === undefined) {
      // Unpublished events are published at the next load.
      await this.#publishing.done().catch(() => {});
      this.#is_resting = false;
      this.#loaded = await loadRoom(this.at, shown(this.at), this.#options.parts);
      metrics.loads.inc({ outcome: "loaded" });
      this.#left.read(this.#loaded);
      if (isYoungFork(this.#loaded) && owns(this.at)) await this.#tryStore(this.#loaded);
    }
    while (
      this.#loaded !== undefined && !this.#is_closed && fuel.wait(this.at.tenant_id) === 0
    ) {
      const loaded: LoadedRoom = this.#loaded;
      if (!await this.#answerQueries(loaded)) {
        this.#overtaken();
        break;
      }
      const { program, migration } = await nextProgram(loaded, this.#options);
      const taken = migration === undefined
        ? await this.#take(loaded, program)
        : takeMigration(this.#takenAt(loaded, program), migration);
      if (taken === undefined) break;
      await this.#left.guard(loaded, taken, program, () => this.#step(loaded, taken, program));
      if (migration !== undefined && this.#loaded === loaded) await this.#tryStore(loaded);
    }
    await this.#publishing.done();
    const loaded = this.#loaded;
    if (loaded === undefined || this.#is_closed || this.#is_asked || !owns(this.at)) return;
    if (this.#left.takeAside()) await this.#tryStore(loaded);
    const quiet_ms = this.#options.monotonic_ms() - this.#used_ms;
    if (quiet_ms < QUIET_MS) return;
    // A call that arrives meanwhile ends the wait.
    this.#is_resting = true;
    this.#options.parts.host.rest(loaded.handle);
    await appendPublished(loaded);
  }

  /** The next entries; undefined: none. */
  async #take(loaded: LoadedRoom, program: RunnableProgram): Promise<Taken | undefined> {
    const { monotonic_ms, command_timeout_ms } = this.#options;
    const at_ms = monotonic_ms();
    this.#waiting = inTime(this.#waiting, at_ms, command_timeout_ms);
    const ready = program.schema && judgeCalls(this.#waiting, loaded, program, this.#options);
    const waiting = ready ? await ready : this.#waiting;
    const taken = takeNext(waiting, this.#takenAt(loaded, program));
    if (taken?.calls.length === 0) this.#used_ms = at_ms;
    return taken;
  }

  #takenAt(loaded: LoadedRoom, program: RunnableProgram): TakenAt {
    const { parts: { random, metrics, fuel }, owns, monotonic_ms } = this.#options;
    const { standing, durable } = loaded;
    const now_ms = durable.now();
    const ahead_ms = now_ms - monotonic_ms();
    const is_due = isDue(standing, now_ms);
    const is_held = is_due &&
      (this.#pace.wait(monotonic_ms()) > 0 || fuel.timersWait(this.at.tenant_id) > 0);
    if (is_held) metrics.timers_held.inc();
    const runs_timers = owns(this.at) && !is_held && this.#left.admits(loaded, program) &&
      (!is_due || this.#faults.admitsTimer(program.id));
    const most = this.#left.is_first ? 1 : this.#pace.most(monotonic_ms());
    return { standing, now_ms, ahead_ms, random, timers_max: runs_timers ? most : 0 };
  }

  /** Whether another program waits to migrate this room. */
  get has_migration(): boolean {
    return this.#loaded !== undefined && waitsToMigrate(this.#loaded, this.#options);
  }

  /** Whether its timers are blocked until another program or an operator releases them. */
  get is_set_aside(): boolean {
    return this.#left.held_ms === Infinity;
  }

  async #step(
    loaded: LoadedRoom,
    { entries, calls }: Taken,
    program: RunnableProgram,
  ): Promise<void> {
    step(AT.reducer);
    const { parts } = this.#options;
    this.#is_resting = false;
    await this.#requireStored(loaded);
    const room = this.#shown(loaded);
    const known = loaded.standing.offset;
    const options = { may_stop: true, shown: room.shown.prefixes };
    const { applied, standing, units } = await parts.host.apply(
      ...[loaded.handle, program, entries, options] as const,
    );
    const of = entries.slice(0, applied.length);
    try {
      await appendEntries(loaded, of, { program, standing });
    } catch (error) {
      if (!isConflict(error)) throw error;
      return this.#overtaken();
    }
    noteSwitch(takeProgram(loaded, program, of, applied), loaded);
    this.#lost = 0;
    this.#pause_ms = PAUSE_MS;
    // Calls that came meanwhile are behind them.
    this.#waiting.splice(0, Math.min(calls.length, applied.length));
    countApplied(applied, parts);
    this.#faults.note(of, calls, applied, program);
    const timers = entries[0]?.kind === "timer" ? applied.length : 0;
    if (timers > 0) this.#pace.take(this.#options.monotonic_ms(), timers);
    const stored_units = storedUnits(applied);
    parts.fuel.spend(this.at.tenant_id, stored_units);
    parts.used(this.at, units + stored_units);
    if (timers > 0) parts.fuel.spendTimers(this.at.tenant_id, units + stored_units);
    for (const [at, one] of applied.entries()) {
      noteApplied(one, this.at, parts);
      calls[at]?.answer(answerTo(one));
    }
    await publishChanges(room, known, applied);
    const due = dueEvents(applied, loaded.published);
    await this.#publishing.next(() => publishEvents(loaded, due));
    const behind = Math.max(loaded.messages_behind, loaded.entries_behind);
    if (behind >= this.#limits.snapshot_entries) await this.#tryStore(loaded);
  }

  #shown(loaded: LoadedRoom): ShownRoom {
    return { loaded, shown: this.#options.shown(this.at) };
  }

  #answerQueries(loaded: LoadedRoom): Promise<boolean> | true {
    if (this.#queries.size === 0) return true;
    const { monotonic_ms, command_timeout_ms } = this.#options;
    return this.#queries.answer(this.#shown(loaded), monotonic_ms(), command_timeout_ms);
  }

  /** Another Brain wrote first: nothing was stored, so the calls still need answers. */
  #overtaken(): Promise<void> | undefined {
    const { parts: { metrics }, owns } = this.#options;
    metrics.conflicts.inc();
    this.#drop();
    if (!owns(this.at)) throw new ArqonError("brain-unavailable");
    if (++this.#lost < ATTEMPTS) return undefined;
    const detail = `another Brain wrote this room's log first, ${ATTEMPTS} times`;
    throw new ArqonError("too-many-pending", detail, { retry_after_ms: CONTENDED_RETRY_MS });
  }

  /** A log without a recent snapshot must not outgrow its retention. */
  async #requireStored(loaded: LoadedRoom): Promise<void> {
    if (loaded.messages_behind < BEHIND_MAX) return;
    await this.#publishing.done();
    await this.#store(loaded);
  }

  async #tryStore(loaded: LoadedRoom): Promise<void> {
    await this.#publishing.done();
    try {
      await this.#store(loaded);
    } catch (error) {
      if (isConflict(error)) throw error;
      this.#warn("a room's snapshot was not stored; its log is read from further back", error);
    }
  }

  async #store(loaded: LoadedRoom): Promise<void> {
    await publishRemaining(this.#shown(loaded));
    await storeOrMakeRoom(loaded, this.#limits);
    await boundLog(loaded, this.#limits.log_bytes);
  }

  #drop(): void {
    if (this.#loaded !== undefined) this.#options.parts.host.close(this.#loaded.handle);
    this.#loaded = undefined;
  }

  #refuse(refusal: ArqonError): void {
    for (const { answer } of this.#waiting.splice(0)) answer(refusal);
    this.#queries.refuse(refusal);
  }

  /** Reading the room again shows whether the running entries were stored. */
  #failed(error: unknown): void {
    const { parts, monotonic_ms, owns } = this.#options;
    if (this.#loaded === undefined) parts.metrics.loads.inc({ outcome: "failed" });
    this.#drop();
    this.#lost = 0;
    const known = error instanceof ArqonError ? error : undefined;
    if (isConflict(error)) parts.metrics.conflicts.inc();
    else this.#warn("a room's reducer could not go on", error);
    this.#not_before_ms = monotonic_ms() + this.#pause_ms;
    this.#pause_ms = Math.min(PAUSE_MAX_MS, this.#pause_ms * 2);
    // The remaining calls were not stored: they run once the room is read again.
    if (isConflict(error) && owns(this.at)) return;
    if (isConflict(error)) return this.#refuse(new ArqonError("brain-unavailable"));
    this.#refuse(known ?? new ArqonError("internal", "", { cause: error }));
  }
}

/** A queue of publishing. */
export class PublishingTurns {
  #under_way: Promise<void> | undefined;

  /** Queues a job behind the one before. Rejects, and queues nothing, with the failure of a former job. */
  async next(publish: () => Promise<void>): Promise<void> {
    await this.done();
    this.#under_way = awaitedLater(publish());
  }

  /** Waits until nothing is running. Rejects once with the failure. */
  async done(): Promise<void> {
    const turn = this.#under_way;
    this.#under_way = undefined;
    await turn;
  }
}

/** Counts stored entries by outcome. */
function countApplied(applied: readonly Applied[], { metrics }: RoomParts): void {
  const counts = new Map<string, number>();
  for (const { repeats, kind } of applied) {
    const verdict = repeats === undefined ? kind : "repeated";
    counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  }
  for (const [verdict, count] of counts) metrics.entries.inc({ verdict }, count);
}

/** Units of a message with entries, and of an event: measured 200 to 300 µs, and 5 to 10 µs, of the storing thread. */
const MESSAGE_UNITS = 250_000;
const EVENT_UNITS = 10_000;

const storedUnits = (applied: readonly Applied[]): number =>
  applied.reduce((units, { events }) => units + events.length * EVENT_UNITS, MESSAGE_UNITS);

/** Logs the outcome of a stored entry. */
function noteApplied(
  applied: Applied,
  { tenant_id, room_id: room }: ReducedPlace,
  { log, lines }: RoomParts,
): void {
  for (const { level, message } of applied.logs) lines({ tenant_id, room }, level, message);
  if (applied.kind === "fault" && applied.repeats === undefined) {
    const { offset, detail, reason } = applied;
    log.warn("a reducer failed", { tenant_id, room, entry: offset, reason, detail });
  }
}

/** Logs the outcome of a change of programs. */
function noteSwitch(
  outcome: SwitchOutcome | undefined,
  { at, parts: { log, metrics }, program, refused, standing: { offset: entry } }: LoadedRoom,
): void {
  if (outcome === undefined) return;
  const { tenant_id, room_id: room } = at;
  metrics.switches.inc({ outcome });
  if (outcome !== "refused") {
    log.debug("another program is in force", { tenant_id, room, entry, program: program?.id });
    return;
  }
  const about = { tenant_id, room, entry, program: refused?.program, in_force: program?.id };
  log.error("a program could not migrate a room, and the one before stays", about);
}
