/**
 * Removes unused modules: not deployed, not available to a rollback, in no configuration of this Brain, named by no
 * log. One Brain does it for all; two at a time do no harm. A Brain that begins to need a module meanwhile is seen, or
 * sees that it is being removed (`reducer_record.ts`). If in doubt, everything stays.
 */
import type { Env } from "../../../shared/env.ts";
import { decodeDeployment, encodeDeployment } from "../../../shared/records/reducer_deployment.ts";
import type { ReducerDeployment } from "../../../shared/records/reducer_deployment.ts";
import type { RoomRecord } from "../../../shared/records/reducer_record.ts";
import {
  decodeRecord,
  decodeRemoval,
  encodeRemoval,
  moduleName,
  REMOVAL_KEY,
} from "../../../shared/records/reducer_record.ts";
import { isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvEntry, ObjectStore } from "../../../shared/spine/contract/spine.ts";
import { moduleOf, nameOfProgram, programIn } from "../log/program.ts";
import type { RemovalMetrics } from "../metrics.ts";
import { reducerRoomOf } from "../../../shared/rooms/reserved.ts";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import { readPage } from "../../../shared/spine/contract/read_page.ts";
import { listOnce } from "../../../shared/spine/contract/list_once.ts";
import { sourcesOf } from "../room/fork.ts";
import { batchOf, logFloor } from "../room/stored_data.ts";

/** Modules that are removed together. */
const TOGETHER = 64;
/** Between the mark and the last check for needs, in ms: replicas have both by then. */
export const SETTLE_MS = 10_000;
/** A module may still be removed for so long after that check. */
const LOOK_MS = 60_000;
/** A mark of another Brain that is not executed for so long is stale. */
export const LEFT_MS = 600_000;
/** The shortest and longest interval of passes. */
const PASS_MIN_MS = 1_000;
const PASS_MAX_MS = 900_000;

/** The dependencies and settings of `ModuleRemoval`. */
export interface ModuleRemovalOptions extends NeedSources, Pick<Env, "log" | "monotonic_ms"> {
  readonly objects: Pick<ObjectStore, "get" | "list" | "delete">;
  readonly configured: () => Iterable<string>;
  /** Whether this Brain is the one that removes modules. */
  readonly owns: () => boolean;
  /** How long a module must be unused before it is removed, in ms. */
  readonly unused_ms: number;
  readonly metrics: RemovalMetrics;
}

interface Look {
  readonly stored: StoredPrograms;
  readonly deployments: readonly StoredDeployment[];
  readonly unused: ReadonlySet<string>;
}

interface Marked {
  readonly number: number;
  readonly modules: readonly string[];
  readonly revision: number;
  readonly at_ms: number;
}

/** Removes unused modules whenever `look` is called. */
export class ModuleRemoval {
  readonly #options: ModuleRemovalOptions;
  /** When each module was first seen unused. */
  readonly #since = new Map<string, number>();
  readonly #programs = new Map<string, string>();
  #marked: Marked | undefined;
  /** The mark of another Brain, and when this Brain first saw it. */
  #foreign: { readonly revision: number; readonly since_ms: number } | undefined;
  #next_ms: number;
  #running: Promise<void> | undefined;
  #is_ended = false;

  constructor(options: ModuleRemovalOptions) {
    this.#options = options;
    this.#next_ms = options.monotonic_ms() + this.#pause_ms;
  }

