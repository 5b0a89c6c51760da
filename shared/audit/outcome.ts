/**
 * The outcomes of what the audit log reports about. They stand apart from the entries, so that arq can
 * name them in its help without loading those.
 */

/**
 * `begun`: it was about to happen, written before; the outcome follows as an entry of the same `request`.
 * `done`: it has happened. `refused`: it has not, and why is `reason`. `failed`: it went wrong, and may
 * have happened.
 */
export const AUDIT_OUTCOMES = ["begun", "done", "refused", "failed"] as const;
/** See `AUDIT_OUTCOMES`. */
export type AuditOutcome = typeof AUDIT_OUTCOMES[number];
