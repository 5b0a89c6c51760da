/**
 * The kinds of a tenant's state with one document for each item: hooks, schedules, and modules deployed to classes of
 * rooms. Each kind registers how it is read, checked and written; an apply of a tenant's whole state calls them.
 */
import { z } from "zod";
import { TenantHook } from "../../shared/config/automation/hooks.ts";
import { id, roomPattern } from "../../shared/config/values/schema_values.ts";
import { refuseWhen, ScheduleBody } from "../../shared/records/schedule.ts";

/** The kinds of separate documents. */
export const DOCUMENT_KINDS = ["hooks", "schedules", "reducers"] as const;
/** The name of a kind. */
export type DocumentKindName = typeof DOCUMENT_KINDS[number];

const paused = z.boolean().optional().describe("absent: unchanged, and a new one is not paused");

/** A hook; without a secret it keeps its secret, and a new hook gets a generated one. */
export const StateHook = z.strictObject({ id, ...TenantHook.shape, paused });
/** A hook. */
export type StateHook = z.output<typeof StateHook>;

/** A schedule. */
export const StateSchedule = z.strictObject({ id, ...ScheduleBody.shape, paused })
  .superRefine(refuseWhen);
/** A schedule. */
export type StateSchedule = z.output<typeof StateSchedule>;

/** The module that a room class runs, instead of the configured file. */
export const StateReducer = z.strictObject({
  class: roomPattern,
  sha256: z.string().regex(/^[0-9a-f]{64}$/, { error: "expected 64 lowercase hex digits" }),
});
/** A deployed module. */
export type StateReducer = z.output<typeof StateReducer>;

/** The type of an item of each kind. */
export interface DocumentThings {
  readonly hooks: StateHook;
  readonly schedules: StateSchedule;
  readonly reducers: StateReducer;
}

/** The tenant and the apply of a write. */
export interface Writing {
  readonly tenant_id: string;
  readonly by: string;
  /** When the apply began, Unix ms. */
  readonly at_ms: number;
  /** False once the apply is finished: then nothing may be written. Called after each read. */
  readonly isPending: () => Promise<boolean>;
}

/** One kind of documents. */
export interface DocumentKind<Thing> {
  readonly entry: z.ZodType<Thing>;
  /** Why it cannot be set here; undefined if it can. */
  readonly off: string | undefined;
  /** The items in force, without secrets. */
  list(tenant_id: string): Promise<Thing[]>;
  /** Tenants with items of this kind. */
  tenants(): Promise<Iterable<string>>;
  /** The items to store. Throws `invalid-settings` for an invalid item, `settings-conflict` for too many. */
  check(tenant_id: string, wanted: readonly Thing[]): Promise<Thing[]>;
  /** Throws if checked items can no longer be activated. */
  require?(tenant_id: string, wanted: readonly Thing[]): Promise<void>;
  write(writing: Writing, wanted: readonly Thing[]): Promise<void>;
}

/** The kinds of this process; kinds of absent capabilities are missing. */
export type DocumentKinds = {
  readonly [Name in DocumentKindName]?: DocumentKind<DocumentThings[Name]>;
};
