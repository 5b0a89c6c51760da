/**
 * The outcomes of audited actions. A separate file, so that the help of arq can list them without loading the entries.
 */

/**
 * `begun`: written before the action; its outcome follows as an entry of the same `request`. `done`: it was done.
 * `refused`: it was not done, for `reason`. `failed`: it failed, and may have been done.
 */
export const AUDIT_OUTCOMES = ["begun", "done", "refused", "failed"] as const;
