/**
 * The room of a tenant's log in which stands what hooks are notified of and no room has: its name. Nobody but the bus
 * writes there, and no client reads it. What is in it is `shared/hooks/tenant_event.ts`.
 */

/** The room. */
export const EVENTS_ROOM = "~events";
