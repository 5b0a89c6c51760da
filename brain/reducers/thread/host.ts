/**
 * The Brain's side of the worker that runs reducers: requests with answers. If the worker dies, its rooms are lost, and
 * the next request starts another. `reducer_thread.ts` is the worker.
 */
import { ArqonError } from "@arqon/proto";
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import { AskedThread } from "../../../shared/process/asked_thread.ts";
import { createPace, LONG_FUEL } from "../../../shared/rates/pace.ts";
import { createTurns, UNBOUNDED } from "../../../shared/turns/tenant_turns.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { MIGRATE_EXPORT } from "../../../wasm/reducer/room_abi.ts";
import type { RunnableProgram } from "../log/program.ts";
import type { LogEntry } from "../state/room_state.ts";
import type { PageAsked, ShownPage } from "../visible/shown.ts";
import { packEntries, unpackApplied } from "./protocol.ts";
import type {
  Applied,
  CompiledProgram,
  RoomStanding,
  ShownRoom,
  ThreadAnswer,
  ThreadRequest,
} from "./protocol.ts";
import type { ShowOptions } from "./shown_values.ts";
import { compileUnits, complexUnits, packUnits, UNITS_PER_MS } from "./thread_price.ts";
import type { CompileReply, CompileRequest, CompileWork } from "./compile_thread.ts";

type Answered = Exclude<ThreadAnswer, { failed: string }>;
type Asked = ThreadRequest extends infer One ? One extends ThreadRequest ? Omit<One, "id"> : never
  : never;

/** A room that is open in the worker. */
export interface OpenRoom {
  readonly handle: number;
  readonly standing: RoomStanding;
}

/** The outcomes of entries, and the units used. */
interface AppliedEntries {
  readonly applied: readonly Applied[];
  readonly standing: RoomStanding;
  readonly units: number;
}

/** Fuel of one slice, at most 20 ms: the remaining entries wait so that other rooms run. */
const TURN_FUEL = 40_000;
/** The same for tenants with long commands: at most 5 ms. */
const SLOW_TURN_FUEL = 10_000;
/** The tenant of requests without one. */
const NOBODY = "";
/** Requests in the worker at a time: the running one and the next. */
const IN_THREAD = 2;
/** Programs in the worker at a time, least recently used removed first. */
const PROGRAMS_MAX = 1_024;

interface Waiting extends PromiseWithResolvers<Answered> {
  readonly tenant_id: string;
  readonly room: number | undefined;
}

const unavailable = (detail: string) =>
  new ArqonError("brain-unavailable", "", { cause: new Error(detail) });

/** Runs reducers; tenants take turns by used time. Its methods reject with `brain-unavailable` if the worker failed. */
export class ReducerHost {
  readonly #onSpent: (tenant_id: string, units: number) => void;
  readonly #compiling = new Compiling();
  readonly #thread: AskedThread<ThreadRequest, ThreadAnswer, Waiting>;
  readonly #pace = createPace();
  readonly #monotonic_ms: () => number;
  /** The queue: at most a few requests of each loaded room. */
  readonly #turns = createTurns<{ request: ThreadRequest; tenant_id: string }>(UNBOUNDED);
  #in_thread = 0;
  /** The running request of a slow tenant. */
  #slow_id: number | undefined;
  readonly #tenants = new Map<number, string>();
  readonly #programs = new BoundedMap<string, string>(PROGRAMS_MAX);
  #last_room = 0;

