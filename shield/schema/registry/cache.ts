/**
 * The schemas that this process needs, kept current. The cache reads the registry when `adoption.ts` reports a change,
 * and whenever a schema reaches its maximum age. While the registry does not answer, it serves what it has. `gate.ts`
 * uses the cache.
 */
import type { Env } from "../../../shared/env.ts";
import { makeAtOnce, type Making } from "../../../shared/turns/making.ts";
import { fairLevel } from "../../../shared/turns/fair_bound.ts";
import { FairQueue } from "../../../shared/turns/fair_queue.ts";
import { latestOf, type SchemaStore, type SchemaVersion } from "./store.ts";
import { type CompiledSchema, SchemaSource, type WorkingSet } from "./working_set.ts";
import { ArqonError } from "@arqon/proto";
import { turn } from "../../../shared/turns/next_turn.ts";
import { SchemaError } from "../../../shared/schema/schema_error.ts";
import { isSmallSet, problemOfCut, type SetWork } from "./set_work.ts";

// A new version is compiled beside the old one and replaces it in one step. If the newest lacks a message or cannot
// be read, the newest earlier usable one is used, so that a process that has just started uses the same one as a
// process that has seen them all.

/** The most unpacked bytes of a set that is compiled whole. */
const WHOLE_BYTES = 1_048_576;

/**
 * The outcome of a read of the registry. `absent`: there is no such schema. `invalid`: the newest version cannot be
 * used, or lacks a message. `failed`: the registry is unreachable or damaged.
 */
const LOAD_OUTCOMES = ["loaded", "unchanged", "absent", "invalid", "failed"] as const;

/** An outcome of `LOAD_OUTCOMES`. */
export type LoadOutcome = typeof LOAD_OUTCOMES[number];

/** One message of a schema for the gate; `compiled` is the version in force. */
export interface MappedMessage {
  readonly schema: CachedSchema;
  readonly type_name: string;
  /** The version in force; undefined until one was loaded. */
  readonly compiled: CompiledSchema | undefined;
  /** Why the newest version is not in force; "" if it is. */
  readonly problem: string;
}

/** The problem of a message that was not loaded yet. */
const NOT_LOADED = "not loaded yet";

/** The tools that cut messages out of a set. */
interface SourceTools {
  readonly work: Pick<SetWork, "cut">;
  /** `platform.registry.message_parts`. */
  readonly message_parts: number;
}

type Version = Pick<SchemaVersion, "version" | "sha256">;

/**
 * The sources of one version's messages: the whole set if it is small, otherwise the part cut out for each message in a
 * worker. So compiling one takes a limited time, whatever was registered.
 */
interface Opened extends Version {
  readonly whole: SchemaSource | undefined;
  readonly cut: ReadonlyMap<string, SchemaSource | { readonly problem: string }>;
}

/** All sources of a version, each once. */
function sourcesOf(opened: Opened | undefined): SchemaSource[] {
  return [opened?.whole, ...opened?.cut.values() ?? []]
    .filter((source) => source instanceof SchemaSource);
}

type Slot = { -readonly [Key in keyof MappedMessage]: MappedMessage[Key] };

class CachedSchema {
  readonly schema_id: string;
  /** A tenant that wants it; "": the configuration does. */
  tenant_id = "";
  /** Time of the last successful read of the registry, Unix ms; 0: never. */
  confirmed_ms = 0;
  /** Time at which the last read began, Unix ms. */
  tried_ms = 0;
  /** The outcome of the last read; undefined before the first. */
  outcome: LoadOutcome | undefined;
  /** The problems of the schema's messages, as they were last logged. */
  logged = "";
  /** Messages for which earlier versions were searched, each with the newest version that was the reason. */
  readonly #searched = new Map<string, string>();
  readonly #slots = new Map<string, Slot>();
  readonly #working: WorkingSet;
  readonly #tools: SourceTools;
  /** The newest version that could be unpacked. */
  #newest: Opened | undefined;
  /** The newest version that could not even be unpacked. */
  #bad: { readonly sha256: string; readonly problem: string } | undefined;

