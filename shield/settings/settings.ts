/**
 * Tenants' run-time settings in this process: watches `ARQON_TENANTS`, answers from memory, changes documents by
 * compare-and-set, and notifies waiters of a revision. `shared/records/tenant_settings.ts` has the form of a document;
 * `mirror/` and `schema/` apply rules and mappings.
 */
import { Buffer } from "node:buffer";
import { ArqonError, isId } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import { Counter, type Registry, scraped } from "../../shared/metrics/metrics.ts";
import type { HealthCheck } from "../../shared/listeners/ops.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvChange, KvWatch, Spine } from "../../shared/spine/contract/spine.ts";
import { BUS_KEY } from "../../shared/records/bus_schemas.ts";
import {
  decodeSettings,
  emptySettings,
  encodeSettings,
  TENANTS_BUCKET,
} from "../../shared/records/tenant_settings.ts";
import type { TenantSettings } from "../../shared/records/tenant_settings.ts";
import { TenantDeletions } from "../../shared/records/tenant_deletions.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";
import { plural } from "../../shared/plural.ts";
import { awaitedLater } from "../../shared/awaited_later.ts";
/** Callers that wait for a revision, shared by tenants; one more gets `false` at once. */
const WAITERS_MAX = 1_024;

interface SettingsOptions extends Pick<Env, "registry" | "log" | "now"> {
  readonly spine: Pick<Spine, "keyValue">;
}

/** A document and its stored revision; 0 if it does not exist. */
export interface StoredSettings {
  readonly settings: TenantSettings;
  readonly revision: number;
}

/** A decoded document with its bytes. */
interface DecodedSettings {
  readonly tenant_id: string;
  readonly value: Uint8Array;
  readonly settings: TenantSettings;
}

/** Called after a tenant's settings have changed; its errors are logged. */
type SettingsListener = (tenant_id: string, settings: TenantSettings) => void;

/** One tenant: the settings in force, and whether the latest document could be read. */
interface Known {
  readonly settings: TenantSettings;
  /** The problem of the latest document; the previous settings are then in force. */
  readonly problem: string | undefined;
}

const EMPTY: TenantSettings = Object.freeze(emptySettings());

/**
 * The settings of all tenants. Settings stay in force when a document becomes unreadable or is lost: a lost store must
 * not switch a check off. A deleted document means a deleted tenant.
 */
export class Settings {
  readonly #bucket: KeyValue;
  readonly #options: SettingsOptions;
  readonly #tenants = new Map<string, Known>();
  readonly #listeners = new Set<SettingsListener>();
  readonly #waiters = new SettingsWaiters();
  readonly #watch: KvWatch;
  /** The document that was decoded last: what is written is also watched, and an apply reads it before each item. */
  #last: DecodedSettings | undefined;
  /** The deletions of tenants, of which the bucket has marks. */
  readonly deletions: TenantDeletions;
  /** Resolves once everything stored is known; rejects with `spine-unavailable` if it is closed first. */
  readonly ready: Promise<void>;
  #state: "starting" | "ready" | "closed" = "starting";
  #since_ms: number;

  constructor(bucket: KeyValue, options: SettingsOptions) {
    this.#bucket = bucket;
    this.#options = options;
    this.#since_ms = options.now();
    const metrics = registerSettingsMetrics(options.registry, () => this.counts());
    this.deletions = new TenantDeletions(bucket, (tenant_id, error) => {
      options.log.error("what is known of a deleted tenant was not forgotten", {
        tenant_id,
        error,
      });
    });
    this.#watch = bucket.watch([], (change) => {
      if (!this.deletions.take(change) && !this.#receive(change)) metrics.unreadable();
    });
    this.ready = awaitedLater(this.#watch.ready.then(() => this.#turnTo("ready")));
  }

  /** The tenant's settings in force; empty if it has set none. */
  get(tenant_id: string): TenantSettings {
    return this.#tenants.get(tenant_id)?.settings ?? EMPTY;
  }

  /** Every tenant with settings. */
  tenants(): Iterable<string> {
    return this.#tenants.keys();
  }

  /** Why the tenant's latest document is not in force; undefined if it is. */
  problem(tenant_id: string): string | undefined {
    return this.#tenants.get(tenant_id)?.problem;
  }

  /** Calls the listener at once for known settings, then for each change, until the result is called. */
  onChange(listener: SettingsListener): () => void {
    this.#listeners.add(listener);
    for (const [tenant_id, { settings }] of this.#tenants) {
      this.#tell(listener, tenant_id, settings);
    }
    return () => void this.#listeners.delete(listener);
  }

  /** The tenant's stored document. Rejects with `settings-conflict` if it cannot be read. */
  async read(tenant_id: string): Promise<StoredSettings> {
    requireTenantId(tenant_id);
    const entry = await this.#bucket.get([tenant_id]);
    if (entry === undefined) return { settings: emptySettings(), revision: 0 };
    const { value, revision } = entry;
    const decoded = this.#decode(tenant_id, value);
    if ("settings" in decoded) return { settings: decoded.settings, revision };
    throw new ArqonError(
      "settings-conflict",
      `the stored document cannot be read: ${decoded.problem}`,
    );
  }

