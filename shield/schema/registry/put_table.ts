/**
 * What this process knows of both buckets of schemas: the newest version of each schema, the entries of
 * the bucket of current sets, and which puts are refused. It tells which keys are out of order, and
 * does nothing about them; that is `adoption.ts`.
 */
import type { Env } from "../../../shared/env.ts";
import type { KvChange } from "../../../shared/spine/contract/spine.ts";
import { isSchemaId, SCHEMA_ID_RULE } from "../../../shared/schema_id.ts";
import { decodeRefusal, decodeSchemaRecord, latestOf, REFUSED, sha256Of } from "./schema_record.ts";
import type { CheckedPut, Refusal, SchemaVersion } from "./schema_record.ts";

/** The most keys that are no schema ids and of which each is reported. */
const ODD_MAX = 1_000;
/** The longest key that is shown, in UTF-16 units. */
const KEY_UNITS = 128;

/** A put that is refused, as operators see it. */
export interface RefusedPut {
  /** The key of the bucket, which need not be a schema id. */
  readonly schema_id: string;
  /** The sha256 of the put; "" when the key was deleted. */
  readonly sha256: string;
  readonly size_bytes: number;
  /** When it was refused, in Unix ms; null for a key that is no schema id. */
  readonly refused_ms: number | null;
  readonly problem: string;
  /** The version that stays in force; null when there is none. */
  readonly serving: number | null;
}

/** What the table needs of the process. */
export interface PutTableOptions extends Pick<Env, "log"> {
  readonly kv_bucket: string;
}

/** The table of puts; it has as many entries as the buckets have keys. */
export class PutTable {
  readonly #options: PutTableOptions;
  readonly #latest = new Map<string, SchemaVersion>();
  readonly #sets = new Map<string, CheckedPut>();
  readonly #deleted = new Map<string, number>();
  readonly #refusals = new Map<string, Refusal>();
  readonly #odd = new Map<string, RefusedPut>();

  constructor(options: PutTableOptions) {
    this.#options = options;
  }

  /** Takes a change of a history or a refusal; returns the id that may be out of order now. */
  hearHistory(change: KvChange): string | undefined {
    const { key: [schema_id = "", below], value } = change;
    if (!isSchemaId(schema_id)) return undefined;
    if (below === REFUSED) {
      this.#hearRefusal(schema_id, change);
      return undefined;
    }
    if (below !== undefined) return undefined;
    const read = value && decodeSchemaRecord(value);
    if (read !== undefined && "head" in read) this.#latest.set(schema_id, latestOf(read.head));
    else this.#latest.delete(schema_id);
    // The key is deleted together with the schema, so that is nobody's mistake.
    if (read !== undefined && "tombstone" in read) this.#deleted.delete(schema_id);
    return schema_id;
  }

  /** Takes a change of a current set; returns the id that may be out of order now. */
  hearSet(change: KvChange): string | undefined {
    const { value, revision } = change;
    const key = change.key.join(".");
    this.#odd.delete(key);
    if (value === undefined) {
      this.#sets.delete(key);
      if (!isSchemaId(key)) return undefined;
      if (this.#latest.has(key)) this.#deleted.set(key, revision);
      return key;
    }
    const put = { revision, sha256: sha256Of(value) };
    if (!isSchemaId(key)) {
      this.#hearOdd(key, put, value.length);
      return undefined;
    }
    this.#sets.set(key, put);
    this.#deleted.delete(key);
    return key;
  }

  /**
   * Takes the complete list of keys in the bucket of current sets, and drops those that were deleted
   * unheard. Returns every key that is out of order.
   */
  listed(keys: readonly string[]): string[] {
    const there = new Set(keys);
    const gone = [...this.#sets.keys()].filter((key) => !there.has(key));
    for (const key of gone) this.#sets.delete(key);
    return this.troubles();
  }

  /** Every key that is out of order. */
  troubles(): string[] {
    const keys = new Set(
      [this.#latest, this.#sets, this.#refusals].flatMap((map) => [...map.keys()]),
    );
    return [...keys].filter((key) => this.isTrouble(key));
  }

  /** Whether the current set is not the newest version and has not been judged yet. */
  isTrouble(key: string): boolean {
    const set = this.#sets.get(key);
    const latest = this.#latest.get(key);
    if (latest !== undefined) return set?.sha256 !== latest.sha256;
    const refusal = this.#refusals.get(key);
    return refusal?.revision !== set?.revision || refusal?.sha256 !== set?.sha256;
  }

  /** The revision at which somebody has deleted a current set that is not back yet. */
  deletedAt(key: string): number | undefined {
    return this.#deleted.get(key);
  }

  /** Takes note of a refused put; the log tells it once. */
  refuse(schema_id: string, refusal: Refusal): void {
    const before = this.#refusals.get(schema_id);
    this.#refusals.set(schema_id, refusal);
    if (before?.revision === refusal.revision && before.sha256 === refusal.sha256) return;
    const { problem, sha256, serving } = refusal;
    this.#say(schema_id, problem, {
      sha256,
      serving: serving === 0 ? "nothing" : `version ${serving}`,
    });
  }

  /** Takes note that the last refusal is settled. */
  pardon(schema_id: string): void {
    this.#refusals.delete(schema_id);
  }

  /** Refused puts that nothing has replaced since, by key. */
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

  #hearRefusal(schema_id: string, { value }: KvChange): void {
    const refusal = value && decodeRefusal(value);
    if (refusal === undefined) this.pardon(schema_id);
    else this.refuse(schema_id, refusal);
  }

  #hearOdd(key: string, { sha256 }: CheckedPut, size_bytes: number): void {
    const shown = key.slice(0, KEY_UNITS);
    const problem = `its key is no schema id: ${SCHEMA_ID_RULE}`;
    this.#say(shown, problem, { sha256, serving: "nothing" });
    if (this.#odd.size >= ODD_MAX) return;
    const refused = { schema_id: shown, sha256, size_bytes, problem };
    this.#odd.set(key, { ...refused, refused_ms: null, serving: null });
  }

  #say(schema: string, error: string, fields: Readonly<Record<string, unknown>>): void {
    const { log, kv_bucket } = this.#options;
    log.error("a put into the bucket of schemas is refused", {
      error,
      schema,
      bucket: kv_bucket,
      ...fields,
    });
  }
}
