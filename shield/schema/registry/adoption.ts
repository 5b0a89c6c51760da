/**
 * Judges what other tools put into the bucket of current sets. A put that passes the checks of a
 * registration becomes the next version. Every other put is refused, and the newest version is put
 * back, so that readers of the bucket read what is in force. Every Shield does this: a random wait lets
 * one of them be first, and compare-and-set makes sure that only one is. What is known of the buckets
 * is `put_table.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../../shared/env.ts";
import type { KvChange, KvWatch } from "../../../shared/spine/contract/spine.ts";
import { latestOf } from "./schema_record.ts";
import type { Refusal } from "./schema_record.ts";
import type { PutTable } from "./put_table.ts";
import { IncompatibleError, registerPut, restore } from "./register.ts";
import type { SetWork } from "./set_work.ts";
import { isJudged, remainsOf } from "./stored_set.ts";
import type { StoredSet } from "./stored_set.ts";
import type { SchemaStore } from "./store.ts";

/**
 * The longest wait before a put is judged, in ms: the Shield that is first spares the others the work.
 */
const JITTER_MS = 250;
/** The pause before something that failed is tried again, in ms. */
const RETRY_MS = 2_000;
/** The longest reason of a refusal, in UTF-16 units. */
const PROBLEM_UNITS = 500;

/** The outcome of a put that this Shield was the first to judge. */
const PUT_OUTCOMES = ["registered", "refused", "restored"] as const;
/** One of `PUT_OUTCOMES`. */
export type PutOutcome = typeof PUT_OUTCOMES[number];

/** What judging needs of the process. */
export interface AdoptionOptions extends Pick<Env, "log" | "now"> {
  readonly store: SchemaStore;
  readonly work: SetWork;
  readonly table: PutTable;
  /** A random number in [0, 1). */
  readonly random: () => number;
  readonly kv_bucket: string;
  /** How many versions of a schema are kept. */
  readonly versions_max: number;
  /** The messages of a schema that subjects are mapped to. */
  readonly mapped: (schema_id: string) => ReadonlySet<string>;
  /**
   * The time between two listings of the bucket, in ms: nothing else tells that all of it was purged.
   */
  readonly listed_ms: number;
  readonly onPut: (outcome: PutOutcome) => void;
}

/** Watches both buckets and judges puts until it is closed. */
export class Adoption {
  readonly #options: AdoptionOptions;
  /** The keys to be looked at. */
  readonly #due = new Set<string>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #watches: readonly KvWatch[];
  readonly #listing: ReturnType<typeof setInterval>;
  /**
   * Resolves when everything that was there at the start has been judged or has failed. What failed is
   * tried again, and is no reason not to start. Never rejects.
   */
  readonly ready: Promise<void>;
  readonly #failure = Promise.withResolvers<void>();
  #work: Promise<void> | undefined;
  #started = false;
  #closed = false;

