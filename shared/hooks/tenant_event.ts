/**
 * The entries of a tenant's room of events, for hooks: policy refusals, exhausted budgets, created and ended rooms,
 * disabled hooks, and the number of lost entries. Form only: Shields write it, and Brains the entries about rooms and
 * hooks; the Brain that runs a hook reads it.
 */
import { readEnvelope } from "@arqon/proto";
import { z } from "zod";
import { TENANT_EVENT_TYPES, type TenantEventType } from "../config/automation/hooks.ts";

/** The type of an entry that counts lost ones. */
export const EVENTS_LOST = "lost";

const Entry = z.looseObject({
  /** The room it is about; null: none. */
  room: z.string().nullable(),
});

/** A stored event. */
export interface TenantEvent {
  readonly type: TenantEventType | typeof EVENTS_LOST;
  readonly data: z.output<typeof Entry>;
}

const TYPES: readonly string[] = [...TENANT_EVENT_TYPES, EVENTS_LOST];
const decoder = new TextDecoder();

/** Decodes a stored message; undefined: it is no event, or of a later version. */
export function readTenantEvent(payload: Uint8Array): TenantEvent | undefined {
  try {
    const { event } = readEnvelope(payload);
    if (event === undefined || !TYPES.includes(event.type)) return undefined;
    const data = Entry.parse(JSON.parse(decoder.decode(event.data)));
    return { type: event.type as TenantEvent["type"], data };
  } catch {
    return undefined;
  }
}
