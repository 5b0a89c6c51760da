/**
 * Deletes bytes of versions that no history names. Bytes are written before the history that names them, so a Shield
 * that dies in between, or while it deletes, leaves some behind. Versions that stay unnamed for ten minutes are
 * deleted; every Shield sweeps. Versions in a running rollout wait for its last step. `adoption.ts` handles the current
 * sets.
 */
import { scraped } from "../../../shared/metrics/metrics.ts";
import type { Env } from "../../../shared/env.ts";
import { decodeRollout, isUnderWay } from "../../../shared/rollout/rollout.ts";
import { ROLLOUTS_BUCKET } from "../../../shared/records/buckets.ts";
import { isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvKey, Spine } from "../../../shared/spine/contract/spine.ts";
import { decodeSchemaRecord, versionKey, versionsBucket } from "./store.ts";

/** How long unnamed bytes stay, in ms: a registration names its own within seconds. */
export const UNNAMED_MS = 600_000;
const PAUSE_MS = 1_800_000;
/** The most unnamed versions that one process remembers. */
const SEEN_MAX = 10_000;

/** What the sweep needs of the process. */
interface VersionSweepOptions extends Pick<Env, "registry" | "log" | "monotonic_ms"> {
  readonly versions: KeyValue;
  readonly rollouts: Pick<KeyValue, "keys" | "get">;
  /** A random number in [0, 1). */
  readonly random: () => number;
}

interface Seen {
  readonly revision: number;
  readonly size_bytes: number;
  /** Monotonic ms. */
  readonly since_ms: number;
}

/** The keys of versions, by schema. */
const byId = (keys: readonly KvKey[]): Map<string, KvKey[]> =>
  Map.groupBy(keys.filter((key) => key.length >= 3), ([schema_id = ""]) => schema_id);

/** The sweep of one process. */
export class VersionSweep {
  readonly #options: VersionSweepOptions;
  /** Unnamed versions that the last pass found, by their key as JSON. */
  #seen: ReadonlyMap<string, Seen> = new Map();
  #swept = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(options: VersionSweepOptions) {
    this.#options = options;
    const { registry } = options;
    scraped(registry, {
      "shield_schema_versions_swept_total": [
        "Versions of schemas that this process has deleted because no history named them.",
        () => this.#swept,
      ],
      "shield_schema_unnamed_versions": [
        "Versions of schemas that no history names, as last counted.",
        () => this.#seen.size,
      ],
      "shield_schema_unnamed_bytes": [
        "Bytes of the versions of schemas that no history names, as last counted.",
        () => [...this.#seen.values()].reduce((sum, { size_bytes }) => sum + size_bytes, 0),
      ],
    });
  }

  /** Makes periodic passes until it is closed. A failed deletion is retried at the next pass. */
  start(): void {
    const { random, log } = this.#options;
    this.#timer = setTimeout(() => {
      this.pass().catch((error: unknown) => {
        if (!this.#closed) log.warn("versions of schemas cannot be swept now", { error });
      }).finally(() => this.#closed || this.start());
    }, PAUSE_MS * (0.5 + random() / 2));
    Deno.unrefTimer(this.#timer);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** Checks all versions once; resolves to the number of deleted ones. Rejects with `spine-unavailable`. */
  async pass(): Promise<number> {
    const { versions } = this.#options;
    const seen = new Map<string, Seen>();
    const swept_before = this.#swept;
    // The keys are listed before the histories are read: a registration meanwhile writes its bytes
    // first.
    const listed = byId(await versions.keys());
    const held = await this.#held();
    for (const [schema_id, keys] of listed) {
      const named = await this.#named(schema_id);
      if (named === undefined) continue;
      for (const key of keys) {
        if (this.#closed || seen.size >= SEEN_MAX) break;
        const [, version, sha256] = key;
        const is_kept = named.has(`${version} ${sha256}`) || held.has(JSON.stringify(key));
        if (!is_kept) await this.#look(key, seen);
      }
    }
    this.#seen = seen;
    return this.#swept - swept_before;
  }

  /** Keys, as JSON, of versions that running rollouts will activate. Rejects if a rollout cannot be read. */
  async #held(): Promise<ReadonlySet<string>> {
    const { rollouts } = this.#options;
    const held = new Set<string>();
    for (const key of await rollouts.keys()) {
      const entry = key.length === 1 ? await rollouts.get(key) : undefined;
      const decoded = entry === undefined ? undefined : decodeRollout(entry.value);
      if (decoded === undefined) continue;
      // Its versions are unknown.
      if ("problem" in decoded) throw new Error(`rollout of ${key[0]}: ${decoded.problem}`);
      if (!isUnderWay(decoded.value)) continue;
      for (const { schema_id, ...version } of decoded.value.schemas ?? []) {
        held.add(JSON.stringify(versionKey(schema_id, version)));
      }
    }
    return held;
  }

  /** The versions that the history names; undefined if it cannot be read, since they are unknown then. */
  async #named(schema_id: string): Promise<ReadonlySet<string> | undefined> {
    const entry = await this.#options.versions.get([schema_id]);
    const read = entry && decodeSchemaRecord(entry.value);
    if (read !== undefined && "problem" in read) return undefined;
    const versions = read !== undefined && "head" in read ? read.head.versions : [];
    return new Set(versions.map(({ version, sha256 }) => `${version} ${sha256}`));
  }

  async #look(key: KvKey, seen: Map<string, Seen>): Promise<void> {
    const { versions, monotonic_ms, log } = this.#options;
    const entry = await versions.get(key);
    if (entry === undefined) return;
    const { revision, value: { length: size_bytes } } = entry;
    const name = JSON.stringify(key);
    const before = this.#seen.get(name);
    const since_ms = before?.revision === revision ? before.since_ms : monotonic_ms();
    if (monotonic_ms() - since_ms < UNNAMED_MS) {
      seen.set(name, { revision, size_bytes, since_ms });
      return;
    }
    try {
      await versions.delete(key, revision);
    } catch (error) {
      // A registration has rewritten the bytes, and is about to name the version.
      if (isConflict(error)) return;
      throw error;
    }
    this.#swept++;
    const [schema, version] = key;
    log.info("a version that no history names was deleted", { schema, version, size_bytes });
  }
}

/** Sweeps the versions of a bucket from now on. Rejects with `spine-unavailable`. */
export async function startVersionSweep(
  spine: Spine,
  kv_bucket: string,
  options: Omit<VersionSweepOptions, "versions" | "rollouts">,
): Promise<VersionSweep> {
  const versions = await spine.keyValue(versionsBucket(kv_bucket));
  const rollouts = await spine.keyValue(ROLLOUTS_BUCKET);
  const sweep = new VersionSweep({ ...options, versions, rollouts });
  sweep.start();
  return sweep;
}
