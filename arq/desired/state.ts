/** What is in force for a tenant and what is to be, as values that can be compared. Types only. */
import type { TenantHook } from "../../shared/config/automation/hooks.ts";
import type { SignatureRule } from "../../shared/config/schema_auth.ts";
import type { MirrorRule, SchemaMapping } from "../../shared/config/schema_governance.ts";
import type { TenantRoomClass } from "../../shared/config/schema_durable.ts";
import type { OwnQuota } from "../../shared/config/schema_quota.ts";
import type { TenantBudget } from "../../shared/config/schema_usage.ts";
import type { When } from "../../shared/records/schedule.ts";

/** A policy without the bytes of its module. */
export interface StatePolicy {
  readonly name: string;
  readonly sha256: string;
  readonly room: string;
  readonly hooks: readonly string[];
  readonly order: number;
  readonly mode: string;
  readonly percent: number;
}

/** A schema, by its content: `unpacked_sha256` is of the set without gzip. */
export interface StateSchema {
  readonly id: string;
  readonly unpacked_sha256: string;
  /** Absent in what is to be: as it is. */
  readonly compatibility: string | undefined;
}

/** A hook without its secret, which only the bus has. */
export interface StateHook extends Omit<TenantHook, "secret"> {
  readonly id: string;
  /** Absent in what is to be: as it is. */
  readonly paused?: boolean | undefined;
}

/** A schedule; its message is canonical JSON. */
export interface StateSchedule extends When {
  readonly id: string;
  readonly room: string;
  readonly message: string;
  readonly user: string;
  /** Absent in what is to be: as it is. */
  readonly paused?: boolean | undefined;
}

/** A module that is deployed to a class of rooms. */
export interface StateReducer {
  readonly class: string;
  readonly sha256: string;
}

/** The lists of a tenant; one that is undefined is not looked after. */
export interface State {
  readonly policies: readonly StatePolicy[] | undefined;
  readonly schemas: readonly StateSchema[] | undefined;
  readonly mappings: readonly SchemaMapping[] | undefined;
  readonly rooms: readonly TenantRoomClass[] | undefined;
  readonly mirror: readonly MirrorRule[] | undefined;
  readonly quotas: readonly OwnQuota[] | undefined;
  readonly budgets: readonly TenantBudget[] | undefined;
  readonly require_signature: readonly SignatureRule[] | undefined;
  readonly hooks: readonly StateHook[] | undefined;
  readonly schedules: readonly StateSchedule[] | undefined;
  readonly reducers: readonly StateReducer[] | undefined;
}

/** A state as a folder has it, with what its files hold. */
export interface Desired {
  readonly tenant: string;
  readonly state: State;
  /** Modules of policies and reducers by their sha256. */
  readonly modules: ReadonlyMap<string, Uint8Array>;
  /** Gzipped sets by schema id. */
  readonly sets: ReadonlyMap<string, Uint8Array>;
  /** Of the schemas of the bus, and no tenant's. */
  readonly is_bus?: boolean;
  /** What is right and may surprise, in sentences. */
  readonly warnings: readonly string[];
}