  /**
   * Writes the result of `change`, which is called again after a conflict; fills in version, author and time. Nothing
   * is written if it returns its input. Rejects with errors of `change`, with `invalid-settings` if the result is not
   * valid, and with `settings-conflict`.
   */
  async change(
    tenant_id: string,
    by: string,
    change: (settings: TenantSettings) => TenantSettings,
  ): Promise<StoredSettings> {
    return await changeDocument(async (mayLose) => {
      const stored = await this.read(tenant_id);
      requireNothingPending(stored.settings);
      const changed = change(stored.settings);
      if (changed === stored.settings) return stored;
      const settings = {
        ...changed,
        format: 1 as const,
        version: stored.settings.version + 1,
        by,
        changed_ms: this.#options.now(),
      };
      const revision = await mayLose(this.replace(tenant_id, settings, stored.revision));
      return { settings, revision };
    }, {
      overtaken: (attempts) =>
        new ArqonError("settings-conflict", `${attempts} conflicts with other writers`),
    });
  }

  /**
   * Replaces an unreadable document with empty settings. Rejects with `settings-conflict` if it is readable, or changes
   * meanwhile.
   */
  async reset(tenant_id: string, by: string): Promise<StoredSettings> {
    requireTenantId(tenant_id);
    const entry = await this.#bucket.get([tenant_id]);
    if (entry === undefined || "settings" in decodeSettings(tenant_id, entry.value)) {
      throw new ArqonError("settings-conflict", "they are readable; nothing was reset");
    }
    const settings = { ...emptySettings(), version: 1, by, changed_ms: this.#options.now() };
    const write = () => this.replace(tenant_id, settings, entry.revision);
    const revision = await changeDocument((mayLose) => mayLose(write()), {
      attempts: 1,
      overtaken: () => new ArqonError("settings-conflict", "they were changed concurrently"),
    });
    return { settings, revision };
  }

  /** Resolves to true once this process has that revision, or a later one, in force; to false after the timeout. */
  reached(tenant_id: string, revision: number, timeout_ms: number): Promise<boolean> {
    if (this.#state === "closed") return Promise.resolve(false);
    return this.#waiters.reached(tenant_id, revision, timeout_ms);
  }

  /**
   * Writes the document unchanged; resolves to the new revision. Rejects with `version-conflict`, `invalid-settings`.
   */
  async replace(tenant_id: string, settings: TenantSettings, revision: number): Promise<number> {
    return await this.#bucket.update([tenant_id], this.require(tenant_id, settings), revision);
  }

  /** Throws `invalid-settings` for a document that `replace` would refuse; gives its stored form. */
  require(tenant_id: string, settings: TenantSettings): Uint8Array {
    const bytes = encodeSettings(settings);
    const decoded = this.#decode(tenant_id, bytes);
    if ("problem" in decoded) throw new ArqonError("invalid-settings", decoded.problem);
    return bytes;
  }

  /** Numbers for metrics and `/v1/status`. */
  counts(): { readonly documents: number; readonly unreadable: number } {
    let unreadable = 0;
    for (const { problem } of this.#tenants.values()) if (problem !== undefined) unreadable++;
    return { documents: this.#tenants.size, unreadable };
  }

  /** The readiness check of the process. */
  check(): HealthCheck {
    const { documents, unreadable } = this.counts();
    const bad = unreadable === 0 ? "" : `, ${unreadable} of them with an unreadable document`;
    const detail = this.#state === "ready"
      ? `${plural(documents, "tenant")} with settings${bad}`
      : `the tenants' settings are ${this.#state}`;
    return { ok: this.#state === "ready", since_ms: this.#since_ms, detail };
  }

  /** Stops watching; the settings in force stay readable. */
  close(): void {
    if (this.#state === "closed") return;
    this.#turnTo("closed");
    this.#watch.stop();
    this.#waiters.close();
    this.#listeners.clear();
  }

  #turnTo(state: "ready" | "closed"): void {
    if (this.#state === "closed") return;
    if (state === "ready") this.deletions.listed();
    this.#state = state;
    this.#since_ms = this.#options.now();
  }

  #decode(tenant_id: string, value: Uint8Array): ReturnType<typeof decodeSettings> {
    const last = this.#last;
    if (last?.tenant_id === tenant_id && Buffer.compare(last.value, value) === 0) return last;
    const decoded = decodeSettings(tenant_id, value);
    if ("settings" in decoded) this.#last = { tenant_id, value, ...decoded };
    return decoded;
  }

  /** False when the change could not be applied. */
  #receive(change: KvChange): boolean {
    const { key, revision } = change;
    const [tenant_id = ""] = key;
    // The bus's own document; `shield/apply/bus_applies.ts` watches it.
    if (key.length === 1 && tenant_id === BUS_KEY[0]) return true;
    if (key.length !== 1 || !isId(tenant_id)) {
      this.#options.log.warn("the settings bucket has a key that is not a tenant", { key });
      return false;
    }
    const is_lost = change.type === "delete" && change.is_lost === true;
    const taken = change.type === "put"
      ? this.#put(tenant_id, change.value)
      : this.#gone(tenant_id, is_lost);
    // A recreated store reuses revisions.
    this.#waiters.applied(tenant_id, is_lost ? 0 : revision);
    return taken;
  }

  #put(tenant_id: string, value: Uint8Array): boolean {
    const decoded = this.#decode(tenant_id, value);
    if ("problem" in decoded) return this.#keep(tenant_id, decoded.problem);
    this.#tenants.set(tenant_id, { settings: decoded.settings, problem: undefined });
    for (const listener of this.#listeners) this.#tell(listener, tenant_id, decoded.settings);
    return true;
  }

  #gone(tenant_id: string, is_lost: boolean): boolean {
    if (is_lost && this.#tenants.has(tenant_id)) {
      return this.#keep(tenant_id, "the store has lost it");
    }
    if (is_lost) return true;
    this.#tenants.delete(tenant_id);
    for (const listener of this.#listeners) this.#tell(listener, tenant_id, EMPTY);
    return true;
  }

  #keep(tenant_id: string, problem: string): false {
    const settings = this.get(tenant_id);
    this.#tenants.set(tenant_id, { settings, problem });
    this.#options.log.error("a tenant's settings cannot be read; the previous ones stay in force", {
      tenant_id,
      version: settings.version,
      error: problem,
    });
    return false;
  }

  #tell(listener: SettingsListener, tenant_id: string, settings: TenantSettings): void {
    try {
      listener(tenant_id, settings);
    } catch (error) {
      this.#options.log.error("a listener of the tenants' settings threw", { tenant_id, error });
    }
  }
}

