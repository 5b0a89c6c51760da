/** The reducers capability of a Brain. */
import type { BrainCapability } from "../capability.ts";
import { CUT_OFF_MAX, CutOffQuestion } from "../../shared/cluster/cluster_room.ts";
import type { CutOffAnswer } from "../../shared/cluster/cluster_room.ts";
import { NO_REDUCERS, type ReducerCalls, reducerCommands } from "./reducer_commands.ts";
import { ArqonError } from "@arqon/proto";
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import type { Config } from "../../shared/config/schema.ts";
import { connectionId, randomPool } from "../../shared/ids.ts";
import type { Env } from "../../shared/env.ts";
import {
  decodeRecord,
  REDUCER_OBJECTS,
  REDUCERS_BUCKET,
} from "../../shared/records/reducer_record.ts";
import { REMOVAL_KEY } from "../../shared/records/reducer_record.ts";
import { REDUCED_UNITS_MAX, reducerRoomOf } from "../../shared/rooms/reserved.ts";
import { inShares } from "../../shared/spine/bucket_shares.ts";
import type { KeyValue, KvChange, ObjectStore } from "../../shared/spine/contract/spine.ts";
import { StoreTime } from "../../shared/spine/contract/store_time.ts";
import { createBreakers } from "../../shared/rates/breaker.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";
import { leftMs } from "../../shared/watchdog/left_work.ts";
import type { ClusterView, RoomAddress as Place } from "../cluster_view.ts";
import { ClassPrograms, modulePage, type ReducedClass } from "./class_programs.ts";
import { KeptPrograms } from "./log/program.ts";
import { ModuleRemoval } from "./removal/module_removal.ts";
import { createFuelMetric, createReducerMetrics, createRemovalMetrics } from "./metrics.ts";
import type { ReducerMetrics } from "./metrics.ts";
import type { WaitingCall } from "./room/next_entries.ts";
import { noModule, noReducer, nothingShown, type WaitingQuery } from "./room/pages.ts";
import type { PastAsk } from "../../shared/records/reducer_past.ts";
import { ReducerPast } from "./past_service.ts";
import { CutOffRooms, type RoomParts } from "./room/loaded_room.ts";
import { BREAKER } from "./room/faults.ts";
import { forksOf, type KnownRoom, knownRoom } from "./room/fork.ts";
import { programLog } from "../../shared/logs/tenant_lines.ts";
import { TimerTrials } from "./room/left_timers.ts";
import { ReducedRoom, type ReducedRoomOptions } from "./room/reduced_room.ts";
import type { FollowedClasses, OpenClasses } from "../classes/followed_classes.ts";
import { TenantFuel } from "./tenant_fuel.ts";
import { ReducerHost } from "./thread/host.ts";
import { type FuelUsage, fuelUsage } from "./usage/fuel_usage.ts";
import { type Shown, shownBy } from "./visible/shown.ts";
import { unlessNewer } from "../../shared/records/stored.ts";
import { CLOCKS_DIFFER_MS } from "../../shared/clock_steps.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";

/** Interval of the checks of idle rooms, in ms. */
const SWEEP_MS = 500;
/** Rooms loaded at a time by such a check. */
const SWEEP_ROOMS = 64;

/** What rooms with reducers need from their Brain. */
interface ReducerServiceOptions
  extends Pick<Env, "spine" | "registry" | "log" | "now" | "monotonic_ms"> {
  readonly config: Pick<Config, "brain" | "limits" | "rooms" | "reducers" | "watchdog" | "usage">;
  readonly view: ClusterView;
  readonly openClasses: OpenClasses;
  /** Reads a file of the configuration; throws when it cannot. */
  readonly readFile: (path: string) => Uint8Array;
  /** Changes of the configuration; absent: there are none. */
  readonly changes?: ConfigChanges | undefined;
}

/** What the rooms of a Brain share. */
interface ReducerStores {
  readonly records: KeyValue;
  readonly objects: ObjectStore;
  readonly host: ReducerHost;
  readonly fuel: TenantFuel;
  readonly usage: FuelUsage;
}

