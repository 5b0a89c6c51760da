/**
 * The schemas that this process needs, kept current. The cache reads the registry when `adoption.ts` reports a change,
 * and whenever a schema reaches its maximum age. While the registry does not answer, it serves what it has. `entry.ts`
 * is one schema in memory; `gate.ts` uses the cache.
 */
import type { Env } from "../../../shared/env.ts";
import { makeAtOnce, type Making } from "../../../shared/turns/making.ts";
import { CachedSchema, type LoadOutcome, type MappedMessage, type SourceTools } from "./entry.ts";
import type { SchemaStore } from "./store.ts";
import type { WorkingSet } from "./working_set.ts";

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
  /** The most cached schemas: `platform.registry.schemas`. */
  readonly schemas_max: number;
  /** The working set, which compiles the schemas' messages. */
  readonly working: WorkingSet;
  /** The tools that cut down large sets. */
  readonly tools: SourceTools;
  readonly onLoaded: (outcome: LoadOutcome) => void;
}

/** A message that a mapping names. */
export interface Wanted {
  readonly schema_id: string;
  readonly message: string;
}

/** The cache of schemas. */
export class SchemaCache {
  readonly #options: SchemaCacheOptions;
  readonly #schemas = new Map<string, CachedSchema>();
  /** The schemas being read; true: read again afterwards. */
  readonly #loading = new Map<string, boolean>();
  readonly #due = new Set<string>();
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

  /** Keeps these messages and no others. Messages above the limit are omitted and logged. */
  want(all: Iterable<Wanted>): void {
    makeAtOnce(this.wanting(all));
  }

  /** As `want`, a message in each step; they are kept with the last one. */
  *wanting(all: Iterable<Wanted>): Making<void> {
    const wanted = new Map<string, Set<string>>();
    let left_out = 0;
    for (const { schema_id, message } of all) {
      const messages = wanted.get(schema_id);
      if (messages !== undefined) messages.add(message);
      else if (wanted.size < this.#options.schemas_max) wanted.set(schema_id, new Set([message]));
      else left_out++;
      yield;
    }
    if (left_out > 0) {
      const { schemas_max, log } = this.#options;
      log.error("more schemas are mapped than platform.registry.schemas", {
        schemas_max,
        mappings: left_out,
      });
    }
    for (const [schema_id, schema] of this.#schemas) {
      if (wanted.has(schema_id)) continue;
      this.#schemas.delete(schema_id);
      schema.want(NO_MESSAGES);
    }
    for (const [schema_id, messages] of wanted) this.#hold(schema_id, messages);
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

  /** Reads a schema now, if it is cached. */
  refresh(schema_id: string): void {
    if (this.#closed || !this.#schemas.has(schema_id)) return;
    if (this.#loading.has(schema_id)) this.#loading.set(schema_id, true);
    else this.#due.add(schema_id);
    this.#begin();
  }

  /** Stops reading; cached messages stay available. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#sweeper);
    this.#wake();
  }

  #hold(schema_id: string, messages: ReadonlySet<string>): void {
    const known = this.#schemas.get(schema_id);
    const { working, tools } = this.#options;
    const schema = known ?? new CachedSchema(schema_id, working, tools);
    this.#schemas.set(schema_id, schema);
    schema.want(messages);
    if (known === undefined || schema.is_due) this.refresh(schema_id);
  }

  #begin(): void {
    for (const schema_id of this.#due) {
      if (this.#loading.size >= LOADS_MAX) return;
      this.#due.delete(schema_id);
      const schema = this.#schemas.get(schema_id);
      if (schema === undefined) continue;
      this.#loading.set(schema_id, false);
      void this.#load(schema);
    }
  }

  async #load(schema: CachedSchema): Promise<void> {
    const { store, monotonic_ms, onLoaded } = this.#options;
    const outcome = await schema.load(store, monotonic_ms);
    const again = this.#loading.get(schema.schema_id) === true;
    this.#loading.delete(schema.schema_id);
    onLoaded(outcome);
    this.#tell(schema, outcome);
    if (again) this.refresh(schema.schema_id);
    if (!this.#closed) this.#begin();
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
      if (now_ms - schema.tried_ms >= pause_ms) this.#due.add(schema.schema_id);
    }
    this.#begin();
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter();
    this.#waiters.clear();
  }
}
