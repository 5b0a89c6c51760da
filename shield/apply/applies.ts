/**
 * Applies a tenant's whole state: policies, schemas, mappings, room classes, mirror rules, quotas, budgets and demands
 * for signatures, all or none. Two documents hold them. Schemas are stored before the decision and activated after it,
 * as are hooks, schedules and reducers (`documents.ts`); `decision.ts` makes this one atomic step. If a Shield does not
 * finish an apply, any other Shield finishes it. `api.ts` has validated the state.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import type { StagedSchema } from "../../shared/records/bus_schemas.ts";
import type { PendingApply, TenantSettings } from "../../shared/records/tenant_settings.ts";
import { changeDocument, isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { PolicyStore, StoredDocument } from "../policy/chain/store.ts";
import type { Settings, StoredSettings } from "../settings/settings.ts";
import {
  decisionOf,
  documentsOf,
  hasDocuments,
  limitsOf,
  needsDecision,
  policiesAfter,
  settingsAfter,
  withoutPending,
} from "./decision.ts";
import type { Wanted } from "./decision.ts";
import { type Documents, documentsHash } from "./documents.ts";
import { slice } from "../../shared/turns/slices.ts";
import type { ItemWrite, Writing } from "../settings/document_kinds.ts";

/** The most conflicts with other writers before a step gives up. */
const ATTEMPTS = 64;
/** How long a Shield waits before it retries an unfinished apply, in ms. */
const AGAIN_MS = 1_000;

/** What applying needs of the process. */
export interface AppliesOptions extends Pick<Env, "log" | "now"> {
  readonly settings: Pick<Settings, "read" | "replace" | "onChange" | "get">;
  readonly policies: Pick<PolicyStore, "read" | "replace">;
  /** Activates a stored version, once for each apply; absent if schemas are switched off. */
  readonly promote?: (
    schema: StagedSchema,
    decided: { readonly apply: string; readonly by: string; readonly at_ms: number },
  ) => Promise<void>;
  /** Kinds of state that are separate documents; absent: an apply has none of them. */
  readonly documents?: Pick<Documents, "list" | "require" | "write">;
  readonly random: (size_bytes: number) => Uint8Array;
}

/** Both documents of a tenant, as stored. */
export interface StoredState {
  readonly settings: StoredSettings;
  readonly policies: StoredDocument;
}

/** Revisions of the two documents; 0 for one that does not exist. */
interface Basis {
  readonly settings: number;
  readonly policies: number;
  /** The hash of all separate documents; absent: they are not compared. */
  readonly documents?: string | undefined;
}

const stale = (detail: string) =>
  new ArqonError("settings-conflict", `the plan is stale, nothing was changed: ${detail}`);

/** All applies of one process. */
export class Applies {
  readonly #options: AppliesOptions;
  readonly #driven = new Set<string>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #stop: () => void;
  #closed = false;