  constructor(schema_id: string, working: WorkingSet, tools: SourceTools) {
    this.schema_id = schema_id;
    this.#working = working;
    this.#tools = tools;
  }

  /** Whether some wanted message was not loaded yet. */
  get is_due(): boolean {
    return [...this.#slots.values()].some(({ problem }) => problem === NOT_LOADED);
  }

  /** The number of the newest version that could be unpacked; 0 if there is none. */
  get version(): number {
    return this.#newest?.version ?? 0;
  }

  /** Whether the versions in force may be outdated. */
  get isStale(): boolean {
    return this.outcome === "failed" || this.outcome === "absent";
  }

  get messages(): Iterable<MappedMessage> {
    return this.#slots.values();
  }

  /** The bytes of the gzipped sets of the versions in force. */
  get packed_bytes(): number {
    const sources = new Set(sourcesOf(this.#newest));
    for (const { compiled } of this.#slots.values()) {
      if (compiled !== undefined) sources.add(compiled.source);
    }
    return [...sources].reduce((sum, source) => sum + source.packed_bytes, 0);
  }

  /** Keeps these messages and no others; the next read compiles new ones. */
  want(type_names: ReadonlySet<string>): void {
    for (const [name, slot] of this.#slots) {
      if (type_names.has(name)) continue;
      this.#slots.delete(name);
      this.#searched.delete(name);
      this.#working.drop(slot.compiled);
      slot.compiled = undefined;
    }
    for (const type_name of type_names) {
      if (this.#slots.has(type_name)) continue;
      const problem = this.outcome === "absent" ? "it is not registered" : NOT_LOADED;
      this.#slots.set(type_name, { schema: this, type_name, compiled: undefined, problem });
    }
  }

  /** The message; undefined if it is not wanted. */
  get(type_name: string): MappedMessage | undefined {
    return this.#slots.get(type_name);
  }

  /** Reads the registry once. Never rejects. */
  async load(store: SchemaStore, monotonic_ms: () => number): Promise<LoadOutcome> {
    this.tried_ms = monotonic_ms();
    this.outcome = await this.#look(store).catch((error: unknown) => {
      this.#say(reasonOf(error));
      return "failed" as const;
    });
    if (this.outcome !== "failed" && this.outcome !== "absent") this.confirmed_ms = monotonic_ms();
    return this.outcome;
  }

  async #look(store: SchemaStore): Promise<LoadOutcome> {
    const stored = await store.read(this.schema_id);
    if (stored === undefined) {
      this.#say("it is not registered");
      return "absent";
    }
    const { versions } = stored.head;
    const outcome = await this.#lookAt(store, latestOf(stored.head));
    if (outcome === "invalid") await this.#searchBefore(store, versions);
    return outcome;
  }

  async #lookAt(store: SchemaStore, latest: SchemaVersion): Promise<LoadOutcome> {
    const { version, sha256 } = latest;
    if (this.#bad?.sha256 === sha256) {
      this.#say(this.#bad.problem);
      return "invalid";
    }
    const is_new = this.#newest?.sha256 !== sha256 || this.#newest.version !== version;
    const { whole, cut } = this.#newest ?? {};
    const is_lacking = whole === undefined && !this.#slots.keys().every((name) => cut?.has(name));
    if (is_new || is_lacking) {
      const bytes = await store.bytes(this.schema_id, latest);
      try {
        this.#newest = await this.#open(latest, bytes, [...this.#slots.keys()]);
        this.#bad = undefined;
      } catch (error) {
        if (!(error instanceof SchemaError)) throw error;
        this.#bad = { sha256, problem: `version ${version}: ${error.message}` };
        this.#say(this.#bad.problem);
        return "invalid";
      }
    }
    return await this.#compileAll() ? (is_new ? "loaded" : "unchanged") : "invalid";
  }