  constructor(options: AdoptionOptions) {
    this.#options = options;
    const { store, listed_ms } = options;
    this.#watches = [
      store.watchHistories((change) => this.#hearHistory(change)),
      store.watchSets((change) => this.#hearSet(change)),
    ];
    this.#listing = setInterval(() => void this.#list(), listed_ms);
    Deno.unrefTimer(this.#listing);
    this.ready = this.#start();
  }

  /** Stops watching and judging. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#listing);
    this.#timers.forEach(clearTimeout);
    this.#timers.clear();
    this.#due.clear();
    for (const watch of this.#watches) watch.stop();
  }

  async #start(): Promise<void> {
    try {
      for (const { ready } of this.#watches) await ready;
    } catch {
      // This was closed before it was ready.
      return;
    }
    this.#started = true;
    for (const key of this.#options.table.troubles()) this.#due.add(key);
    await Promise.race([this.#begin(), this.#failure.promise]);
  }

  #hearHistory(change: KvChange): void {
    const key = this.#options.table.hearHistory(change);
    if (key !== undefined) this.#later(key);
  }

  #hearSet(change: KvChange): void {
    const key = this.#options.table.hearSet(change);
    if (key !== undefined) this.#later(key);
  }

  /** Looks at a key after a short wait, unless it is in order by then. */
  #later(key: string, delay_ms = this.#options.random() * JITTER_MS): void {
    const { table } = this.#options;
    if (this.#closed || !this.#started || this.#timers.has(key) || !table.isTrouble(key)) return;
    const fire = () => {
      this.#timers.delete(key);
      if (!table.isTrouble(key)) return;
      this.#due.add(key);
      void this.#begin();
    };
    this.#timers.set(key, setTimeout(fire, delay_ms));
  }

  /** Judges one put after the other: a thousand unpacked sets at a time would need too much memory. */
  #begin(): Promise<void> {
    this.#work ??= this.#workOff().finally(() => this.#work = undefined);
    return this.#work;
  }

  async #workOff(): Promise<void> {
    for (const key of this.#due) {
      this.#due.delete(key);
      await this.#look(key).catch((error: unknown) => {
        this.#failure.resolve();
        if (this.#closed) return;
        const { log } = this.#options;
        log.warn("a put into the bucket of schemas cannot be judged yet", {
          error,
          schema: key,
        });
        this.#later(key, RETRY_MS);
      });
    }
  }

  async #look(key: string): Promise<void> {
    const standing = await this.#options.store.standing(key);
    const { stored, set, refusal } = standing;
    const remains = remainsOf(standing);
    if (set !== undefined && remains !== undefined) {
      await this.#clear(key, set, remains);
    } else if (set === undefined) {
      if (stored !== undefined) await this.#replace(key);
      else if (refusal !== undefined) await this.#pardon(key);
    } else if (isJudged(standing)) {
      await this.#restore(key);
    } else {
      await this.#judge(key, set);
    }
  }

  async #judge(key: string, set: StoredSet): Promise<void> {
    const { store, work, log, now, kv_bucket, versions_max, onPut, mapped } = this.#options;
    const { bytes, revision: put_revision } = set;
    const by = kv_bucket;
    const request = { schema_id: key, bytes, by, now_ms: now(), versions_max, mapped: mapped(key) };
    try {
      const done = await registerPut({ store, work }, { ...request, put_revision });
      if (done === undefined) return;
      if (!done.is_new) return await this.#restore(key, set);
      const { version } = latestOf(done.head);
      log.info("a schema was registered", { schema: key, version, by });
      for (const { rule, message, detail } of done.findings) {
        if (rule !== "mapped-message-missing") continue;
        log.warn("a mapped message is missing", { error: detail, schema: key, version, message });
      }
      onPut("registered");
      await this.#pardon(key);
    } catch (error) {
      const problem = problemOf(error);
      if (problem === undefined) throw error;
      const { revision, sha256 } = set;
      await this.#refuse(key, { revision, sha256, size_bytes: bytes.length, problem });
      await this.#restore(key, set);
    }
  }

  async #refuse(
    key: string,
    put: Pick<Refusal, "revision" | "sha256" | "size_bytes" | "problem">,
  ): Promise<void> {
    const { store, table, now, onPut } = this.#options;
    // The version is read now: a refusal stands until there is another version.
    const stored = await store.read(key);
    const serving = stored === undefined ? 0 : latestOf(stored.head).version;
    const problem = put.problem.slice(0, PROBLEM_UNITS);
    const refusal: Refusal = { format: 1, ...put, problem, refused_ms: now(), serving };
    if (!await store.refuse(key, refusal)) return;
    table.refuse(key, refusal);
    onPut("refused");
  }

  /** Deals with a key that has no set: somebody has deleted it, or it was never put there. */
  async #replace(key: string): Promise<void> {
    const revision = this.#options.table.deletedAt(key);
    if (revision !== undefined) {
      const problem = "the key was deleted; a schema that is registered stays";
      await this.#refuse(key, { revision, sha256: "", size_bytes: 0, problem });
    }
    await this.#restore(key);
  }

  /** Clears the set of a deleted schema that is not a new one, so that no reader takes it for one. */
  async #clear(key: string, set: StoredSet, remains: "left" | "late"): Promise<void> {
    const { store, log, kv_bucket } = this.#options;
    if (remains === "late") {
      const { revision, sha256, bytes } = set;
      const problem =
        "the schema was deleted with these bytes; only arq schema push brings them back";
      await this.#refuse(key, { revision, sha256, size_bytes: bytes.length, problem });
    }
    await store.clear(key, set);
    log.info("the set of a deleted schema is gone", { schema: key, bucket: kv_bucket });
  }

  async #pardon(key: string): Promise<void> {
    await this.#options.store.pardon(key);
    this.#options.table.pardon(key);
  }

  async #restore(key: string, judged?: StoredSet): Promise<void> {
    const { store, log, kv_bucket, onPut } = this.#options;
    if (!await restore(store, key, judged)) return;
    log.warn("the newest version of a schema was put back", { schema: key, bucket: kv_bucket });
    onPut("restored");
  }

  async #list(): Promise<void> {
    const { store, table } = this.#options;
    // If the keys cannot be listed now, they are listed the next time.
    const keys = await store.setKeys().catch(() => undefined);
    if (keys === undefined || this.#closed) return;
    for (const key of table.listed(keys)) this.#later(key);
  }
}

/** Why a put is refused; undefined when the error is not the put's fault. */
function problemOf(error: unknown): string | undefined {
  if (error instanceof IncompatibleError) {
    const { compatibility, against } = error.check;
    return `not compatible with version ${against.join(", ")} (${compatibility}): ${error.message}`;
  }
  const is_invalid = error instanceof ArqonError && error.reason === "invalid-schema";
  return is_invalid && error.cause instanceof Error ? error.cause.message : undefined;
}
