/**
 * What is stored of a hook in the bucket `ARQON_HOOKS`: under `[tenant, hook]` since when it receives and whether
 * it is paused; below that, for each room, how far it has come (`room`), what was given up (`dead`), and until when its receiver is left
 * alone (`wait`). A hook that a tenant has set at run time is in its document. Form and keys only; who writes it is
 * `brain/hooks/`, and what admins ask for the Shield.
 */
import { z } from "zod";
import { TenantHook } from "../config/automation/hooks.ts";
import type { KvKey } from "../spine/contract/spine.ts";
import { readStored, storedBytes } from "./stored.ts";

/** The bucket. */
export const HOOKS_BUCKET = "ARQON_HOOKS";

const Position = z.looseObject({
  /** The life of the tenant's log. */
  stream: z.string(),
  offset: z.int().min(0),
});
/** A place in the log of a tenant. */
export type HookPosition = z.output<typeof Position>;

// Loose: what a later version has put beside it must survive a write of ours.
const Document = z.looseObject({
  format: z.literal(1),
  /** Where it begins in rooms without a position of their own; absent: the log ends there when a Brain first has it. */
  since: Position.optional(),
  /** What a tenant has set; absent: the hook is in the configuration, or nowhere any longer. */
  spec: TenantHook.optional(),
  paused: z.boolean().default(false),
  /** Why the bus has paused it; absent: somebody has, or nobody. */
  off: z.string().optional(),
  /** For how long no call was taken, ms: what Brains counted by their monotonic clocks. */
  failed_ms: z.number().min(0).optional(),
  /** Counts the orders to call for dead letters again. */
  replay: z.int().min(0).default(0),
  /** The last of them that was done. */
  replayed: z.int().min(0).default(0),
  /** The last order to call again for what came since then, Unix ms; absent: there was none. */
  again: z.looseObject({ order: z.int().min(1), from_ms: z.int().min(0) }).optional(),
  /** The last of those that was done. */
  again_done: z.int().min(0).default(0),
});
/** What is stored of a hook. */
export type HookDocument = z.output<typeof Document>;

const Wait = z.looseObject({
  /** For how long the receiver does not want to be called, ms. */
  wait_ms: z.number().min(0),
  /** When it said so, Unix ms: for a store without a clock. */
  at_ms: z.number(),
});
/** What a receiver said with `Retry-After`. */
export type HookWait = z.output<typeof Wait>;

const Dead = z.looseObject({
  /** As `webhook-id` of its calls. */
  id: z.string(),
  type: z.string(),
  room: z.string(),
  offset: z.int().min(0),
  at_ms: z.int().min(0),
  calls: z.int().min(1),
  /** Of the last answer; 0: there was none. */
  status: z.int().min(0),
  problem: z.string(),
  body: z.string(),
});
/** An event for which the hook is not called any longer. */
export type DeadLetter = z.output<typeof Dead>;

/** Undefined: it is none. Throws `incompatible-version`, as the two below. */
export const readHookDocument = (bytes: Uint8Array): HookDocument | undefined =>
  readStored(bytes, Document, "hook");
/** Undefined: it is none. */
export const readPosition = (bytes: Uint8Array): HookPosition | undefined =>
  readStored(bytes, Position, "hook's position");
/** Undefined: it is none. */
export const readDeadLetter = (bytes: Uint8Array): DeadLetter | undefined =>
  readStored(bytes, Dead, "dead letter");

/** Undefined: it is none. */
export const readHookWait = (bytes: Uint8Array): HookWait | undefined =>
  readStored(bytes, Wait, "hook's wait");

/** Any of them as bytes. */
export const hookBytes: (
  value: HookDocument | HookPosition | HookWait | DeadLetter,
) => Uint8Array = storedBytes;

/** A hook of which nothing is stored. */
export const NEW_HOOK: HookDocument = {
  format: 1,
  paused: false,
  replay: 0,
  replayed: 0,
  again_done: 0,
};

/** The document with one more order to call again since then. One that is not done yet is done with it. */
export function withAgain(document: HookDocument, from_ms: number): HookDocument {
  const { again, again_done } = document;
  const is_open = again !== undefined && again.order > again_done;
  const order = (again?.order ?? again_done) + 1;
  return {
    ...document,
    again: { order, from_ms: is_open ? Math.min(again.from_ms, from_ms) : from_ms },
  };
}

/** The document of the hook that is called again. */
export function resumed({ off: _, failed_ms: __, ...document }: HookDocument): HookDocument {
  return { ...document, paused: false };
}

/** Whether an order waits to be done. */
export function hasOrder({ replay, replayed, again, again_done }: HookDocument): boolean {
  return replay > replayed || (again?.order ?? 0) > again_done;
}

/** The key of a hook's document. */
export const hookKey = (tenant_id: string, hook_id: string): KvKey => [tenant_id, hook_id];
/** The key of what its receiver said with `Retry-After`. */
export const waitKey = (tenant_id: string, hook_id: string): KvKey => [tenant_id, hook_id, "wait"];
/** The key of its position in a room; without a room, what all of them are below. */
export const positionKey = (tenant_id: string, hook_id: string, room_id?: string): KvKey =>
  room_id === undefined ? [tenant_id, hook_id, "room"] : [tenant_id, hook_id, "room", room_id];
/** The key of a dead letter, by its `id`; without one, what all of them are below. */
export const deadKey = (tenant_id: string, hook_id: string, id?: string): KvKey =>
  id === undefined ? [tenant_id, hook_id, "dead"] : [tenant_id, hook_id, "dead", id];
