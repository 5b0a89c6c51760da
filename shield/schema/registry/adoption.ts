/**
 * Follows both buckets of schemas, and judges what other tools put into that of current sets. A put that passes the
 * checks of a registration becomes the next version. Every other put is refused, and the newest version is restored, so
 * that readers of the bucket read what is in force. Every Shield does this: a random delay lets one of them be first,
 * and compare-and-set ensures that only one is.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../../shared/env.ts";
import type { KvChange, KvWatch } from "../../../shared/spine/contract/spine.ts";
import { isSchemaId, SCHEMA_ID_RULE } from "../../../shared/schema_id.ts";
import {
  decodeRefusal,
  decodeSchemaRecord,
  isJudged,
  isPut,
  latestOf,
  REFUSED,
  remainsOf,
  sha256Of,
} from "./store.ts";
import type { CheckedPut, Refusal, SchemaStore, SchemaVersion, StoredSet } from "./store.ts";
import { IncompatibleError, registerPut, restore } from "./register.ts";
import type { SetWork } from "./set_work.ts";

/** The longest wait before a put is judged, in ms: the first Shield saves the others the work. */
const JITTER_MS = 250;
const RETRY_MS = 2_000;
/** The longest reason of a refusal, in UTF-16 units. */
const PROBLEM_UNITS = 500;
/** The most invalid keys that are reported one by one. */
const ODD_MAX = 1_000;
/** The longest key that is shown, in UTF-16 units. */
const KEY_UNITS = 128;

/** The outcome of a put that this Shield was the first to judge. */
const PUT_OUTCOMES = ["registered", "refused", "restored"] as const;
type PutOutcome = typeof PUT_OUTCOMES[number];

/** A refused put, as shown to operators. */
export interface RefusedPut {
  /** The key in the bucket, which may be an invalid schema id. */
  readonly schema_id: string;
  /** The sha256 of the put; "" if the key was deleted. */
  readonly sha256: string;
  readonly size_bytes: number;
  /** When it was refused, in Unix ms; null for a key that is not a schema id. */
  readonly refused_ms: number | null;
  readonly problem: string;
  /** The version that stays in force; null if there is none. */
  readonly serving: number | null;
}

interface AdoptionOptions extends Pick<Env, "log" | "now"> {
  readonly store: SchemaStore;
  readonly work: SetWork;
  /** A random number in [0, 1). */
  readonly random: () => number;
  readonly kv_bucket: string;
  readonly versions_max: number;
  readonly mapped: (schema_id: string) => ReadonlySet<string>;
  /** The interval of listing the bucket, in ms: only that shows that all of it was purged. */
  readonly listed_ms: number;
  readonly onPut: (outcome: PutOutcome) => void;
  /** Called when the history of a schema is first read, has changed, or was deleted. */
  readonly onHistory: (schema_id: string) => void;
}

/**
 * Watches both buckets and judges puts until it is closed. Keeps the newest version of each schema, the current sets
 * and the refusals: as many entries as the buckets have keys.
 */
export class Adoption {
  readonly #options: AdoptionOptions;
  readonly #latest = new Map<string, SchemaVersion>();
  readonly #sets = new Map<string, CheckedPut>();
  /** Deleted current sets that are not restored yet: the revision of the deletion. */
  readonly #deleted = new Map<string, number>();
  readonly #refusals = new Map<string, Refusal>();
  readonly #odd = new Map<string, RefusedPut>();
  /** The keys to check. */
  readonly #due = new Set<string>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #watches: readonly KvWatch[];
  readonly #listing: ReturnType<typeof setInterval>;
  /**
   * Resolves when everything present at the start was judged or failed. Failures are retried, and do not prevent the
   * start. Never rejects.
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
      store.watchHistories((change) => this.#receiveHistory(change)),
      store.watchSets((change) => this.#receiveSet(change)),
    ];
    this.#listing = setInterval(() => void this.#list(), listed_ms);
    Deno.unrefTimer(this.#listing);
    this.ready = this.#start();
  }

  /** Refused puts without a newer put, by key. */
  refused(): RefusedPut[] {
    const all = [...this.#odd.values()];
    for (const [schema_id, refusal] of this.#refusals) {
      const { sha256, size_bytes, refused_ms, problem, serving } = refusal;
      if (serving !== (this.#latest.get(schema_id)?.version ?? 0)) continue;
      const version = serving === 0 ? null : serving;
      all.push({ schema_id, sha256, size_bytes, refused_ms, problem, serving: version });
    }
    return all.sort((a, b) => a.schema_id < b.schema_id ? -1 : 1);
  }

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
      // The adoption was closed before it was ready.
      return;
    }
    this.#started = true;
    for (const key of this.#troubles()) this.#due.add(key);
    await Promise.race([this.#begin(), this.#failure.promise]);
  }

  #receiveHistory({ key: [schema_id = "", below], value }: KvChange): void {
    if (!isSchemaId(schema_id)) return;
    if (below !== undefined) {
      if (below === REFUSED) this.#takeRefusal(schema_id, value && decodeRefusal(value));
      return;
    }
    const read = value && decodeSchemaRecord(value);
    if (read !== undefined && "head" in read) this.#latest.set(schema_id, latestOf(read.head));
    else this.#latest.delete(schema_id);
    // The key is deleted together with the schema, so its deletion is no mistake.
    if (read !== undefined && "tombstone" in read) this.#deleted.delete(schema_id);
    this.#options.onHistory(schema_id);
    this.#later(schema_id);
  }

  #receiveSet({ key: parts, value, revision }: KvChange): void {
    const key = parts.join(".");
    this.#odd.delete(key);
    if (value === undefined) {
      this.#sets.delete(key);
      if (this.#latest.has(key)) this.#deleted.set(key, revision);
    } else if (isSchemaId(key)) {
      this.#sets.set(key, { revision, sha256: sha256Of(value) });
      this.#deleted.delete(key);
    } else this.#takeOdd(key, value);
    this.#later(key);
  }

  /** Checks a key after a short delay, unless it is current by then. */
  #later(key: string, delay_ms = this.#options.random() * JITTER_MS): void {
    if (this.#closed || !this.#started || this.#timers.has(key) || !this.#isTrouble(key)) return;
    const fire = () => {
      this.#timers.delete(key);
      if (!this.#isTrouble(key)) return;
      this.#due.add(key);
      void this.#begin();
    };
    this.#timers.set(key, setTimeout(fire, delay_ms));
  }

  /** Judges puts one after the other: a thousand unpacked sets at a time would need too much memory. */
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
        log.warn("a put into the bucket of schemas cannot be judged yet", { error, schema: key });
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
    const { store, now, onPut } = this.#options;
    // The version is read now: a refusal is valid until there is another version.
    const stored = await store.read(key);
    const serving = stored === undefined ? 0 : latestOf(stored.head).version;
    const problem = put.problem.slice(0, PROBLEM_UNITS);
    const refusal: Refusal = { format: 1, ...put, problem, refused_ms: now(), serving };
    if (!await store.refuse(key, refusal)) return;
    this.#takeRefusal(key, refusal);
    onPut("refused");
  }

  /** Handles a key without a set: it was deleted, or never put. */
  async #replace(key: string): Promise<void> {
    const revision = this.#deleted.get(key);
    if (revision !== undefined) {
      const problem = "the key was deleted; a registered schema stays";
      await this.#refuse(key, { revision, sha256: "", size_bytes: 0, problem });
    }
    await this.#restore(key);
  }

  /** Clears the remaining set of a deleted schema, so that no reader takes it for a new schema. */
  async #clear(key: string, set: StoredSet, remains: "left" | "late"): Promise<void> {
    const { store, log, kv_bucket } = this.#options;
    if (remains === "late") {
      const { revision, sha256, bytes } = set;
      const problem =
        "the schema was deleted with these bytes; only arq schema push brings them back";
      await this.#refuse(key, { revision, sha256, size_bytes: bytes.length, problem });
    }
    await store.clear(key, set);
    log.info("the set of a deleted schema was cleared", { schema: key, bucket: kv_bucket });
  }

  async #pardon(key: string): Promise<void> {
    await this.#options.store.pardon(key);
    this.#refusals.delete(key);
  }