  /** Finds the newest usable earlier version for each message that the newest version cannot serve. */
  async #searchBefore(store: SchemaStore, versions: readonly SchemaVersion[]): Promise<void> {
    const newest = versions.slice(-1).map(keyOf).join();
    const isOpen = ({ type_name, problem }: Slot) =>
      problem !== "" && problem !== NOT_LOADED && this.#searched.get(type_name) !== newest;
    const open = new Set([...this.#slots.values()].filter(isOpen));
    for (const version of versions.slice(0, -1).reverse()) {
      for (const slot of open) if (isInForce(slot, version)) this.#found(open, slot, newest);
      if (open.size === 0) return;
      const bytes = await store.bytes(this.schema_id, version);
      const names = [...open].map(({ type_name }) => type_name);
      // An unreadable one is skipped.
      const opened = await this.#open(version, bytes, names).catch((error: unknown) => {
        if (!(error instanceof SchemaError)) throw error;
        return undefined;
      });
      for (const slot of open) {
        const { problem } = slot;
        // The message may have been dropped meanwhile.
        const is_wanted = this.#slots.get(slot.type_name) === slot;
        if (!is_wanted || this.#compile(slot, version, opened)) {
          this.#found(open, slot, newest);
        }
        // The problem still says why the newest version is not in force.
        slot.problem = problem;
      }
      for (const source of sourcesOf(opened)) this.#working.closeUnused(source);
    }
    for (const slot of open) {
      this.#working.drop(slot.compiled);
      slot.compiled = undefined;
      this.#found(open, slot, newest);
    }
  }

  /** Opens a version for these messages. Rejects with `SchemaError` if the bytes are not a descriptor set. */
  async #open(
    { version, sha256 }: Version,
    bytes: Uint8Array,
    type_names: readonly string[],
  ): Promise<Opened> {
    const { work, message_parts } = this.#tools;
    if (isSmallSet(bytes, message_parts, WHOLE_BYTES)) {
      const whole = new SchemaSource(version, sha256, bytes);
      whole.open();
      return { version, sha256, whole, cut: new Map() };
    }
    const found = await work.cut(bytes, type_names, message_parts);
    const cut = type_names.map((name) => {
      const one = found[name];
      const source = one === undefined || "problem" in one
        ? { problem: problemOfCut(one) ?? "" }
        : new SchemaSource(version, sha256, one.gzipped);
      return [name, source] as const;
    });
    return { version, sha256, whole: undefined, cut: new Map(cut) };
  }

  #found(open: Set<Slot>, slot: Slot, newest: string): void {
    open.delete(slot);
    this.#searched.set(slot.type_name, newest);
  }

  /**
   * Compiles every message from the newest version, one in each turn of the event loop. Resolves to whether that
   * version is in force for all.
   */
  async #compileAll(): Promise<boolean> {
    const newest = this.#newest;
    if (newest === undefined) return true;
    let all = true;
    let is_first = true;
    for (const slot of [...this.#slots.values()]) {
      if (!is_first) await turn();
      is_first = false;
      // The message is no longer wanted.
      if (this.#slots.get(slot.type_name) !== slot) continue;
      all = this.#compile(slot, newest, newest) && all;
    }
    for (const source of sourcesOf(newest)) this.#working.closeUnused(source);
    return all;
  }

  /** Puts a version in force for a message, unless it is already or cannot be compiled. */
  #compile(slot: Slot, { version, sha256 }: Version, opened: Opened | undefined): boolean {
    const source = opened?.whole ?? opened?.cut.get(slot.type_name);
    if (source === undefined || "problem" in source) {
      // A message may be wanted since the version was opened.
      const problem = source?.problem ?? (opened === undefined ? "it cannot be read" : NOT_LOADED);
      slot.problem = problem === NOT_LOADED ? problem : `version ${version}: ${problem}`;
      return false;
    }
    const before = slot.compiled;
    if (before?.version !== version || before.sha256 !== sha256) {
      try {
        slot.compiled = this.#working.compile(source, slot.type_name);
      } catch (error) {
        if (!(error instanceof SchemaError)) throw error;
        slot.problem = `version ${version}: ${error.message}`;
        return false;
      }
      this.#working.drop(before);
    }
    slot.problem = "";
    return true;
  }

  #say(problem: string): void {
    for (const slot of this.#slots.values()) slot.problem = problem;
  }
}

const keyOf = ({ version, sha256 }: SchemaVersion) => `${version} ${sha256}`;

