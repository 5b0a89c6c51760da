/**
 * The kinds of a tenant's state with one document per thing: hooks, schedules, and modules that are deployed to room
 * classes. An apply contains a kind as a whole. The Shield that finishes the apply writes its documents after the
 * decision; every Shield would write the same ones, and none after the apply is finished.
 */
import { createHash } from "node:crypto";
import { ArqonError } from "@arqon/proto";
import { canonicalJson } from "../../shared/canonical_json.ts";
import type {
  DocumentKindName,
  PendingApply,
  StateHook,
  StateReducer,
  StateSchedule,
} from "../../shared/records/tenant_settings.ts";
import { slice } from "../../shared/turns/slices.ts";
import { DOCUMENT_KINDS } from "../../shared/records/tenant_settings.ts";
import type { DocumentKind, DocumentKinds, Writing } from "../settings/document_kinds.ts";
import type { Wanted } from "./decision.ts";

/** The lists of a tenant; a kind that is switched off here is absent. */
export interface DocumentLists {
  readonly hooks?: StateHook[];
  readonly schedules?: StateSchedule[];
  readonly reducers?: StateReducer[];
}

/** A schedule that ends automatically is not a change. */
const endsItself = (thing: object): boolean => "at_ms" in thing || "until_ms" in thing;

/** The kinds of separate documents in one process. */
export class Documents {
  readonly #kinds: DocumentKinds;

  constructor(kinds: DocumentKinds) {
    this.#kinds = kinds;
  }

  /** The tenant's state of these kinds. */
  async list(tenant_id: string): Promise<DocumentLists> {
    const lists: Record<string, unknown> = {};
    for (const name of DOCUMENT_KINDS) {
      const kind = this.#kinds[name];
      if (kind !== undefined && kind.off === undefined) lists[name] = await kind.list(tenant_id);
    }
    return lists as DocumentLists;
  }

  async tenants(): Promise<string[]> {
    const all = DOCUMENT_KINDS.map((name) => this.#kinds[name]?.tenants() ?? []);
    return (await Promise.all(all)).flatMap((tenants) => [...tenants]);
  }

  /** The wanted state of these kinds in its stored form. Rejects, and takes `is_dry`, as `DocumentKind.check`. */
  async check(tenant_id: string, wanted: Wanted, is_dry = false): Promise<DocumentLists> {
    return await this.#each(tenant_id, wanted, async (kind, things, name) => {
      if (kind.off !== undefined) throw new ArqonError("invalid-settings", `${name}: ${kind.off}`);
      return await kind.check(tenant_id, things, is_dry);
    });
  }

  /** Rejects as `DocumentKind.checkModule`. */
  async checkModule(
    name: DocumentKindName,
    ...given: Parameters<NonNullable<DocumentKind<object>["checkModule"]>>
  ): Promise<void> {
    const check = this.#kinds[name]?.checkModule;
    if (check === undefined) {
      throw new ArqonError("invalid-settings", `${name}: not on this Shield`);
    }
    await check.call(this.#kinds[name], ...given);
  }

  /** Rejects if the checked state can no longer be activated. */
  async require(tenant_id: string, wanted: Wanted): Promise<void> {
    await this.#each(tenant_id, wanted, async (kind, things) => {
      await kind.require?.(tenant_id, things);
      return [];
    });
  }

  /** Writes the documents of a decided apply. Rejects as the stores do. */
  async write(writing: Writing, pending: PendingApply): Promise<void> {
    await this.#each(writing.tenant_id, pending, async (kind, things) => {
      await kind.write(writing, things);
      return [];
    });
  }

  async #each(
    tenant_id: string,
    wanted: Wanted,
    act: (
      kind: DocumentKind<object>,
      things: object[],
      name: DocumentKindName,
    ) => Promise<object[]>,
  ): Promise<DocumentLists> {
    const done: Record<string, unknown> = {};
    for (const name of DOCUMENT_KINDS) {
      const list = wanted[name];
      if (list === undefined) continue;
      const present = this.#kinds[name];
      const kind = wanted.rooms && present?.with?.(tenant_id, wanted.rooms) || present;
      if (kind === undefined) {
        throw new ArqonError("invalid-settings", `${name}: not on this Shield`);
      }
      // The list of another release may have unknown things, which must not be dropped silently.
      const things: object[] = [];
      for (const one of list) {
        await slice(tenant_id);
        things.push(kind.entry.parse(one));
      }
      done[name] = await act(kind, things, name);
    }
    return done as DocumentLists;
  }
}

/** A hash of the state of these kinds, without schedules that end automatically. */
export async function documentsHash(
  tenant_id: string,
  { hooks = [], schedules = [], reducers = [] }: DocumentLists,
): Promise<string> {
  const lasting = schedules.filter((one) => !endsItself(one));
  // The hash of the canonical JSON of all three lists, which may have many megabytes.
  const hash = createHash("sha256");
  for (const [at, list] of [hooks, lasting, reducers].entries()) {
    hash.update(at === 0 ? "[[" : ",[");
    for (const [place, one] of list.entries()) {
      await slice(tenant_id);
      hash.update(`${place === 0 ? "" : ","}${canonicalJson(one)}`);
    }
    hash.update("]");
  }
  return hash.update("]").digest("hex");
}

/** Secrets that were generated for hooks without one, by the id of the hook. */
export function madeSecrets(
  given: readonly StateHook[] = [],
  checked: readonly StateHook[] = [],
): Record<string, string> {
  const without = new Set(given.filter(({ secret }) => secret === undefined).map(({ id }) => id));
  return Object.fromEntries(
    checked.flatMap(({ id, secret }) => secret && without.has(id) ? [[id, secret]] : []),
  );
}