  constructor(options: AppliesOptions) {
    this.#options = options;
    this.#stop = options.settings.onChange((tenant_id, { pending }) => {
      if (pending !== undefined) void this.#drive(tenant_id);
    });
  }

  /** The stored state. An unfinished apply is finished first. Rejects as the stores do. */
  async read(tenant_id: string): Promise<StoredState> {
    const { settings, policies } = this.#options;
    await this.finish(tenant_id);
    return { settings: await settings.read(tenant_id), policies: await policies.read(tenant_id) };
  }

  /**
   * Puts `wanted` in force if both documents still have the revisions of `basis`. Rejects with `settings-conflict` if
   * they do not, and changes nothing. If it rejects with another error after the apply is stored, a Shield finishes the
   * apply: all of it, or nothing. `id`: 32 hex digits; absent: new ones.
   */
  async apply(
    tenant_id: string,
    basis: Basis,
    wanted: Wanted,
    by: string,
    id: string = this.#options.random(16).toHex(),
  ): Promise<StoredState> {
    const stored = await this.read(tenant_id);
    const { settings, policies } = stored;
    if (settings.revision !== basis.settings) throw stale(changedBy(settings.settings));
    if (policies.revision !== basis.policies) throw stale(changedPolicies(policies));
    if (hasDocuments(wanted)) await this.#requireDocuments(tenant_id, basis, wanted);
    const { pending, is_pending, next } = this.#next(stored, wanted, by, id);
    try {
      await this.#options.settings.replace(tenant_id, next, settings.revision);
    } catch (error) {
      throw isConflict(error) ? stale("the settings were changed concurrently") : error;
    }
    if (is_pending) await this.#require(tenant_id, pending);
    return await this.read(tenant_id);
  }

  /** The settings that would begin an apply; stores nothing. Rejects as `apply` for what cannot be put in force. */
  async planned(tenant_id: string, wanted: Wanted, by: string): Promise<TenantSettings> {
    return this.#next(await this.read(tenant_id), wanted, by, "0".repeat(32)).next;
  }

  /** Finishes the tenant's unfinished apply, if there is one, from any Shield. Rejects as the stores do. */
  async finish(tenant_id: string): Promise<void> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const stored = await this.#options.settings.read(tenant_id);
      const { pending } = stored.settings;
      if (pending === undefined) return;
      try {
        await this.#step(tenant_id, stored, pending);
      } catch (error) {
        // Another Shield made the same step, or another writer made the next version of the policies.
        if (!isConflict(error)) throw error;
      }
    }
    throw new ArqonError(
      "settings-conflict",
      `an apply failed: ${ATTEMPTS} conflicts with other writers`,
    );
  }

  close(): void {
    this.#closed = true;
    this.#stop();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  /** The settings that begin the apply. Throws for policies that would be refused after the decision. */
  #next(stored: StoredState, wanted: Wanted, by: string, id: string) {
    const { settings: { settings }, policies: { document } } = stored;
    const pending = this.#pending(stored, wanted, by, id);
    const is_pending = needsDecision(wanted) || hasDocuments(wanted);
    const next: TenantSettings = is_pending
      ? { ...settings, pending }
      : settingsAfter(settings, pending, document.current.version);
    if (needsDecision(wanted)) policiesAfter(document, pending);
    return { pending, is_pending, next };
  }

  #pending(
    { settings, policies }: StoredState,
    wanted: Wanted,
    by: string,
    id: string,
  ): PendingApply {
    const { now } = this.#options;
    const { version: base_version, policies: before } = policies.document.current;
    return {
      id,
      by,
      at_ms: now(),
      base_version,
      policies: wanted.policies ?? before,
      mirror: wanted.mirror ?? settings.settings.mirror,
      mappings: wanted.mappings ?? settings.settings.mappings,
      rooms: wanted.rooms ?? settings.settings.rooms,
      ...(wanted.schemas === undefined ? {} : { schemas: [...wanted.schemas] }),
      ...limitsOf(settings.settings),
      ...limitsOf(wanted),
      ...documentsOf(wanted),
      ...(needsDecision(wanted) ? {} : { decided: true as const }),
    };
  }

  /** Rejects if the documents changed since the plan, or if the wanted ones can no longer be activated. */
  async #requireDocuments(tenant_id: string, basis: Basis, wanted: Wanted): Promise<void> {
    const { documents } = this.#options;
    if (documents === undefined) return;
    const is_same = basis.documents === undefined ||
      await documentsHash(tenant_id, await documents.list(tenant_id)) === basis.documents;
    if (!is_same) throw stale("hooks, schedules or reducers were changed concurrently");
    await documents.require(tenant_id, wanted);
  }

  /** One step towards the end. Rejects with `version-conflict` if another writer was faster. */
  async #step(tenant_id: string, stored: StoredSettings, pending: PendingApply): Promise<void> {
    const { settings, policies } = this.#options;
    const { document, revision } = await policies.read(tenant_id);
    const { base_version, decided } = pending;
    const decision = decided === true ? "made" : decisionOf(pending, document);
    if (decision === "open") {
      await policies.replace(tenant_id, policiesAfter(document, pending), revision);
    }
    // Schemas are activated before mappings, so no mapping names a missing schema.
    if (decision !== "lost") await this.#promote(tenant_id, pending);
    if (decision !== "lost") await this.#writeDocuments(tenant_id, pending);
    const next: TenantSettings = decision === "lost"
      ? withoutPending(stored.settings)
      : settingsAfter(stored.settings, pending, base_version + (decided === true ? 0 : 1));
    await settings.replace(tenant_id, next, stored.revision);
  }

  async #writeDocuments(tenant_id: string, pending: PendingApply): Promise<void> {
    const { documents, settings } = this.#options;
    const { id, by, at_ms } = pending;
    const isPending = async () => (await settings.read(tenant_id)).settings.pending?.id === id;
    await documents?.write(writingOf({ tenant_id, by, at_ms }, isPending), pending);
  }

  /** Activates the schemas of a decided apply. Rejects as the store does. */
  async #promote(tenant_id: string, { id, by, at_ms, schemas = [] }: PendingApply): Promise<void> {
    const { promote, log } = this.#options;
    for (const schema of schemas) {
      if (promote === undefined) {
        throw new ArqonError("schema-unavailable", "schemas are switched off on this Shield");
      }
      try {
        await promote(schema, { apply: id, by, at_ms });
      } catch (error) {
        if (!(error instanceof ArqonError) || error.reason !== "schema-unavailable") throw error;
        // The schema's bytes are lost, and the tenant's settings must not be blocked for ever.
        const { schema_id } = schema;
        log.error("a schema of an apply cannot be activated", { tenant_id, schema_id, error });
      }
    }
  }

  /** Finishes an apply of this process, and rejects if it lost. */
  async #require(tenant_id: string, pending: PendingApply): Promise<void> {
    await this.finish(tenant_id);
    if (pending.decided === true) return;
    const { document } = await this.#options.policies.read(tenant_id);
    if (decisionOf(pending, document) === "made") return;
    throw stale("the policies were changed concurrently");
  }

  /** Finishes an observed apply, and retries until it is finished. */
  async #drive(tenant_id: string): Promise<void> {
    const { settings, log } = this.#options;
    if (this.#closed || this.#driven.has(tenant_id)) return;
    this.#driven.add(tenant_id);
    try {
      await this.finish(tenant_id);
    } catch (error) {
      log.warn("an apply could not be finished yet", { tenant_id, error });
      if (this.#closed) return;
      clearTimeout(this.#timers.get(tenant_id));
      const again = () => {
        this.#timers.delete(tenant_id);
        if (settings.get(tenant_id).pending !== undefined) void this.#drive(tenant_id);
      };
      this.#timers.set(tenant_id, setTimeout(again, AGAIN_MS));
    } finally {
      this.#driven.delete(tenant_id);
    }
  }
}

function changedBy({ version, by }: TenantSettings): string {
  return `the settings are at version ${version}, by ${JSON.stringify(by)}`;
}

function changedPolicies({ document: { current: { version, by, change } } }: StoredDocument) {
  return `the policies are at version ${version}, ${JSON.stringify(change)} by ${
    JSON.stringify(by)
  }`;
}

/**
 * The writes of an apply. `isPending` reads the whole apply, so it is called once for all items, and once for each
 * conflict. It is called after the items are read: one that was changed after the apply loses its compare-and-set.
 */
export function writingOf(
  apply: Omit<Writing, "change">,
  isPending: () => Promise<boolean>,
): Writing {
  const { tenant_id } = apply;
  return {
    ...apply,
    async change(ids, read) {
      const writes: [id: string, write: NonNullable<ItemWrite>][] = [];
      for (const id of ids) {
        await slice(tenant_id);
        const write = await read(id);
        if (write !== undefined) writes.push([id, write]);
      }
      if (writes.length === 0 || !await isPending()) return;
      for (const [id, first] of writes) {
        await slice(tenant_id);
        let write: ItemWrite = first;
        await changeDocument(async (mayLose) => {
          if (write === undefined) {
            write = await read(id);
            if (write === undefined || !await isPending()) return;
          }
          const now = write;
          write = undefined;
          await mayLose(now());
        });
      }
    },
  };
}