function isInForce({ compiled }: Slot, { version, sha256 }: SchemaVersion): boolean {
  return compiled?.version === version && compiled.sha256 === sha256;
}

function reasonOf(error: unknown): string {
  if (error instanceof ArqonError && error.cause instanceof Error) return error.cause.message;
  return error instanceof Error ? error.message : String(error);
}

/** The interval of checking ages, in ms. */
const SWEEP_MS = 500;
/** The pause before a failed read is repeated, in ms. */
const RETRY_MS = 2_000;
/** The most concurrent reads of the registry. */
const LOADS_MAX = 16;
/** The most messages of one schema whose problems are logged per read. */
const LINES_MAX = 10;

const NO_MESSAGES: ReadonlySet<string> = new Set();

interface SchemaCacheOptions extends Pick<Env, "log" | "monotonic_ms"> {
  readonly store: SchemaStore;
  /** The age at which a schema is read again, in ms. */
  readonly ttl_ms: number;
  /** The most cached schemas, which tenants share: `platform.registry.schemas`. */
  readonly schemas_max: number;
  /** The working set, which compiles the schemas' messages. */
  readonly working: WorkingSet;
  /** The tools that cut down large sets. */
  readonly tools: SourceTools;
  readonly onLoaded: (outcome: LoadOutcome) => void;
}

/** A message that a mapping of the tenant names; "": the configuration does. */
export interface Wanted {
  readonly tenant_id: string;
  readonly schema_id: string;
  readonly message: string;
}

/** The cache of schemas. */
export class SchemaCache {
  readonly #options: SchemaCacheOptions;
  readonly #schemas = new Map<string, CachedSchema>();
  /** The schemas being read; true: read again afterwards. */
  readonly #loading = new Map<string, boolean>();
  /** The schemas in the queue of reads, in which tenants take turns. */
  readonly #due = new Set<string>();
  readonly #reads = new FairQueue({ running_max: LOADS_MAX, waiting_max: Infinity });
  readonly #waiters = new Set<() => void>();
  readonly #sweeper: ReturnType<typeof setInterval>;
  #closed = false;

  constructor(options: SchemaCacheOptions) {
    this.#options = options;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    Deno.unrefTimer(this.#sweeper);
  }

  get schemas(): ReadonlyMap<string, CachedSchema> {
    return this.#schemas;
  }

  /**
   * Keeps these messages and no others. Schemas above the limit are omitted and logged: of the tenants that want most.
   */
  want(all: Iterable<Wanted>): void {
    makeAtOnce(this.wanting(all));
  }

  /** As `want`, a message in each step; they are kept with the last one. */
  *wanting(all: Iterable<Wanted>): Making<void> {
    const wanted = new Map<string, Set<string>>();
    const by_tenant = new Map<string, Set<string>>();
    for (const { tenant_id, schema_id, message } of all) {
      wanted.set(schema_id, (wanted.get(schema_id) ?? new Set()).add(message));
      by_tenant.set(tenant_id, (by_tenant.get(tenant_id) ?? new Set()).add(schema_id));
      yield;
    }
    const tenants = this.#omit(wanted, by_tenant);
    for (const [schema_id, schema] of this.#schemas) {
      if (wanted.has(schema_id)) continue;
      this.#schemas.delete(schema_id);
      schema.want(NO_MESSAGES);
    }
    for (const [schema_id, messages] of wanted) {
      this.#hold(schema_id, messages, tenants.get(schema_id) ?? "");
    }
  }

