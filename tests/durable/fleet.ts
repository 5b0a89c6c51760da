/**
 * The fleet of a durable run: three NATS servers, two Shields and a Brain that go to all of them, two
 * load balancers, and what the Shields count. Faults are carried out in `tests/faults/fleet.ts`.
 */
import { Fleet } from "../faults/fleet.ts";
import type { FleetOptions } from "../faults/fleet.ts";
import { Counters } from "./counters.ts";
import { SHIELDS } from "./script.ts";
import type { Variant } from "./variant.ts";

/** What a fleet reports to. */
export interface DurableOptions extends Pick<FleetOptions, "dir" | "say" | "onSurprise"> {
  readonly variant: Variant;
}

/** The fleet and what it counts. */
export interface DurableFleet extends AsyncDisposable {
  readonly bus: Fleet;
  /** What the Shields count, over all of their lives. */
  readonly counters: Counters;
  /** Reads the counters of every Shield that answers. */
  look(): Promise<void>;
}

/** Rooms of this form are durable. */
export const ROOM_PREFIX = "log-";

const CONFIG = `
[[rooms]]
room = "${ROOM_PREFIX}*"
durable = true
replicas = 3
history_size = 100_000
history_ttl_seconds = 3_600
[limits]
messages_per_second = 100_000
bytes_per_second = 1_000_000_000
connections_per_user = 1_000
`;

async function lookAt(bus: Fleet, counters: Counters): Promise<void> {
  await Promise.all(SHIELDS.map(async (name) => {
    const url = bus.opsUrl(name);
    if (url === undefined) return;
    try {
      const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(2_000) });
      counters.look(name, url, await response.text());
    } catch {
      // It is killed or stopped just now; the next look will find it.
    }
  }));
}

/** Starts NATS and every process. Rejects with a log when one is not ready. */
export async function startFleet({ variant, ...rest }: DurableOptions): Promise<DurableFleet> {
  const counters = new Counters();
  await using owned = new AsyncDisposableStack();
  const bus: Fleet = owned.use(
    await Fleet.open({
      ...rest,
      brains: ["brain-0"],
      shields: SHIELDS,
      balancers: ["balancer-0", "balancer-1"],
      servers: 3,
      proxied: false,
      config: CONFIG,
      server_lines: `drain_ms = ${variant.drain_ms}\n`,
      // One Shield at a time.
      groupOf: (target) => target.split("-")[0] ?? target,
      // What a process has counted is gone with it.
      onFault: async ({ target, kind }) => {
        if (bus.opsUrl(target) !== undefined && kind !== "stop") await lookAt(bus, counters);
      },
    }),
  );
  await bus.start();
  const stack = owned.move();
  return {
    bus,
    counters,
    look: () => lookAt(bus, counters),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
