/**
 * The room of a tenant's log in which stands what hooks are told of and no room has: its name. Nobody but the bus
 * writes there, and no client reads it. What stands in it is `shared/hooks/tenant_event.ts`.
 */

/** The room. */
export const EVENTS_ROOM = "~events";
