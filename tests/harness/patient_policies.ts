/**
 * Configuration lines for a bus with policies in tests that are not about time: on a busy machine a worker's thread may
 * get no core for longer than the default of 250 ms, and late verdicts are refusals.
 */
export const PATIENT_POLICIES = "[policy]\nstall_ms = 60_000\n";