  get #pause_ms(): number {
    return Math.min(PASS_MAX_MS, Math.max(PASS_MIN_MS, this.#options.unused_ms / 4));
  }

  /** Runs a pass if one is due. Resolves when it is done; never rejects. */
  look(): Promise<void> {
    const { owns, monotonic_ms } = this.#options;
    if (this.#running !== undefined) return this.#running;
    if (this.#is_ended) return Promise.resolve();
    if (!owns()) {
      this.#forget();
      return Promise.resolve();
    }
    const now_ms = monotonic_ms();
    if (now_ms < this.#next_ms) return Promise.resolve();
    const work = this.#marked === undefined ? this.#mark() : this.#remove(this.#marked);
    return this.#running = work.catch((error) => this.#failed(error)).finally(() => {
      this.#running = undefined;
      const settle_ms = Math.min(SETTLE_MS, this.#options.unused_ms);
      this.#next_ms = monotonic_ms() + (this.#marked ? settle_ms : this.#pause_ms);
    });
  }

  /** Resolves when nothing is running; nothing is started afterwards. */
  async end(): Promise<void> {
    this.#is_ended = true;
    await this.#running;
  }

  #forget(): void {
    this.#since.clear();
    this.#marked = undefined;
    this.#foreign = undefined;
    this.#options.metrics.modules({ stored: 0, unused: 0 });
  }

  #failed(error: unknown): void {
    const { metrics, log } = this.#options;
    // Marked modules may be removed for a while; the next mark checks everything again.
    this.#marked = undefined;
    metrics.removals.inc({ outcome: "unsure" });
    const text = "old modules of reducers stay: who needs them cannot be said";
    if (error instanceof Unsure) log.warn(text, { detail: error.message });
    else log.warn(text, { error });
  }

  /** Reads everything stored. */
  async #see(among?: readonly string[]): Promise<Look> {
    const { objects, deployments: bucket, configured } = this.#options;
    const stored = await storedPrograms(objects, this.#programs);
    const deployments = await storedDeployments(bucket);
    const needed = deployedModules(deployments).union(new Set(configured()));
    const listed = deployments.flatMap(({ deployment: { modules } }) => modules);
    const all = new Set(among ?? [...stored.modules.keys(), ...listed]);
    return {
      stored,
      deployments,
      unused: await unneeded(all.difference(needed), stored, this.#options),
    };
  }

  /** Marks modules that have been unused for long enough. */
  async #mark(): Promise<void> {
    const { records, unused_ms, monotonic_ms, metrics } = this.#options;
    const { stored, unused } = await this.#see();
    const now_ms = monotonic_ms();
    for (const module of this.#since.keys()) if (!unused.has(module)) this.#since.delete(module);
    for (const module of unused) this.#since.set(module, this.#since.get(module) ?? now_ms);
    metrics.modules({ stored: stored.modules.size, unused: unused.size });
    const due = [...this.#since].filter(([, since_ms]) => now_ms - since_ms >= unused_ms);
    const before = await records.get(REMOVAL_KEY);
    const { number, modules: others } = decodeRemoval(before?.value);
    const revision = before?.revision ?? 0;
    if (others.length > 0 && !this.#isLeft(revision, now_ms)) return;
    // With nothing to remove, a stale mark is cleared, since its modules may be needed again and nobody else clears it.
    if (due.length === 0 && others.length === 0) return;
    const modules = due.slice(0, TOGETHER).map(([module]) => module);
    const next = { number: modules.length === 0 ? number : number + 1, modules };
    try {
      const written = await records.update(REMOVAL_KEY, encodeRemoval(next), revision);
      if (modules.length > 0) this.#marked = { ...next, revision: written, at_ms: now_ms };
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }

  /** Whether nobody works on the marked modules. */
  #isLeft(revision: number, now_ms: number): boolean {
    if (this.#foreign?.revision !== revision) this.#foreign = { revision, since_ms: now_ms };
    return now_ms - this.#foreign.since_ms >= LEFT_MS;
  }

  /** Removes the marked modules unless they are needed by now. */
  async #remove({ number, modules, revision, at_ms }: Marked): Promise<void> {
    const { records, objects, monotonic_ms, metrics, log } = this.#options;
    const until_ms = monotonic_ms() + LOOK_MS;
    // Another Brain may consider the mark stale by then.
    if (until_ms - at_ms >= LEFT_MS) throw new Unsure("this Brain was stalled");
    const { stored, deployments, unused } = await this.#see(modules);
    for (const module of unused.difference(await this.#unlist(unused, deployments))) {
      const programs = (stored.modules.get(module) ?? []).map(nameOfProgram);
      // The module last: whoever finds a program finds its module, too.
      for (const name of [...programs, moduleName(module)]) {
        if (monotonic_ms() > until_ms) throw new Unsure("this Brain was stalled");
        await objects.delete(name);
      }
      this.#since.delete(module);
      metrics.removals.inc({ outcome: "removed" });
      log.info("a module that no room needs was removed", { module });
    }
    await records.update(REMOVAL_KEY, encodeRemoval({ number, modules: [] }), revision);
    this.#marked = undefined;
  }

  /** Removes the modules from the lists of classes. Returns those that a class may have got again meanwhile. */
  async #unlist(
    gone: ReadonlySet<string>,
    deployments: readonly StoredDeployment[],
  ): Promise<Set<string>> {
    const again = new Set<string>();
    for (const { key, revision, deployment } of deployments) {
      const modules = deployment.modules.filter((one) => !gone.has(one));
      if (modules.length === deployment.modules.length) continue;
      const document = encodeDeployment({ ...deployment, modules });
      await this.#options.deployments.update(key, document, revision).catch((error) => {
        if (!isConflict(error)) throw error;
        for (const one of deployment.modules) if (gone.has(one)) again.add(one);
      });
    }
    return again;
  }
}

// Which modules are needed. Reads only; rejects with `Unsure` if it cannot tell, and then nothing may be removed.

const READ = { limit: 512, max_bytes: 4_194_304 };
const MODULE_NAME = /^module-([0-9a-f]{64})$/;

/** It is unknown which modules are needed. */
class Unsure extends Error {
  override readonly name = "Unsure";
}

/** Where the needs are read. */
interface NeedSources {
  readonly records: KeyValue;
  readonly deployments: KeyValue;
  readonly objects: Pick<ObjectStore, "get" | "list">;
  readonly openLog: (tenant_id: string) => Promise<DurableLog>;
}

interface StoredPrograms {
  /** The programs of each module, by its digest. */
  readonly modules: ReadonlyMap<string, readonly string[]>;
  readonly programs: ReadonlyMap<string, string>;
}

interface StoredDeployment extends Pick<KvEntry, "key" | "revision"> {
  readonly deployment: ReducerDeployment;
}

/** The modules and programs that are stored. `known`: programs that were read before; extended by those read now. */
async function storedPrograms(
  objects: Pick<ObjectStore, "get" | "list">,
  known: Map<string, string>,
): Promise<StoredPrograms> {
  const modules = new Map<string, string[]>();
  const programs = new Map<string, string>();
  for (const { name } of await objects.list()) {
    const [, stored] = MODULE_NAME.exec(name) ?? [];
    if (stored !== undefined) modules.set(stored, modules.get(stored) ?? []);
    const id = programIn(name);
    const module = id && (known.get(id) ?? await moduleOf(objects, id));
    if (id === undefined || module === undefined) continue;
    programs.set(id, module);
    modules.getOrInsert(module, []).push(id);
  }
  known.clear();
  for (const [id, module] of programs) known.set(id, module);
  return { modules, programs };
}

async function storedDeployments(bucket: KeyValue): Promise<StoredDeployment[]> {
  return (await listOnce(bucket)).map(({ key, value, revision }) => {
    const deployment = decodeDeployment(value);
    if (deployment !== undefined) return { key, revision, deployment };
    throw new Unsure(`what is deployed to ${key.join("/")} cannot be read`);
  });
}

/** The modules that are deployed, or that a rollback can reach. */
function deployedModules(deployments: readonly StoredDeployment[]): Set<string> {
  const all = deployments.flatMap(({ deployment: { current, before } }) => [current, ...before]);
  return new Set(all.map(({ module }) => module));
}

interface Room {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly record: RoomRecord;
}

async function storedRooms(bucket: KeyValue): Promise<Room[]> {
  const rooms: Room[] = [];
  for (const { key: [tenant_id = "", room_id = ""], value } of await listOnce(bucket)) {
    if (tenant_id === "*") continue;
    const record = decodeRecord(value);
    if (record === undefined) throw new Unsure(`the record of ${tenant_id}/${room_id} is none`);
    rooms.push({ tenant_id, room_id, record });
  }
  return rooms;
}

const keyOf = (tenant_id: string, room_id: string) => `${tenant_id}/${room_id}`;

/** Rooms whose past a fork without a snapshot reads, directly or through other forks. */
function readByForks(rooms: readonly Room[]): Set<string> {
  const known = new Map(rooms.map((room) => [keyOf(room.tenant_id, room.room_id), room]));
  const read = new Set<string>();
  for (const { tenant_id, room_id } of rooms.filter((room) => room.record.snapshot === "")) {
    const sourceOf = (name: string) => known.get(keyOf(tenant_id, name))?.record.fork?.room_id;
    for (const source of sourcesOf(room_id, sourceOf)) {
      const key = keyOf(tenant_id, source);
      // Another fork has visited it and all its sources.
      if (read.has(key)) break;
      read.add(key);
    }
  }
  return read;
}

/** The first entry that the room needs of its log. */
async function floorOf(
  { record, room_id }: Room,
  durable: DurableLog,
): Promise<number> {
  const log_room_id = reducerRoomOf(room_id);
  // In another incarnation of the log, nothing is known of it yet.
  if (log_room_id === undefined || record.stream !== durable.stream) return 0;
  return await logFloor(durable, log_room_id) ?? (record.is_behind ? 0 : Infinity);
}

/** The programs of entries up to `to` that the record does not list, read from the log. */
async function programsUpTo(
  { room_id }: Room,
  to: number,
  durable: DurableLog,
): Promise<Set<string>> {
  const found = new Set<string>();
  const log_room_id = reducerRoomOf(room_id);
  if (log_room_id === undefined) return found;
  for (let after = 0;;) {
    const page = await readPage(durable, log_room_id, { after, ...READ });
    for (const message of page.messages) {
      const batch = batchOf(message);
      if (batch.after >= to) return found;
      if (batch.entries.length > 0) found.add(batch.program);
      after = message.offset;
    }
    if (!page.more || page.messages.length === 0) return found;
  }
}

/** The modules that a room may need, among the candidates for removal. */
async function neededBy(
  room: Room,
  { programs }: StoredPrograms,
  may_go: ReadonlySet<string>,
  is_read: boolean,
  openLog: NeedSources["openLog"],
): Promise<string[]> {
  const { record, tenant_id } = room;
  const { from, named } = record.programs;
  const own = record.program === undefined ? [] : [record.program.id];
  const ids = new Set([...own, ...named.filter(({ to }) => to === null).map(({ id }) => id)]);
  const before = named.filter(({ id, to }) => to !== null && !ids.has(id));
  if (is_read) { for (const { id } of before) if (programs.has(id)) ids.add(id); }
  // The log is only read for candidates that are not known to be needed.
  const in_doubt = before.filter(({ id }) =>
    !ids.has(id) && (!programs.has(id) || may_go.has(programs.get(id)!))
  );
  if (in_doubt.length > 0 || from > 0) {
    const durable = await openLog(tenant_id);
    const floor = await floorOf(room, durable);
    for (const { id, to } of in_doubt) if (to! > floor) ids.add(id);
    if (from > floor) { for (const id of await programsUpTo(room, from, durable)) ids.add(id); }
  }
  return [...ids].map((id) => {
    const module = programs.get(id);
    if (module !== undefined) return module;
    throw new Unsure(`${tenant_id}/${room.room_id} needs the program ${id}, which is not stored`);
  });
}

/** Those modules that no room needs. */
async function unneeded(
  may_go: ReadonlySet<string>,
  stored: StoredPrograms,
  { records, openLog }: Pick<NeedSources, "records" | "openLog">,
): Promise<Set<string>> {
  const left = new Set(may_go);
  if (left.size === 0) return left;
  const rooms = await storedRooms(records);
  const read = readByForks(rooms);
  for (const room of rooms) {
    const is_read = read.has(keyOf(room.tenant_id, room.room_id));
    for (const module of await neededBy(room, stored, may_go, is_read, openLog)) {
      left.delete(module);
    }
  }
  return left;
}