  /** `onEnd` is called when the worker died, `onSpent` with the units used for a tenant. */
  constructor(
    onEnd: (detail: string) => void,
    onSpent: (tenant_id: string, units: number) => void = () => {},
    monotonic_ms: () => number = () => performance.now(),
  ) {
    this.#monotonic_ms = monotonic_ms;
    this.#onSpent = onSpent;
    this.#thread = new AskedThread<ThreadRequest, ThreadAnswer, Waiting>({
      start: () =>
        new Worker(new URL("./reducer_thread.ts", import.meta.url), {
          type: "module",
          name: "reducers",
        }),
      settle: (waiting, answer) => this.#settle(waiting, answer),
      died: (detail) => {
        this.#fail(detail);
        onEnd(detail);
      },
    });
  }

  /** How many tenants have long commands. */
  get slow_tenants(): number {
    return this.#pace.slow(this.#monotonic_ms());
  }

  /** Unanswered requests. */
  get waiting(): number {
    return this.#thread.waiting;
  }

  /** Opens a room with that state; undefined: an empty one. Rejects with `log-unavailable` if the bytes are damaged. */
  async open(
    { tenant_id, room_id }: { readonly tenant_id: string; readonly room_id: string },
    snapshot: Uint8Array | undefined,
  ): Promise<OpenRoom> {
    const room = ++this.#last_room;
    this.#tenants.set(room, tenant_id);
    const { standing } = await this.#ask({ kind: "open", room, room_id, snapshot });
    return { handle: room, standing: standing! };
  }

  /**
   * Applies entries in order and returns the changes of visible values; with `may_stop`, as many entries as fit one
   * slice. If it rejects, the room is closed.
   */
  async apply(
    handle: number,
    program: RunnableProgram,
    entries: readonly LogEntry[],
    { may_stop, shown }: { readonly may_stop: boolean; readonly shown: readonly string[] },
  ): Promise<AppliedEntries> {
    const all: Applied[] = [];
    let all_units = 0;
    for (;;) {
      const tenant_id = this.#tenants.get(handle) ?? NOBODY;
      // Other requests ran meanwhile, and the program may have been evicted.
      await this.#have(program, tenant_id);
      const turn_fuel = this.#isSlow(tenant_id) ? SLOW_TURN_FUEL : TURN_FUEL;
      const { applied, standing, units } = await this.#ask({
        ...{ kind: "apply", room: handle, program: program.id } as const,
        entries: packEntries(entries.slice(all.length)),
        shown,
        turn_fuel,
        may_stop,
      });
      const some = unpackApplied(applied!);
      all.push(...some);
      if (units > LONG_FUEL * UNITS_PER_FUEL * some.length) {
        this.#pace.long(tenant_id, this.#monotonic_ms());
      }
      all_units += units;
      if (!may_stop && all.length < entries.length) continue;
      return { applied: all, standing: standing!, units: all_units };
    }
  }

  /** Whether a room remembers the answers to commands, each by sender and id. */
  async remembers(
    handle: number,
    commands: readonly (readonly [user_id: string, id: string])[],
  ): Promise<readonly boolean[]> {
    return (await this.#ask({ kind: "remembers", room: handle, commands })).remembered!;
  }

  /** The state of a room as bytes. */
  async snapshot(handle: number): Promise<Uint8Array> {
    const tenant_id = this.#tenants.get(handle) ?? NOBODY;
    const { snapshot, unpacked } = await this.#ask({ kind: "snapshot", room: handle });
    if (unpacked === undefined) return snapshot!;
    this.#onSpent(tenant_id, packUnits(unpacked));
    return await this.#compiling.pack(unpacked, tenant_id);
  }

  async values(handle: number, asked: PageAsked): Promise<ShownPage> {
    return (await this.#ask({ kind: "values", room: handle, asked })).page!;
  }

  /** The room continues under another id, perhaps without its timers. */
  async become(handle: number, room_id: string, with_timers: boolean): Promise<RoomStanding> {
    return (await this.#ask({ kind: "become", room: handle, room_id, with_timers })).standing!;
  }

  /** The room continues after lost entries. */
  async skip(handle: number, offset: number): Promise<RoomStanding> {
    return (await this.#ask({ kind: "skip", room: handle, offset })).standing!;
  }

  /** The content of a room; with an entry, applies that and returns its changes. */
  async show(
    handle: number,
    next: { readonly entry: LogEntry; readonly program: RunnableProgram } | undefined,
    options: ShowOptions,
  ): Promise<{ readonly standing: RoomStanding; readonly shown: ShownRoom }> {
    if (next !== undefined) await this.#have(next.program, this.#tenants.get(handle));
    const program = next?.program.id ?? "";
    const request = { kind: "show", room: handle, entry: next?.entry, program, options } as const;
    const { standing, shown } = await this.#ask(request);
    return { standing: standing!, shown: shown! };
  }

  /** Keeps an idle room in less memory. */
  rest(handle: number): void {
    this.#tell({ kind: "rest", room: handle });
  }

  /** Lets a room go. */
  close(handle: number): void {
    this.#tell({ kind: "close", room: handle });
    this.#tenants.delete(handle);
  }

  /**
   * Compiles and loads a program for a tenant, so that a fault is known before the first call. Rejects with the fault.
   * True: it can migrate a room of another module.
   */
  async check(program: RunnableProgram, tenant_id = NOBODY): Promise<boolean> {
    // Whatever the outcome.
    this.#onSpent(tenant_id, compileUnits(program));
    const made = await this.#compiling.compile(program, tenant_id);
    this.#onSpent(tenant_id, complexUnits(made.metered.cost));
    // Its schema is checked here.
    const { schema: _schema, bytes: _bytes, ...loaded } = program;
    await this.#ask({ kind: "program", program: loaded, ...made }, tenant_id);
    this.#use(program.id);
    return WebAssembly.Module.exports(made.compiled).some(({ name }) => name === MIGRATE_EXPORT);
  }

  metered(program: RunnableProgram): Promise<Uint8Array> {
    return this.#compiling.metered(program, NOBODY);
  }

  async #have(program: RunnableProgram, tenant_id?: string): Promise<void> {
    if (this.#programs.get(program.id) === undefined) await this.check(program, tenant_id);
    this.#use(program.id);
  }

  #use(id: string): void {
    const program = this.#programs.renew(id, id);
    if (program !== undefined) this.#tell({ kind: "forget", program });
  }

  #tell(asked: Asked): void {
    // It fails only with the worker, which then has neither rooms nor programs.
    this.#ask(asked).catch(() => {});
  }

  end(): void {
    this.#compiling.end("the Brain ends");
    this.#fail("the Brain ends");
  }

  #ask(request: Asked, of_tenant = NOBODY): Promise<Answered> {
    const room = "room" in request ? request.room : undefined;
    const tenant_id = room === undefined ? of_tenant : this.#tenants.get(room) ?? of_tenant;
    const waiting = { ...Promise.withResolvers<Answered>(), tenant_id, room };
    const id = this.#thread.add(waiting);
    this.#turns.push(tenant_id, { request: { ...request, id }, tenant_id }, 0);
    this.#send();
    return waiting.promise;
  }

  #isSlow(tenant_id: string): boolean {
    return this.#pace.isSlow(tenant_id, this.#monotonic_ms());
  }

  #send(): void {
    // All slow tenants share one slot, so that nobody waits for two of their slices.
    const mayGo = (tenant_id: string) => this.#slow_id === undefined || !this.#isSlow(tenant_id);
    while (this.#in_thread < IN_THREAD) {
      const next = this.#turns.take(mayGo);
      if (next === undefined) return;
      this.#in_thread++;
      if (this.#isSlow(next.tenant_id)) this.#slow_id = next.request.id;
      this.#thread.send(next.request);
    }
  }

  #settle(waiting: Waiting, answer: ThreadAnswer): void {
    this.#in_thread--;
    if (this.#slow_id === answer.id) this.#slow_id = undefined;
    const units = answer.units + answer.made_units;
    this.#turns.charge(waiting.tenant_id, units / UNITS_PER_MS);
    this.#onSpent(waiting.tenant_id, units);
    this.#send();
    if (!("failed" in answer)) return waiting.resolve(answer);
    // The room is closed then.
    if (waiting.room !== undefined) this.#tenants.delete(waiting.room);
    const cause = new Error(answer.failed);
    const reason = answer.is_damaged ? "log-unavailable" : "brain-unavailable";
    waiting.reject(new ArqonError(reason, "", { cause }));
  }

  #fail(detail: string): void {
    this.#programs.clear();
    this.#turns.drain();
    this.#in_thread = 0;
    this.#slow_id = undefined;
    this.#tenants.clear();
    this.#thread.end(unavailable(detail));
  }
}

