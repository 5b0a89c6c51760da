/**
 * The kinds of a tenant's state of which each thing is a document of its own: hooks, schedules, and the modules that
 * are deployed to classes of rooms. An apply carries a kind whole, and whoever finishes it writes its documents after
 * the decision: the same ones, whoever it is, and none once the apply is finished.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import { canonicalJson } from "../../shared/canonical_json.ts";
import { TenantHook } from "../../shared/config/automation/hooks.ts";
import { roomPattern } from "../../shared/config/values/schema_values.ts";
import type { PendingApply } from "../../shared/records/tenant_settings.ts";
import { sha256Hex } from "../../shared/sha256.ts";
import { Id } from "../admin/routing/query.ts";
import { ScheduleBody } from "../schedules/body.ts";
import { refuseWhen } from "../schedules/members.ts";
import { DOCUMENT_KINDS } from "./decision.ts";
import type { DocumentKindName, Wanted } from "./decision.ts";

const paused = z.boolean().optional().describe("absent: as it is, and a new one is not paused");

/** A hook; without a secret it keeps its own, and a new one gets one. */
export const StateHook = z.strictObject({ id: Id, ...TenantHook.shape, paused });
/** A hook. */
export type StateHook = z.output<typeof StateHook>;

/** A schedule. */
export const StateSchedule = z.strictObject({ id: Id, ...ScheduleBody.shape, paused })
  .superRefine(refuseWhen);
/** A schedule. */
export type StateSchedule = z.output<typeof StateSchedule>;

/** The module that is the program of a class of rooms, in place of the file of the configuration. */
export const StateReducer = z.strictObject({
  class: roomPattern,
  sha256: z.string().regex(/^[0-9a-f]{64}$/, { error: "expected 64 lowercase hex digits" }),
});
/** One of these. */
export type StateReducer = z.output<typeof StateReducer>;

/** A thing of each kind. */
export interface DocumentThings {
  readonly hooks: StateHook;
  readonly schedules: StateSchedule;
  readonly reducers: StateReducer;
}

/** The lists of a tenant; a kind that is switched off here is absent. */
export type DocumentLists = { readonly [Name in DocumentKindName]?: DocumentThings[Name][] };

/** The tenant whose documents are written, for which apply. */
export interface Writing {
  readonly tenant_id: string;
  readonly by: string;
  /** When the apply began, Unix ms. */
  readonly at_ms: number;
  /** False once the apply is finished: what is there then is nobody's to change. Asked behind each read. */
  readonly isPending: () => Promise<boolean>;
}

/** One kind. */
export interface DocumentKind<Thing> {
  readonly entry: z.ZodType<Thing>;
  /** Why it cannot be set here; undefined: it can. */
  readonly off: string | undefined;
  /** What is in force, without secrets. */
  list(tenant_id: string): Promise<Thing[]>;
  /** Tenants that have some. */
  tenants(): Promise<Iterable<string>>;
  /** What is to be stored. Throws `invalid-settings` for what may not be, `settings-conflict` for too much. */
  check(tenant_id: string, wanted: readonly Thing[]): Promise<Thing[]>;
  /** Throws when what was checked earlier can no longer be put in force. */
  require?(tenant_id: string, wanted: readonly Thing[]): Promise<void>;
  write(writing: Writing, wanted: readonly Thing[]): Promise<void>;
}

/** A schedule that ends on its own is nothing that somebody has changed. */
const endsItself = (thing: object): boolean => "at_ms" in thing || "until_ms" in thing;

/** The kinds that this process has; of a capability that it is without there is none. */
export type DocumentKinds = {
  readonly [Name in DocumentKindName]: DocumentKind<DocumentThings[Name]> | undefined;
};

/** All kinds of one process. */
export class Documents {
  readonly #kinds: DocumentKinds;

  constructor(kinds: DocumentKinds) {
    this.#kinds = kinds;
  }

  /** What is in force for the tenant. */
  async list(tenant_id: string): Promise<DocumentLists> {
    const lists: Record<string, unknown> = {};
    for (const name of DOCUMENT_KINDS) {
      const kind = this.#kinds[name];
      if (kind !== undefined && kind.off === undefined) lists[name] = await kind.list(tenant_id);
    }
    return lists as DocumentLists;
  }

  /** Tenants that have set any of it. */
  async tenants(): Promise<string[]> {
    const all = DOCUMENT_KINDS.map((name) => this.#kinds[name]?.tenants() ?? []);
    return (await Promise.all(all)).flatMap((tenants) => [...tenants]);
  }

  /** What is wanted of these kinds, as it is to be stored. Rejects as `DocumentKind.check`. */
  async check(tenant_id: string, wanted: Wanted): Promise<DocumentLists> {
    return await this.#each(wanted, async (kind, things, name) => {
      if (kind.off !== undefined) throw new ArqonError("invalid-settings", `${name}: ${kind.off}`);
      return await kind.check(tenant_id, things);
    });
  }

  /** Rejects when what was checked earlier can no longer be put in force. */
  async require(tenant_id: string, wanted: Wanted): Promise<void> {
    await this.#each(wanted, async (kind, things) => {
      await kind.require?.(tenant_id, things);
      return [];
    });
  }

  /** Writes what an apply has, which is decided. Rejects as the stores do. */
  async write(writing: Writing, pending: PendingApply): Promise<void> {
    await this.#each(pending, async (kind, things) => {
      await kind.write(writing, things);
      return [];
    });
  }

  async #each(
    wanted: Wanted,
    act: <Thing>(
      kind: DocumentKind<Thing>,
      things: Thing[],
      name: DocumentKindName,
    ) => Promise<Thing[]>,
  ): Promise<DocumentLists> {
    const done: Record<string, unknown> = {};
    const one = async <Name extends DocumentKindName>(name: Name) => {
      const list = wanted[name];
      if (list === undefined) return;
      const kind: DocumentKind<DocumentThings[Name]> | undefined = this.#kinds[name];
      if (kind === undefined) {
        throw new ArqonError("invalid-settings", `${name}: not on this Shield`);
      }
      // A list of another release may have what this one does not know: nothing of it is lost in silence.
      done[name] = await act(kind, z.array(kind.entry).parse(list), name);
    };
    for (const name of DOCUMENT_KINDS) await one(name);
    return done as DocumentLists;
  }
}

/** Tells one state of these kinds from another, but for schedules that end by themselves. */
export async function documentsHash(
  { hooks = [], schedules = [], reducers = [] }: DocumentLists,
): Promise<string> {
  const lasting = schedules.filter((one) => !endsItself(one));
  const text = canonicalJson([hooks, lasting, reducers]);
  return await sha256Hex(new TextEncoder().encode(text));
}

/** Secrets that were made for hooks that came without one, by the id of the hook. */
export function madeSecrets(
  given: readonly StateHook[] = [],
  checked: readonly StateHook[] = [],
): Record<string, string> {
  const without = new Set(given.filter(({ secret }) => secret === undefined).map(({ id }) => id));
  return Object.fromEntries(
    checked.flatMap(({ id, secret }) => secret && without.has(id) ? [[id, secret]] : []),
  );
}
