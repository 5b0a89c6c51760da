/** The faults of a bus's process, their duration, and the names of NATS servers. Pure; `fleet.ts` executes them. */

/**
 * `kill` is SIGKILL and a new start, `stop` SIGSTOP and SIGCONT, `restart` SIGTERM and a new start, `cut` the loss of
 * every TCP connection and of the ability to open new ones.
 */
export type FaultKind = "kill" | "stop" | "restart" | "cut";

/** One fault. */
export interface Fault {
  /** Since the start of the script. */
  readonly at_ms: number;
  readonly target: string;
  readonly kind: FaultKind;
  /** From the beginning of the fault to its end: SIGCONT, the new start, the connection restored. */
  readonly away_ms: number;
}

/** A fault that happens now. */
export type Blow = Omit<Fault, "at_ms">;

/** The number of NATS servers: one, or a cluster with three replicas. */
export type ServerCount = 1 | 3;

/** Their names in a script. */
export function natsNames(servers: ServerCount): string[] {
  return Array.from({ length: servers }, (_, index) => `nats-${index}`);
}