/** A running apply determines the document: a concurrent change would be lost. */
function requireNothingPending({ pending }: TenantSettings): void {
  if (pending === undefined) return;
  throw new ArqonError("settings-conflict", `apply ${pending.id} is under way; try again`);
}

function requireTenantId(tenant_id: string): void {
  if (isId(tenant_id)) return;
  throw new ArqonError("invalid-settings", `${JSON.stringify(tenant_id)} is not a tenant id`);
}

/** Opens the bucket and starts to watch; `ready` resolves once all is known. Rejects with `spine-unavailable`. */
export async function openSettings(options: SettingsOptions): Promise<Settings> {
  return new Settings(await options.spine.keyValue(TENANTS_BUCKET), options);
}

interface Waiter {
  readonly revision: number;
  readonly resolve: (reached: boolean) => void;
}

/** Knows the last received revision of each tenant's document. */
class SettingsWaiters {
  readonly #revisions = new Map<string, number>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  readonly #waiting = new FairBound(WAITERS_MAX);

  /** A revision of the tenant's document was applied, or found unreadable. */
  applied(tenant_id: string, revision: number): void {
    // Not the highest: an older copy of the bucket reuses revisions.
    this.#revisions.set(tenant_id, revision);
    for (const waiter of [...this.#waiters.get(tenant_id) ?? []]) {
      if (waiter.revision <= revision) waiter.resolve(true);
    }
  }

  /** Resolves to true once that revision, or a later one, was received; to false after the timeout. */
  async reached(tenant_id: string, revision: number, timeout_ms: number): Promise<boolean> {
    if ((this.#revisions.get(tenant_id) ?? 0) >= revision) return true;
    if (!this.#waiting.take(tenant_id)) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const waiter = { revision, resolve };
    const waiters = this.#waiters.get(tenant_id) ?? new Set();
    this.#waiters.set(tenant_id, waiters.add(waiter));
    const timer = setTimeout(() => resolve(false), timeout_ms);
    const reached = await promise;
    clearTimeout(timer);
    this.#waiting.add(tenant_id, -1);
    waiters.delete(waiter);
    if (waiters.size === 0) this.#waiters.delete(tenant_id);
    return reached;
  }

  /** No more revisions will be received. */
  close(): void {
    for (const waiters of this.#waiters.values()) {
      for (const { resolve } of [...waiters]) resolve(false);
    }
  }
}

/** Makes the metrics; the result counts documents and keys that could not be applied. */
function registerSettingsMetrics(
  registry: Registry,
  counts: () => { readonly documents: number; readonly unreadable: number },
): { readonly unreadable: () => void } {
  const documents = "Tenants with run-time settings.";
  scraped(registry, {
    "shield_settings_documents": [documents, () => counts().documents],
    "shield_settings_unreadable": [
      "Tenants whose latest settings cannot be read; the previous ones are in force.",
      () => counts().unreadable,
    ],
  });
  const problems = new Counter({
    name: "shield_settings_problems_total",
    help: "Documents and keys of the settings bucket that could not be applied.",
    registers: [registry],
  });
  return { unreadable: () => problems.inc() };
}