type Done = Exclude<CompileReply, { failed: string }>;
type Made = Extract<Done, { metered: unknown }>;
type Packed = Extract<Done, { packed: unknown }>;
type ProgramSource = Pick<RunnableProgram, "id" | "bytes" | "memory_limit_pages" | "price_version">;

interface QueuedWork {
  readonly tenant_id: string;
  readonly request: CompileRequest;
  /** Its price as far as it is known. */
  readonly units: number;
}

/** The worker for what takes long, which starts with the first work; if it dies, the next starts another. */
export class Compiling {
  readonly #thread = new AskedThread<CompileRequest, CompileReply, PromiseWithResolvers<Done>>({
    start: () =>
      new Worker(new URL("./compile_thread.ts", import.meta.url), {
        type: "module",
        name: "reducer-compiling",
      }),
    settle: ({ resolve, reject }, reply) => {
      this.#is_busy = false;
      this.#send();
      if ("failed" in reply) reject(unavailable(reply.failed));
      else resolve(reply);
    },
    died: (detail) => this.end(detail),
  });
  /** The queue: at most one module for each class of rooms, and for each room being read; a snapshot of each room. */
  readonly #turns = createTurns<QueuedWork>(UNBOUNDED);
  #is_busy = false;
  /** Programs that are being compiled: many rooms may need one at once. */
  readonly #programs = new Map<string, Promise<CompiledProgram>>();

  /** Rejects with `brain-unavailable`, with the fault as its cause. */
  compile(program: ProgramSource, tenant_id: string): Promise<CompiledProgram> {
    const known = this.#programs.get(program.id);
    if (known !== undefined) return known;
    const making = this.#make(program, true, tenant_id).then(
      ({ compiled, metered: { cost, renewal } }) => {
        return { compiled: compiled!, metered: { cost, renewal } };
      },
    ).finally(() => this.#programs.delete(program.id));
    this.#programs.set(program.id, making);
    return making;
  }

  /** The metered bytes of a program. Rejects as `compile`. */
  async metered(program: ProgramSource, tenant_id: string): Promise<Uint8Array> {
    return (await this.#make(program, false, tenant_id)).metered.bytes;
  }

  /** A compressed snapshot. Rejects as `compile`. */
  async pack(snapshot: Uint8Array, tenant_id: string): Promise<Uint8Array> {
    const done = await this.#ask({ snapshot }, tenant_id, packUnits(snapshot));
    return (done as Packed).packed;
  }

  /** Ends the worker; running work is rejected. */
  end(detail: string): void {
    this.#turns.drain();
    this.#is_busy = false;
    this.#thread.end(unavailable(detail));
  }

  async #make(
    { bytes, memory_limit_pages, price_version }: ProgramSource,
    compiles: boolean,
    tenant_id: string,
  ): Promise<Made> {
    const work = { bytes, memory_limit_pages, price_version, compiles };
    const made = await this.#ask(work, tenant_id, compileUnits(work)) as Made;
    this.#turns.charge(tenant_id, complexUnits(made.metered.cost) / UNITS_PER_MS);
    return made;
  }

  #ask(work: CompileWork, tenant_id: string, units: number): Promise<Done> {
    const waiting = Promise.withResolvers<Done>();
    const id = this.#thread.add(waiting);
    this.#turns.push(tenant_id, { tenant_id, request: { ...work, id }, units }, 0);
    this.#send();
    return waiting.promise;
  }

  #send(): void {
    const next = this.#is_busy ? undefined : this.#turns.take();
    if (next === undefined) return;
    this.#is_busy = true;
    this.#turns.charge(next.tenant_id, next.units / UNITS_PER_MS);
    this.#thread.send(next.request);
  }
}
