/**
 * The stored state of a hook in the bucket `ARQON_HOOKS`. Under `[tenant, hook]`: since when it receives, whether it is
 * paused, and the spec if the tenant set it at run time. Below that: its position in each room (`room`), its dead
 * letters (`dead`), and its receiver's `Retry-After` (`wait`). Form and keys, and a watch: `brain/hooks/` writes it;
 * the Shield writes admins' requests.
 */
import { z } from "zod";
import { type HookEntry, TenantHook } from "../config/automation/hooks.ts";
import type { KvKey, KvWatch, Spine } from "../spine/contract/spine.ts";
import { readStored, storedBytes, unlessNewer } from "./stored.ts";

/** The bucket. */
export const HOOKS_BUCKET = "ARQON_HOOKS";

const Position = z.looseObject({
  /** The incarnation of the tenant's log. */
  stream: z.string(),
  offset: z.int().min(0),
});
/** A position in the log of a tenant. */
export type HookPosition = z.output<typeof Position>;

// Loose: a write of this version keeps members of a later one.
const Document = z.looseObject({
  format: z.literal(1),
  /** Its start in rooms without a position; absent: the end of the log when a Brain first loads it. */
  since: Position.optional(),
  /** The tenant's spec; absent: the hook is in the configuration, or was deleted. */
  spec: TenantHook.optional(),
  paused: z.boolean().default(false),
  /** Why the bus has paused it; absent: it is not paused, or an admin paused it. */
  off: z.string().optional(),
  /** For how long every call failed, ms, by the Brains' monotonic clocks. */
  failed_ms: z.number().min(0).optional(),
  /** Counts the requests to replay dead letters. */
  replay: z.int().min(0).default(0),
  /** The last of them that was done. */
  replayed: z.int().min(0).default(0),
  /** The last request to replay events since a time, Unix ms; absent: none. */
  again: z.looseObject({ order: z.int().min(1), from_ms: z.int().min(0) }).optional(),
  /** The last of those that was done. */
  again_done: z.int().min(0).default(0),
});

/** The decoded document of a hook. */
export type HookDocument = z.output<typeof Document>;

const Wait = z.looseObject({
  /** For how long the receiver refuses calls, ms. */
  wait_ms: z.number().min(0),
  /** When it answered so, Unix ms: for a store without a clock. */
  at_ms: z.number(),
});
/** The `Retry-After` of a receiver. */
type HookWait = z.output<typeof Wait>;

const Dead = z.looseObject({
  /** The `webhook-id` of its calls. */
  id: z.string(),
  type: z.string(),
  room: z.string(),
  offset: z.int().min(0),
  at_ms: z.int().min(0),
  calls: z.int().min(1),
  /** Status of the last answer; 0: none. */
  status: z.int().min(0),
  problem: z.string(),
  body: z.string(),
});
/** An event for which the hook is no longer retried. */
export type DeadLetter = z.output<typeof Dead>;

/** Undefined: no such document. Throws `incompatible-version`, as the two below. */
export const readHookDocument = (bytes: Uint8Array): HookDocument | undefined =>
  readStored(bytes, Document, "hook");
/** Undefined: no position. */
export const readPosition = (bytes: Uint8Array): HookPosition | undefined =>
  readStored(bytes, Position, "hook's position");
/** Undefined: no dead letter. */
export const readDeadLetter = (bytes: Uint8Array): DeadLetter | undefined =>
  readStored(bytes, Dead, "dead letter");

/** Undefined: no wait. */
export const readHookWait = (bytes: Uint8Array): HookWait | undefined =>
  readStored(bytes, Wait, "hook's wait");

/** The stored form of any of them. */
export const hookBytes: (
  value: HookDocument | HookPosition | HookWait | DeadLetter,
) => Uint8Array = storedBytes;

/** A hook without stored state. */
export const NEW_HOOK: HookDocument = {
  format: 1,
  paused: false,
  replay: 0,
  replayed: 0,
  again_done: 0,
};

/** The document with one more request to replay since a time. It includes an earlier one that is not done yet. */
export function withAgain(document: HookDocument, from_ms: number): HookDocument {
  const { again, again_done } = document;
  const is_open = again !== undefined && again.order > again_done;
  const order = (again?.order ?? again_done) + 1;
  return {
    ...document,
    again: { order, from_ms: is_open ? Math.min(again.from_ms, from_ms) : from_ms },
  };
}

/** The document of a hook after its pause. */
export function resumed({ off: _, failed_ms: __, ...document }: HookDocument): HookDocument {
  return { ...document, paused: false };
}

/** Whether a request is pending. */
export function hasOrder({ replay, replayed, again, again_done }: HookDocument): boolean {
  return replay > replayed || (again?.order ?? 0) > again_done;
}

/** The key of a hook's document. */
export const hookKey = (tenant_id: string, hook_id: string): KvKey => [tenant_id, hook_id];
/** The key of its receiver's `Retry-After`. */
export const waitKey = (tenant_id: string, hook_id: string): KvKey => [tenant_id, hook_id, "wait"];
/** The key of its position in a room; without a room, the prefix of all positions. */
export const positionKey = (tenant_id: string, hook_id: string, room_id?: string): KvKey =>
  room_id === undefined ? [tenant_id, hook_id, "room"] : [tenant_id, hook_id, "room", room_id];
/** The key of a dead letter; without an id, the prefix of all dead letters. */
export const deadKey = (tenant_id: string, hook_id: string, id?: string): KvKey =>
  id === undefined ? [tenant_id, hook_id, "dead"] : [tenant_id, hook_id, "dead", id];

/** The events that a hook of a tenant is called for. */
export type WantedEvents = Pick<HookEntry, "tenant" | "events">;

/** Calls `set` with the key of each hook that tenants set, and with its events: none once it is removed. */
export async function watchHooks(
  spine: Pick<Spine, "keyValue">,
  set: (key: string, hooks: readonly WantedEvents[]) => void,
): Promise<KvWatch> {
  const bucket = await spine.keyValue(HOOKS_BUCKET);
  return bucket.watch([], ({ key, value }) => {
    const document = value && unlessNewer(() => readHookDocument(value));
    if (document === "newer") return;
    const [tenant = ""] = key;
    set(key.join("/"), [{ tenant, events: document?.spec?.events ?? [] }]);
  }, { depth: 2 });
}