  async #restore(key: string, judged?: StoredSet): Promise<void> {
    const { store, log, kv_bucket, onPut } = this.#options;
    if (!await restore(store, key, judged)) return;
    log.warn("the newest version of a schema was restored", { schema: key, bucket: kv_bucket });
    onPut("restored");
  }

  async #list(): Promise<void> {
    // If the keys cannot be listed now, the next pass lists them.
    const keys = await this.#options.store.setKeys().catch(() => undefined);
    if (keys === undefined || this.#closed) return;
    const there = new Set(keys);
    // Those whose deletion was missed.
    for (const key of this.#sets.keys()) if (!there.has(key)) this.#sets.delete(key);
    for (const key of this.#troubles()) this.#later(key);
  }

  /** Every key whose set is not current. */
  #troubles(): string[] {
    const keys = new Set(
      [this.#latest, this.#sets, this.#refusals].flatMap((map) => [...map.keys()]),
    );
    return [...keys].filter((key) => this.#isTrouble(key));
  }

  /** Whether the current set is not the newest version and has not been judged yet. */
  #isTrouble(key: string): boolean {
    const set = this.#sets.get(key);
    const latest = this.#latest.get(key);
    if (latest !== undefined) return set?.sha256 !== latest.sha256;
    const refusal = this.#refusals.get(key);
    return refusal?.revision !== set?.revision || refusal?.sha256 !== set?.sha256;
  }

  /** Records a refused put, which is logged once, or clears the last refusal. */
  #takeRefusal(schema_id: string, refusal: Refusal | undefined): void {
    const before = this.#refusals.get(schema_id);
    if (refusal === undefined) return void this.#refusals.delete(schema_id);
    this.#refusals.set(schema_id, refusal);
    if (isPut(refusal, before)) return;
    const { problem, sha256, serving } = refusal;
    this.#say(schema_id, problem, sha256, serving === 0 ? "nothing" : `version ${serving}`);
  }

  #takeOdd(key: string, value: Uint8Array): void {
    const schema_id = key.slice(0, KEY_UNITS);
    const sha256 = sha256Of(value);
    const problem = `its key is not a schema id: ${SCHEMA_ID_RULE}`;
    this.#say(schema_id, problem, sha256, "nothing");
    if (this.#odd.size >= ODD_MAX) return;
    const refused = { schema_id, sha256, size_bytes: value.length, problem };
    this.#odd.set(key, { ...refused, refused_ms: null, serving: null });
  }

  #say(schema: string, error: string, sha256: string, serving: string): void {
    const { log, kv_bucket: bucket } = this.#options;
    const fields = { error, schema, bucket, sha256, serving };
    log.error("a put into the bucket of schemas is refused", fields);
  }
}

/** Why a put is refused; undefined if the put is not the cause of the error. */
function problemOf(error: unknown): string | undefined {
  if (error instanceof IncompatibleError) {
    const { compatibility, against } = error.check;
    return `not compatible with version ${against.join(", ")} (${compatibility}): ${error.message}`;
  }
  const is_invalid = error instanceof ArqonError && error.reason === "invalid-schema";
  return is_invalid && error.cause instanceof Error ? error.cause.message : undefined;
}
