/**
 * Lines of the configuration of a bus whose policies judge messages in a test that is not about time: on a busy machine
 * a worker's thread may have no core for longer than the 250 ms of the default, and what is late is refused.
 */
export const PATIENT_POLICIES = "[policy]\nstall_ms = 60_000\n";
