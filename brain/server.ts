/**
 * The Brain without its process: presence, rooms and the tap on a Spine that is given to it. So
 * `deno task dev` can run it beside a Shield. Listeners: `listeners.ts`; arguments, files, signals:
 * `main.ts`.
 */
import type { ConfigChanges } from "../shared/config/live/live_config.ts";
import type { ConfigReloading } from "../shared/config/live/reload.ts";
import type { Config } from "../shared/config/schema.ts";
import type { Logger } from "../shared/logs/log.ts";
import type { Logging } from "../shared/logs/logging.ts";
import type { Registry } from "../shared/metrics/metrics.ts";
import type { HealthCheck, HealthReport } from "../shared/listeners/ops.ts";
import type { Spine, Subscription } from "../shared/spine/contract/spine.ts";
import { ALL_TAPPED } from "../shared/subjects/subject.ts";
import type { Tracing } from "../shared/telemetry/tracing.ts";
import { plural } from "../shared/plural.ts";
import type { BrainCapability } from "./capability.ts";
import { startInspect } from "./inspect.ts";
import { createBrainMetrics } from "./telemetry/metrics.ts";
import type { BrainMetrics } from "./telemetry/metrics.ts";
import { startBrainPresence } from "./presence/service.ts";
import { HookLifeEvents } from "./hooks/life_events.ts";
import { startMembership } from "./membership/service.ts";
import { startReducers } from "./reducers/service.ts";
import { startRooms } from "./rooms/service.ts";
import type { RoomService, RoomServiceOptions } from "./rooms/service.ts";
import { createTap } from "./tap.ts";

/** What a Brain needs from its process. */
export interface BrainOptions {
  /** What it has beside its kernel, in the order in which they start. */
  readonly capabilities: readonly BrainCapability[];
  readonly config: Pick<
    Config,
    | "server"
    | "brain"
    | "limits"
    | "presence"
    | "rooms"
    | "hooks"
    | "webhooks"
    | "reducers"
    | "watchdog"
    | "usage"
  >;
  readonly spine: Spine;
  /** Reads a file that the configuration names; throws when it cannot. */
  readonly readTextFile: (path: string) => string;
  /** The same for a file that is no text. */
  readonly readFile: (path: string) => Uint8Array;
  /** A log of component `brain`. */
  readonly log: Logger;
  readonly registry: Registry;
  /** Unix ms. */
  readonly now: () => number;
  /** Ms that only grow; absent: `performance.now`. */
  readonly monotonic_ms?: () => number;
  /** Numbers in [0, 1): spreads the retries of Brains that race for one room. */
  readonly random: () => number;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  /** The Brain's id; absent: made from `[server] node_id`, else random. */
  readonly brain_id?: string;
  /** The release's number, for operators; absent: "". */
  readonly version?: string;
  /**
   * The logs of the process, whose levels an operator may change; absent: they cannot be changed.
   */
  readonly logging?: Pick<Logging, "levels" | "setLevel">;
  /** Reads the configuration again; absent: it stays as it is. */
  readonly reloading?: ConfigReloading | undefined;
  /** Reports another configuration when somebody else reads it again; absent: `reloading` does. */
  readonly changes?: ConfigChanges | undefined;
  /** Called when an operator drains this process: does what SIGTERM does. Absent: nobody can. */
  readonly onDrain?: (by: string) => void;
  /** Whether the Spine stores what it is given, for readiness; absent: it is not asked. */
  readonly storage?: () => HealthCheck;
}

/** A running Brain. */
export interface Brain {
  readonly brain_id: string;
  /** Ready when the Spine is connected, presence is read and the Brain is not draining. */
  health(): HealthReport;
  /**
   * Tells the other Brains, which take over; takes no new command, answers those it has, then
   * resolves. Leaves the Spine open. Idempotent.
   */
  drain(): Promise<void>;
}

/** The queue group of all Brains: each message goes to one of them. */
const QUEUE = "brain";