  /**
   * Removes the wanted schemas that are above the limit, which tenants share; those of the configuration have
   * precedence. Returns a tenant of each that stays.
   */
  #omit(
    wanted: Map<string, unknown>,
    by_tenant: ReadonlyMap<string, ReadonlySet<string>>,
  ): ReadonlyMap<string, string> {
    const { schemas_max, log } = this.#options;
    const { size = 0 } = by_tenant.get("") ?? {};
    const needs = [...by_tenant].map(([tenant_id, own]) => tenant_id === "" ? 0 : own.size);
    const level = fairLevel(Math.max(0, schemas_max - size), needs);
    const kept = new Map<string, string>();
    for (const [tenant_id, own] of by_tenant) {
      const most = tenant_id === "" ? schemas_max : level;
      for (const schema_id of own.values().take(most)) {
        if (!kept.has(schema_id)) kept.set(schema_id, tenant_id);
      }
    }
    const omitted = wanted.size - kept.size;
    for (const schema_id of wanted.keys()) if (!kept.has(schema_id)) wanted.delete(schema_id);
    if (omitted > 0) {
      const text = "more schemas are mapped than platform.registry.schemas";
      log.error(text, { schemas_max, omitted });
    }
    return kept;
  }

  /** The message; undefined if it is not wanted or was omitted. */
  get(schema_id: string, message: string): MappedMessage | undefined {
    return this.#schemas.get(schema_id)?.get(message);
  }

  /** Resolves once no read is due or running. */
  async settled(): Promise<void> {
    while (!this.#closed && this.#loading.size + this.#due.size > 0) {
      await new Promise<void>((resolve) => this.#waiters.add(resolve));
    }
  }

  refresh(schema_id: string): void {
    if (this.#closed || !this.#schemas.has(schema_id)) return;
    if (this.#loading.has(schema_id)) this.#loading.set(schema_id, true);
    else void this.#read(schema_id);
  }

  /** Stops reading; cached messages stay available. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#sweeper);
    this.#wake();
  }

  #hold(schema_id: string, messages: ReadonlySet<string>, tenant_id: string): void {
    const known = this.#schemas.get(schema_id);
    const { working, tools } = this.#options;
    const schema = known ?? new CachedSchema(schema_id, working, tools);
    this.#schemas.set(schema_id, schema);
    schema.tenant_id = tenant_id;
    schema.want(messages);
    if (known === undefined || schema.is_due) this.refresh(schema_id);
  }

  async #read(schema_id: string): Promise<void> {
    if (this.#due.has(schema_id)) return;
    this.#due.add(schema_id);
    const { tenant_id = "" } = this.#schemas.get(schema_id) ?? {};
    await this.#reads.run(tenant_id, async () => {
      this.#due.delete(schema_id);
      const schema = this.#schemas.get(schema_id);
      if (schema === undefined || this.#closed) return this.#wake();
      this.#loading.set(schema_id, false);
      await this.#load(schema);
    }, () => new Error("the queue of reads has no bound"));
  }

  async #load(schema: CachedSchema): Promise<void> {
    const { store, monotonic_ms, onLoaded } = this.#options;
    const outcome = await schema.load(store, monotonic_ms);
    const again = this.#loading.get(schema.schema_id) === true;
    this.#loading.delete(schema.schema_id);
    onLoaded(outcome);
    this.#tell(schema, outcome);
    if (again) this.refresh(schema.schema_id);
    this.#wake();
  }

  #tell(schema: CachedSchema, outcome: LoadOutcome): void {
    const { log } = this.#options;
    const { schema_id, version } = schema;
    if (outcome === "loaded") log.info("a schema is loaded", { schema: schema_id, version });
    const troubled = [...schema.messages].filter(({ problem }) => problem !== "");
    const text = troubled.map(({ type_name, problem }) => `${type_name}: ${problem}`).join("; ");
    const is_news = text !== schema.logged;
    schema.logged = text;
    // Only changes are logged, since schemas are read repeatedly.
    if (!is_news) return;
    for (const { type_name, compiled, problem } of troubled.slice(0, LINES_MAX)) {
      log.warn("the newest version of a schema is not in force", {
        error: problem,
        schema: schema_id,
        message: type_name,
        serving: compiled === undefined ? "nothing" : `version ${compiled.version}`,
      });
    }
  }

  #sweep(): void {
    const { monotonic_ms, ttl_ms } = this.#options;
    const now_ms = monotonic_ms();
    for (const schema of this.#schemas.values()) {
      const pause_ms = schema.outcome === "failed" ? Math.min(RETRY_MS, ttl_ms) : ttl_ms;
      if (schema.outcome === undefined || this.#loading.has(schema.schema_id)) continue;
      if (now_ms - schema.tried_ms >= pause_ms) void this.#read(schema.schema_id);
    }
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter();
    this.#waiters.clear();
  }
}
