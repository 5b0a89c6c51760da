/**
 * A kind of a tenant's state with one document for each item. Each kind registers how it is read, checked and written;
 * an apply of a tenant's whole state calls them.
 */
import type { z } from "zod";
import type { AdminCall } from "../admin/routing/admin_routes.ts";
import type { TenantRoomClass } from "../../shared/config/schema_durable.ts";

/** Writes one item by compare-and-set with what was read; undefined: the item is as wanted. */
export type ItemWrite = (() => Promise<unknown>) | undefined;

/** The tenant and the apply of a write. */
export interface Writing {
  readonly tenant_id: string;
  readonly by: string;
  /** When the apply began, Unix ms. */
  readonly at_ms: number;
  /** Reads all items, then writes those that differ, unless the apply is finished. Rejects as `read` and its writes. */
  change(ids: Iterable<string>, read: (id: string) => Promise<ItemWrite>): Promise<void>;
}

/** One kind of documents. */
export interface DocumentKind<Thing> {
  readonly entry: z.ZodType<Thing>;
  /** Why it cannot be set here; undefined if it can. */
  readonly off: string | undefined;
  /** The same with other own room classes of the tenant, which come into force with it. */
  with?(tenant_id: string, rooms: readonly TenantRoomClass[]): DocumentKind<Thing>;
  /** The items in force, without secrets. */
  list(tenant_id: string): Promise<Thing[]>;
  /** Tenants with items of this kind. */
  tenants(): Promise<Iterable<string>>;
  /** The items to store. Throws `invalid-settings` for an invalid item, `settings-conflict` for too many. */
  check(tenant_id: string, wanted: readonly Thing[], is_dry?: boolean): Promise<Thing[]>;
  /** Throws if the module of a thing cannot be stored. A `check` that `is_dry` takes every module as stored. */
  checkModule?(call: AdminCall, name: string, bytes: Uint8Array): Promise<void>;
  /** Throws if checked items can no longer be activated. */
  require?(tenant_id: string, wanted: readonly Thing[]): Promise<void>;
  write(writing: Writing, wanted: readonly Thing[]): Promise<void>;
}

/** The kinds of this process by name; kinds of absent capabilities are missing. */
export type DocumentKinds = Readonly<Record<string, DocumentKind<object>>>;