/** The rooms with reducers of a running Brain. */
export class ReducerService implements ReducerCalls {
  readonly #options: ReducerServiceOptions;
  readonly #followed: FollowedClasses;
  readonly #programs: ClassPrograms;
  readonly #parts: RoomParts;
  readonly #metrics: ReducerMetrics;
  readonly #past: ReducerPast;
  readonly #shared: ReducedRoomOptions;
  readonly #removal: ModuleRemoval;
  readonly #usage: FuelUsage;
  /** Loaded rooms; the least recently called first. */
  readonly #rooms = new Map<string, ReducedRoom>();
  readonly #closing = new Map<string, Promise<void>>();
  readonly #known = new KnownRooms();
  readonly #turns = new DueTurns();
  readonly #times: LogTimes;
  readonly #stops: (() => void)[] = [];
  #sweep: ReturnType<typeof setInterval> | undefined;
  #drained: Promise<void> | undefined;

  constructor(
    options: ReducerServiceOptions,
    followed: FollowedClasses,
    programs: ClassPrograms,
    stores: ReducerStores,
  ) {
    const { registry, log, now, view } = options;
    this.#options = options;
    this.#followed = followed;
    this.#programs = programs;
    this.#usage = stores.usage;
    const sum = (of: (room: ReducedRoom) => number) =>
      this.#rooms.values().reduce((all, room) => all + of(room), 0);
    const breakers = createBreakers(BREAKER);
    const cut_off = new CutOffRooms(breakers);
    this.#metrics = createReducerMetrics(registry, {
      rooms: () => this.#rooms.size,
      bytes: () => sum(({ bytes }) => bytes),
      waiting: () => sum(({ waiting }) => waiting),
      asked: () => stores.host.waiting,
      slow_tenants: () => stores.host.slow_tenants,
      cut_off: () => cut_off.count((at) => this.#owns(at)),
      breakers,
    });
    this.#times = new LogTimes({ openLog: (tenant_id) => followed.openLog(tenant_id), now });
    const kept = new KeptPrograms(stores);
    this.#parts = {
      ...stores,
      log,
      now,
      metrics: this.#metrics,
      breakers,
      cut_off,
      lines: programLog(log, now, "reducers"),
      random: randomPool((bytes) => crypto.getRandomValues(bytes)),
      openLog: (tenant_id) => this.#times.open(tenant_id),
      programById: (id) => programs.byId(id),
      keepProgram: (program) => kept.keep(program),
      used: ({ tenant_id, room_id }, units) =>
        stores.usage.used(tenant_id, followed.classes.of(tenant_id, room_id), units),
    };
    this.#shared = this.#sharedByRooms();
    this.#past = new ReducerPast({
      parts: this.#parts,
      metrics: this.#metrics,
      namedFor: (at) => ({ ...this.#namedFor(at), shown: this.#shownOf(at) }),
      requireFew: (at) => this.#requireFew(at),
      forksOf: (at) => forksOf(at, this.#known.all()),
      alone: (at, job) => this.#alone(at, job),
      wake: (at) => this.#wake(at),
    });
    this.#removal = new ModuleRemoval({
      ...stores,
      deployments: programs.deployments,
      openLog: this.#parts.openLog,
      configured: () => programs.modules(),
      owns: () => view.ownerOf(...REMOVAL_KEY) === view.brain_id,
      unused_ms: options.config.brain.reducer_unused_ms,
      metrics: createRemovalMetrics(registry),
      log,
      monotonic_ms: options.monotonic_ms,
    });
    programs.onChange((tenant_id) => this.#migrate(tenant_id));
    const watch = stores.records.watch([], (change) => this.#known.apply(change));
    watch.ready.catch((error) => log.error("rooms with reducers are not known", { error }));
    this.#stops.push(() => watch.stop(), view.onOwnership(() => this.#look()));
    this.#sweep = setInterval(() => this.#look(), SWEEP_MS);
  }

  #sharedByRooms(): ReducedRoomOptions {
    const { config, monotonic_ms } = this.#options;
    const { brain, limits } = config;
    return {
      parts: this.#parts,
      // A new configuration may give a room another reducer; a room without any is closed soon.
      wanted: (at) => {
        const one = this.#classOf(at);
        return one && this.#programs.wanted(one);
      },
      wantedNow: async (at) => {
        const one = this.#classOf(at);
        return one && await this.#programs.wantedNow(one);
      },
      shown: (at) => this.#shownOf(at),
      owns: (at) => this.#owns(at),
      pending_commands: brain.pending_commands,
      idle_ms: brain.reducer_idle_ms,
      command_timeout_ms: limits.command_timeout_ms,
      monotonic_ms,
      left: {
        life: connectionId(this.#parts.random),
        left_ms: leftMs(config),
        trials: new TimerTrials(),
        classOf: ({ tenant_id, room_id }) => this.#followed.classes.of(tenant_id, room_id).pattern,
      },
    };
  }

  /** The thread has died: its rooms are read again on demand. */
  onThreadEnd(detail: string): void {
    this.#metrics.thread_ends.inc();
    this.#options.log.error("the thread that runs reducers has died", { detail });
  }

  call(at: Place, call: WaitingCall): void {
    this.#ask(at, call, (room) => room.call(call));
  }

  values(at: Place, query: WaitingQuery): void {
    const { reducer_visible } = this.#followed.classes.of(at.tenant_id, at.room_id);
    if (reducer_visible.length === 0) return query.answer(nothingShown(at.room_id));
    this.#ask(at, query, (room) => room.values(query));
  }

  #ask(at: Place, { answer }: Pick<WaitingCall, "answer">, ask: (room: ReducedRoom) => void): void {
    const { log } = this.#options;
    this.#roomOf(at).then(ask, (error) => {
      if (error instanceof ArqonError) return answer(error);
      log.error("a call failed", { tenant_id: at.tenant_id, room: at.room_id, error });
      answer(new ArqonError("internal", "", { cause: error }));
    });
  }

  async module(at: Place, from: number): Promise<string> {
    const { reducer_public } = this.#followed.classes.of(at.tenant_id, at.room_id);
    if (!reducer_public) throw noModule(at.room_id);
    return await modulePage(this.#namedFor(at).program, from, this.#parts.host);
  }

  past(at: Place, ask: PastAsk): Promise<string> {
    return this.#past.answer(at, ask);
  }

  cutOff(tenant_id: string): CutOffAnswer {
    const { now, monotonic_ms } = this.#options;
    const ahead_ms = now() - monotonic_ms();
    const all = [...this.#parts.cut_off.of(tenant_id)]
      .filter(({ room_id }) => this.#owns({ tenant_id, room_id }));
    const rooms = all.slice(0, CUT_OFF_MAX).map(({ since_ms, until_ms, ...one }) => {
      const began_ms = Math.round(since_ms + ahead_ms);
      return { ...one, since_ms: began_ms, until_ms: began_ms + Math.round(until_ms - since_ms) };
    });
    return { rooms, total: all.length };
  }

  /** Stores every room, then takes no more calls. Idempotent. */
  drain(): Promise<void> {
    return this.#drained ??= this.#end();
  }

  async #end(): Promise<void> {
    clearInterval(this.#sweep);
    for (const stop of this.#stops.splice(0)) stop();
    this.#programs.close();
    await Promise.all([...this.#rooms.values()].map((room) => this.#close(room)));
    await Promise.all(this.#closing.values());
    await this.#removal.end();
    this.#parts.host.end();
    await this.#usage.close();
  }

  /** Another program is wanted: loaded idle rooms that need a migration get one. */
  #migrate(tenant_id: string): void {
    for (const room of this.#rooms.values()) {
      if (room.at.tenant_id !== tenant_id) continue;
      if (room.has_migration || room.is_set_aside) room.wake();
    }
  }

  /** Timers and deploys of the tenant that waited for its budget may continue. */
  wakeAll(tenant_id: string): void {
    this.#programs.hasOpened(tenant_id);
    for (const room of this.#rooms.values()) if (room.at.tenant_id === tenant_id) room.wake();
  }

  #owns({ tenant_id, room_id }: Place): boolean {
    const { view } = this.#options;
    return view.ownerOf(tenant_id, room_id) === view.brain_id;
  }

  /** The room, after making space for it in memory. Rejects with the refusal of the call. */
  async #roomOf(at: Place): Promise<ReducedRoom> {
    const key = keyOf(at);
    for (;;) {
      if (this.#drained !== undefined) throw new ArqonError("brain-unavailable");
      const closing = this.#closing.get(key);
      if (closing !== undefined) {
        await closing;
        continue;
      }
      const known = this.#rooms.get(key);
      if (known === undefined) {
        const made = this.#make(at);
        const idle = this.#idleInPlaceOf(at.tenant_id);
        if (idle !== undefined) {
          // Everything may have changed meanwhile.
          await this.#close(idle);
          continue;
        }
        this.#rooms.set(key, made);
        return made;
      }
      this.#rooms.delete(key);
      this.#rooms.set(key, known);
      return known;
    }
  }

  /**
   * The room to be closed before another one of the tenant is loaded: of the tenant that holds most, the least recently
   * called. Undefined: there is space. Throws `too-many-pending` if every tenant that holds as much is at work.
   */
  #idleInPlaceOf(tenant_id: string): ReducedRoom | undefined {
    const { reducer_rooms, reducer_bytes } = this.#options.config.brain;
    const rooms = new FairBound(reducer_rooms);
    const bytes = new FairBound(reducer_bytes);
    for (const { at, bytes: size } of this.#rooms.values()) {
      rooms.add(at.tenant_id, 1);
      bytes.add(at.tenant_id, size);
    }
    const full = [rooms, bytes].find((bound) => !bound.hasRoom(tenant_id));
    if (full === undefined) return undefined;
    const heldBy = ({ at }: ReducedRoom) => full.of(at.tenant_id);
    const [idle] = this.#rooms.values()
      .filter((room) => room.is_idle && heldBy(room) >= full.of(tenant_id))
      .toArray().sort((a, b) => heldBy(b) - heldBy(a));
    if (idle !== undefined) return idle;
    this.#metrics.refused.inc();
    const detail = `${rooms.of(tenant_id)} rooms of this tenant have ${bytes.of(tenant_id)} bytes`;
    throw new ArqonError("too-many-pending", detail, { retry_after_ms: 1_000 });
  }

  /** The room's class; undefined: it has no reducer. */
  #classOf({ tenant_id, room_id }: Place): ReducedClass | undefined {
    const { pattern, reducer } = this.#followed.classes.of(tenant_id, room_id);
    return reducer === undefined ? undefined : { tenant_id, pattern, reducer };
  }

  /** Throws `invalid-command` if the room has none. */
  #namedFor(at: Place) {
    const { room_id } = at;
    const one = this.#classOf(at);
    if (one === undefined) throw noReducer(`${room_id} has no reducer`);
    const log_room_id = reducerRoomOf(room_id);
    if (log_room_id === undefined) {
      throw noReducer(`${room_id} is longer than ${REDUCED_UNITS_MAX} characters`);
    }
    const named = this.#programs.named(one.reducer);
    if (named === undefined) throw noReducer(`${room_id}: the reducer ${one.reducer} is unknown`);
    const { program } = this.#programs.wanted(one) ?? named.wanted;
    return { log_room_id, history: named.entry, program };
  }

  #shownOf({ tenant_id, room_id }: Place): Shown {
    return shownBy(this.#followed.classes.of(tenant_id, room_id).reducer_visible);
  }

  /** Throws `invalid-command` if the room has none, and `room-limit`. */
  #make(at: Place): ReducedRoom {
    const { log_room_id, history } = this.#namedFor(at);
    this.#requireFew(at);
    const { tenant_id, room_id } = at;
    return new ReducedRoom({ tenant_id, room_id, log_room_id }, history, this.#shared);
  }

  #requireFew(at: Place): void {
    this.#known.requireFew(at, this.#options.config.brain.rooms_per_tenant);
  }

  #close(room: ReducedRoom): Promise<void> {
    const key = keyOf(room.at);
    const known = this.#closing.get(key);
    if (known !== undefined) return known;
    this.#rooms.delete(key);
    const closing = room.close().finally(() => this.#closing.delete(key));
    this.#closing.set(key, closing);
    return closing;
  }

  /** Runs a job while the room is closed and not loaded again here. */
  async #alone<T>(at: Place, job: () => Promise<T>): Promise<T> {
    const key = keyOf(at);
    for (let other; (other = this.#closing.get(key)) !== undefined;) await other;
    if (this.#drained !== undefined) throw new ArqonError("brain-unavailable");
    const room = this.#rooms.get(key);
    this.#rooms.delete(key);
    const done = (room?.close() ?? Promise.resolve()).then(job);
    // The caller gets the failure.
    const closing = done.then(() => {}, () => {}).finally(() => this.#closing.delete(key));
    this.#closing.set(key, closing);
    return await done;
  }

  #wake(at: Place): void {
    // If the room has no reducer, or there is no space, the next check tries again.
    this.#roomOf(at).then((room) => room.wake(), () => {});
  }

  /**
   * Closes rooms of other owners, idle ones, and those whose class has no reducer any longer; loads rooms with due
   * timers or unpublished entries.
   */
  #look(): void {
    for (const room of [...this.#rooms.values()]) {
      const is_over = room.is_forgotten || room.is_idle && !this.#owns(room.at);
      if (is_over || this.#classOf(room.at) === undefined) void this.#close(room);
    }
    this.#programs.retry();
    void this.#removal.look();
    const { fuel } = this.#parts;
    const isWaiting = (at: KnownRoom) => {
      const key = keyOf(at);
      if (this.#closing.has(key) || this.#rooms.get(key)?.is_loaded || !this.#owns(at)) {
        return false;
      }
      // It waits for its class, and keeps no other room from its turn.
      if (this.#classOf(at) === undefined) return false;
      // Unpublished events do not wait until timers may run.
      return (at.is_behind ? fuel.wait(at.tenant_id) : fuel.timersWait(at.tenant_id)) === 0;
    };
    const isOver = (at: Place, at_ms: number) => this.#times.isOver(at.tenant_id, at_ms);
    const waiting = this.#known.due(isOver).filter(isWaiting);
    for (const at of this.#turns.take(waiting, SWEEP_ROOMS)) this.#wake(at);
  }
}

/**
 * Starts rooms with reducers. Rejects with `spine-unavailable` if a bucket cannot be opened, or with the fault of a
 * module of the configuration.
 */
export async function startReducers(options: ReducerServiceOptions): Promise<ReducerService> {
  const { spine, config } = options;
  let service: ReducerService | undefined;
  const { registry, now, monotonic_ms } = options;
  const records = inShares(await spine.keyValue(REDUCERS_BUCKET));
  const time = new StoreTime({ bucket: records, now, monotonic_ms });
  await time.ask();
  const storeNow = () => time.now();
  const usage = fuelUsage({ ...options, brain_id: options.view.brain_id, storeNow });
  const { budgets } = usage;
  const fuel = new TenantFuel({
    per_second: () => config.brain.reducer_fuel_per_second,
    monotonic_ms,
    used: createFuelMetric(registry),
    budgetWait: (tenant_id) => budgets?.wait(tenant_id) ?? 0,
  });
  const host = new ReducerHost(
    (detail) => service?.onThreadEnd(detail),
    (tenant_id, units) => fuel.spend(tenant_id, units),
    monotonic_ms,
  );
  try {
    const objects = await spine.objects(REDUCER_OBJECTS);
    const followed = await options.openClasses();
    followed.followBudgets((tenant_id, own) => budgets?.setOwn(tenant_id, own));
    followed.deletions.onDeleted(usage.forget);
    options.changes?.follow(["usage.budgets"], () => budgets?.renew());
    const programs = await ClassPrograms.open(options, objects, host, {
      wait: (tenant_id) => Math.max(fuel.wait(tenant_id), budgets?.wait(tenant_id) ?? 0),
      compiled: (one, units) => usage.used(one.tenant_id, one, units),
    });
    const stores = { records, objects, host, fuel, usage };
    const started = service = new ReducerService(options, followed, programs, stores);
    usage.begin((tenant_id) => started.wakeAll(tenant_id));
    return service;
  } catch (error) {
    host.end();
    throw error;
  }
}

/** The round-robin order of a Brain's waiting rooms. */
export class DueTurns {
  /** Rooms that had their turn in this round. */
  #had = new Set<string>();

  /** The next waiting rooms, up to a limit. */
  take<P extends Place>(waiting: Iterable<P>, most: number): P[] {
    const had = new Set<string>();
    const tenants = new Map<string, P[]>();
    for (const at of waiting) {
      const key = keyOf(at);
      if (this.#had.has(key)) had.add(key);
      else tenants.set(at.tenant_id, [...tenants.get(at.tenant_id) ?? [], at]);
    }
    const taken: P[] = [];
    for (let turn = 0; taken.length < most && tenants.size > 0; turn++) {
      for (const [tenant_id, rooms] of tenants) {
        const at = rooms[turn];
        if (at === undefined) tenants.delete(tenant_id);
        else if (taken.push(at) === most) break;
      }
    }
    // With fewer, the round is complete. Rooms that no longer wait are dropped.
    this.#had = taken.length < most ? new Set() : had.union(new Set(taken.map(keyOf)));
    return taken;
  }
}

/** The key of a room among all tenants. */
const keyOf = ({ tenant_id, room_id }: Place): string => `${tenant_id}/${room_id}`;

/** Rooms that have been called. */
class KnownRooms {
  readonly #rooms = new Map<string, KnownRoom>();

  apply({ key: [tenant_id = "", room_id = ""], value }: KvChange): void {
    // The bucket also has the modules being removed.
    if (tenant_id === REMOVAL_KEY[0]) return;
    const key = keyOf({ tenant_id, room_id });
    const record = value && unlessNewer(() => decodeRecord(value));
    // A newer Brain handles it.
    if (record === undefined || record === "newer") this.#rooms.delete(key);
    else this.#rooms.set(key, knownRoom(tenant_id, room_id, record));
  }

  all(): Iterable<KnownRoom> {
    return this.#rooms.values();
  }

  /** Rooms with due timers or unpublished entries; `isOver` says whether a room's time has been reached. */
  due(isOver: (at: KnownRoom, at_ms: number) => boolean): IteratorObject<KnownRoom> {
    return this.#rooms.values().filter((at) =>
      at.is_behind || at.next_ms !== null && isOver(at, at.next_ms)
    );
  }

  /** Throws `room-limit` if another room would exceed the tenant's limit. */
  requireFew(at: Place, rooms_per_tenant: number): void {
    if (this.#rooms.size < rooms_per_tenant || this.#rooms.has(keyOf(at))) return;
    const own = this.#rooms.values().reduce(
      (sum, { tenant_id }) => tenant_id === at.tenant_id ? sum + 1 : sum,
      0,
    );
    if (own >= rooms_per_tenant) throw new ArqonError("room-limit", String(rooms_per_tenant));
  }
}

// The time of rooms with reducers is that of their tenants' logs, the same for all Brains. Wall clocks of two Brains
// differ, and a wrong one would end timers early, or keep them for as long as it was ahead.

interface LogTimesOptions extends Pick<Env, "now"> {
  /** Rejects as `Spine.log`. */
  readonly openLog: (tenant_id: string) => Promise<DurableLog>;
}

/** The logs that this Brain has opened; the Spine limits their number. */
class LogTimes {
  readonly #options: LogTimesOptions;
  readonly #logs = new Map<string, DurableLog>();
  #is_opening = false;

  constructor(options: LogTimesOptions) {
    this.#options = options;
  }

  /** Opens the tenant's log. Rejects as `Spine.log`. */
  async open(tenant_id: string): Promise<DurableLog> {
    const log = await this.#options.openLog(tenant_id);
    this.#logs.set(tenant_id, log);
    return log;
  }

  /**
   * Whether a tenant's room has reached that time. If the log is not open but the time may have come, opens the log for
   * the next call.
   */
  isOver(tenant_id: string, at_ms: number): boolean {
    const log = this.#logs.get(tenant_id);
    if (log !== undefined) return at_ms <= log.now();
    // Any log shows the time of all, so without one the first is opened: this Brain's clock may be days behind.
    const [any] = this.#logs.values();
    const now_ms = any?.now() ?? (this.#is_opening ? this.#options.now() : Infinity);
    if (at_ms <= now_ms + CLOCKS_DIFFER_MS) {
      this.#is_opening = true;
      // The next call tries again, and a room that needs the log reports that it is unreachable.
      this.open(tenant_id).catch(() => {}).finally(() => this.#is_opening = false);
    }
    return false;
  }
}

/** The capability, for a Brain's list. */
export const REDUCERS: BrainCapability = {
  name: "reducers",
  title: "programs of rooms",
  async open(env) {
    const started = env.config.reducers.length === 0 ? undefined : await startReducers(env);
    const calls = started ?? NO_REDUCERS;
    return {
      commands: reducerCommands(calls),
      questions: { cut_off: (params) => calls.cutOff(CutOffQuestion.parse(params).tenant) },
      drain: async () => await started?.drain(),
    };
  },
};
