/** Buckets whose records several parts read: the names alone, so that who erases or lists them needs no part of theirs. */

/**
 * The bucket of all tenants. Keys: `[tenant_id, room_id, id]`; of a part of a long text the time when its message began
 * and the number of the part behind it.
 */
export const GROWING_BUCKET = "ARQON_GROWING";

/** The bucket. Keys: `[tenant_id, schedule_id]`. */
export const SCHEDULES_BUCKET = "ARQON_SCHEDULES";

/** The bucket of all tenants' streams. */
export const STREAMS_BUCKET = "ARQON_STREAMS";

/** The bucket. Keys: `[tenant_id]` of rollouts, `[tenant_id, node_id]` of what Shields say. */
export const ROLLOUTS_BUCKET = "ARQON_ROLLOUTS";

/** The bucket of the tenants' policies. Keys: `[tenant_id]`. */
export const POLICIES_BUCKET = "ARQON_POLICIES";

/** The bucket of all tenants' tickets. Keys: when it ends, and the digest of the ticket. */
export const TICKETS_BUCKET = "ARQON_TICKETS";
