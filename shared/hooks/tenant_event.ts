/**
 * What is in a tenant's room of events, for hooks: refusals of policies, budgets that are used up, rooms that
 * were made or have ended, hooks that were switched off, and how many of them are not there. Form only; Shields
 * write it, and Brains what is of rooms and hooks; the Brain that has a hook reads it.
 */
import { readEnvelope } from "@arqon/proto";
import { z } from "zod";
import { TENANT_EVENT_TYPES, type TenantEventType } from "../config/automation/hooks.ts";

/** The type of an entry that says how many others are not there. */
export const EVENTS_LOST = "lost";

const Entry = z.looseObject({
  /** The room that it is about; null: none. */
  room: z.string().nullable(),
});

/** An event as it is stored. */
export interface TenantEvent {
  readonly type: TenantEventType | typeof EVENTS_LOST;
  readonly data: z.output<typeof Entry>;
}

const TYPES: readonly string[] = [...TENANT_EVENT_TYPES, EVENTS_LOST];
const decoder = new TextDecoder();

/** Reads a stored message; undefined: it is none, or of a later version. */
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