function startTap(options: BrainOptions, metrics: BrainMetrics): Subscription | undefined {
  const fraction = Number(options.config.brain.tap);
  if (fraction === 0) return undefined;
  const { spine, log, tracing } = options;
  const tap = createTap({ fraction, log, metrics, tracing, spine });
  return spine.subscribe(ALL_TAPPED, tap, { queue: QUEUE, reads_only: true });
}

function spineCheck({ status }: Spine): HealthCheck {
  const server = status.server === undefined ? "" : ` ${status.server}`;
  return {
    ok: status.state === "connected",
    since_ms: status.since_ms,
    detail: `${status.engine}${server} ${status.state}, ${plural(status.reconnects, "reconnect")}`,
  };
}

/** Rooms, whose lives hooks are notified of. */
async function startRoomsOf(
  options: RoomServiceOptions & Parameters<typeof HookLifeEvents.open>[0],
): Promise<RoomService> {
  const life_events = await HookLifeEvents.open(options);
  try {
    return await startRooms({ ...options, life_events });
  } catch (error) {
    life_events.close();
    throw error;
  }
}

/** What a Brain is made of, each part on those before it. When one cannot start, the others end. */
async function startParts(options: BrainOptions, metrics: BrainMetrics) {
  const { changes = options.reloading, monotonic_ms = () => performance.now() } = options;
  const started: { drain(): Promise<void> }[] = [];
  const part = async <Part extends { drain(): Promise<void> }>(starting: Promise<Part>) => {
    try {
      const one = await starting;
      started.push(one);
      return one;
    } catch (error) {
      // Presence first, as in a drain; then who was started last.
      for (const one of [...started.splice(0, 1), ...started.reverse()]) await one.drain();
      throw error;
    }
  };
  const presence = await part(startBrainPresence(options));
  const common = { ...options, changes, monotonic_ms, view: presence };
  // Needs none of the others, which may wait long for what is stored.
  const membership = await part(startMembership(common));
  const reducers = await part(startReducers(common));
  const rooms = await part(startRoomsOf({ ...common, metrics, calls: reducers }));
  const others: { drain(): Promise<void> }[] = [];
  for (const { start } of options.capabilities) others.push(await part(start(common)));
  return { presence, reducers, rooms, membership, others };
}

/**
 * Starts a Brain; resolves once it knows who is there and takes commands. Rejects with
 * `spine-unavailable` when it cannot subscribe, or a bucket cannot be opened or read.
 */
export async function startBrain(options: BrainOptions): Promise<Brain> {
  const { spine, now, storage } = options;
  const metrics = createBrainMetrics(options.registry);
  const parts = await startParts(options, metrics);
  const { presence, reducers, rooms, membership, others } = parts;
  const tap = startTap(options, metrics);
  const started_ms = now();
  let since_ms = started_ms;
  let drained: Promise<void> | undefined;

  const drain = async (): Promise<void> => {
    since_ms = now();
    // First: what the others learn of now goes to them and not here.
    await presence.drain();
    tap?.unsubscribe();
    for (const one of others.toReversed()) await one.drain();
    await membership.drain();
    await rooms.drain();
    await reducers.drain();
    inspect.close();
  };
  const health = () => {
    const draining = drained !== undefined;
    const commands = { ok: !draining, since_ms, detail: draining ? "draining" : "serving" };
    const stored = storage === undefined ? {} : { storage: storage() };
    return {
      checks: { spine: spineCheck(spine), ...stored, presence: presence.health(), commands },
    };
  };
  const inspect = startInspect({
    version: "",
    ...options,
    view: presence,
    metrics,
    started_ms,
    checks: () => health().checks,
    isDraining: () => drained !== undefined,
    documentOf: rooms.documentOf,
    cutOff: (tenant_id) => reducers.cutOff(tenant_id),
  });
  return {
    brain_id: presence.brain_id,
    health,
    drain: () => drained ??= drain(),
  };
}
