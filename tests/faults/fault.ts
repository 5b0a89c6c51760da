/**
 * What can happen to a process of a bus, for how long, and how NATS servers are called there. Pure;
 * `fleet.ts` carries it out.
 */

/**
 * `kill` is SIGKILL and a new start, `stop` SIGSTOP and SIGCONT, `restart` SIGTERM and a new start,
 * `cut` the loss of every TCP connection and of the way to make new ones.
 */
export type FaultKind = "kill" | "stop" | "restart" | "cut";

/** One fault. */
export interface Fault {
  /** Since the begin of the script. */
  readonly at_ms: number;
  readonly target: string;
  readonly kind: FaultKind;
  /** From the blow to its end: SIGCONT, the new start, the connection restored. */
  readonly away_ms: number;
}

/** One that happens now. */
export type Blow = Omit<Fault, "at_ms">;

/** How many NATS servers there are: one, or a cluster that keeps three copies. */
export type ServerCount = 1 | 3;

/** How a script names them. */
export function natsNames(servers: ServerCount): string[] {
  return Array.from({ length: servers }, (_, index) => `nats-${index}`);
}
