/** Names of buckets that several parts read, so that erasing or listing them imports none of the parts. */

/**
 * All tenants' growing texts. Keys: `[tenant_id, room_id, id]`; for a part of a long text the start time of its
 * message, then the part's number.
 */
export const GROWING_BUCKET = "ARQON_GROWING";

/** Keys: `[tenant_id, schedule_id]`. */
export const SCHEDULES_BUCKET = "ARQON_SCHEDULES";

/** All tenants' streams. */
export const STREAMS_BUCKET = "ARQON_STREAMS";

/** Keys: `[tenant_id]` for rollouts, `[tenant_id, node_id]` for the Shields' reports. */
export const ROLLOUTS_BUCKET = "ARQON_ROLLOUTS";

/** The tenants' policies. Keys: `[tenant_id]`. */
export const POLICIES_BUCKET = "ARQON_POLICIES";

/** All tenants' tickets. Keys: the expiry and the digest of the ticket. */
export const TICKETS_BUCKET = "ARQON_TICKETS";
