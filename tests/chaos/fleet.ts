/**
 * The fleet of a chaos run: NATS, three Brains and two Shields that can be cut off from it, two load
 * balancers, and a watch over who leads the streams. Faults are carried out in `tests/faults/fleet.ts`.
 */
import { natsNames } from "../faults/fault.ts";
import type { Fault, ServerCount } from "../faults/fault.ts";
import { Fleet } from "../faults/fleet.ts";
import type { FleetOptions } from "../faults/fleet.ts";
import { DURABLE_CONFIG } from "./durable_traffic.ts";
import { LeaderWatch } from "./leader_watch.ts";
import { MEMBERS_CONFIG } from "./members_judge.ts";
import type { Targets } from "./script.ts";
import type { Variant } from "./variant.ts";

/** What a fleet reports to. */
export interface ChaosOptions
  extends Pick<FleetOptions, "servers" | "dir" | "say" | "onBack" | "onSurprise"> {
  readonly variant: Variant;
  /** Of `[server]` of the Shields. */
  readonly shield_lines: string;
  /** More tables of every process; absent: none. */
  readonly tables?: string;
  /** The run's clock, in ms. */
  readonly now: () => number;
  /** Hears of a fault when it begins. */
  readonly onFault: (fault: Fault) => void;
}

/** The fleet and what watches it. */
export interface ChaosFleet extends AsyncDisposable {
  readonly bus: Fleet;
  /** Addresses for clients. */
  readonly urls: readonly string[];
  /** Who leads the streams of NATS. */
  readonly leaders: LeaderWatch;
}

/** Their names. */
export const BRAINS = ["brain-0", "brain-1", "brain-2"];
const SHIELDS = ["shield-0", "shield-1"];
const BALANCERS = ["balancer-0", "balancer-1"];

/** Whom a script may hurt. */
export function targetsOf(servers: ServerCount): Targets {
  const processes = [...BRAINS, ...SHIELDS];
  return { processes, shields: SHIELDS, nats: natsNames(servers), balancers: BALANCERS };
}

/** Starts NATS and every process. Rejects with a log when one is not ready. */
export async function startFleet(options: ChaosOptions): Promise<ChaosFleet> {
  const { variant, now, tables = "", ...rest } = options;
  await using owned = new AsyncDisposableStack();
  const bus = owned.use(
    await Fleet.open({
      ...rest,
      brains: BRAINS,
      shields: SHIELDS,
      balancers: BALANCERS,
      proxied: true,
      config: variant.presence + DURABLE_CONFIG + MEMBERS_CONFIG + tables,
      server_lines: `drain_ms = ${variant.drain_ms}\n`,
      // Whoever is hurt, others may be meanwhile.
      groupOf: (target) => target,
    }),
  );
  const leaders = owned.use(new LeaderWatch(bus.nats_urls, now));
  await bus.start();
  const stack = owned.move();
  return {
    bus,
    urls: bus.hosts.map((host) => `ws://${host}`),
    leaders,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
