/** Streams of several Shields on the embedded engine. Tests only. */
import { configFrom } from "../../../shared/config/load.ts";
import { createMetrics } from "../../../shared/metrics/metrics.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { NO_BANS } from "../../auth/bans.ts";
import { ann } from "../../auth/testing/identity.ts";
import { TrimMemory } from "../../durable/history/history_window.ts";
import { TenantLogs } from "../../durable/log/logs.ts";
import { DurableStats } from "../../durable/log/stats.ts";
import { callerOf, plainPath } from "../../message/testing/path.ts";
import { RoomClasses } from "../../../shared/rooms/classes.ts";
import { createStats } from "../../stats/stats.ts";
import { TenantTable } from "../../stats/tenant_stats.ts";
import { keptLog, SPINE_NOW_MS } from "../../testing/spine.ts";
import { append } from "../append.ts";
import { AppendMemory } from "../append_memory.ts";
import { type StreamContext, StreamTurns } from "../context.ts";
import { create } from "../create.ts";
import { findStream } from "../lifecycle.ts";
import { Population } from "../population.ts";
import { readStream } from "../read.ts";
import { Records, type StreamKey } from "../record.ts";
import { readAppend, readCreate } from "../request.ts";
import { StreamWakes } from "../wakes.ts";
import { NO_POLICIES } from "../../message/gates.ts";
import type { LogAppend } from "../../message/logs.ts";

const encoder = new TextEncoder();
const caller = callerOf({ ...ann, expires_ms: Infinity });

/** A hook for one Shield's messages before they reach the log. */
export type OnAppend = (append: LogAppend, store: () => Promise<number>) => Promise<number>;

/** One Shield of several on a Spine. */
export interface StreamShield {
  readonly context: StreamContext;
  /** Rejects as `create` and `append` do. */
  put(room_id: string, headers?: Record<string, string>, body?: string): ReturnType<typeof create>;
  post(room_id: string, headers: Record<string, string>, body: string): ReturnType<typeof append>;
  /** The messages of a stream. */
  texts(room_id: string): Promise<string[]>;
}

interface ShieldOptions {
  readonly onAppend?: OnAppend;
  /** Members that replace others of its context. */
  readonly more?: (context: StreamContext) => Partial<StreamContext>;
  /** How many streams a tenant may have. */
  readonly per_tenant?: number;
  /** Unix ms by its wall clock. */
  readonly clock?: () => number;
  /** Unix ms by the clock of the log; absent: `clock`. */
  readonly logClock?: () => number;
}

/** The path of messages into the log. Tests can pause each message. */
function pathOf(
  spine: Spine,
  logs: TenantLogs,
  classes: RoomClasses,
  { onAppend = (_, store) => store(), clock = () => SPINE_NOW_MS }: ShieldOptions,
): StreamContext["path"] {
  const hooked: StreamContext["path"]["logs"] = {
    append: async (message) => {
      const store = async () => (await logs.append(message)).offset;
      const offset = await onAppend(message, store);
      return { offset, duplicate: false, stream: "" };
    },
  };
  return plainPath(spine, { classes, logs: hooked, now: clock });
}

function contextOf(spine: Spine, options: ShieldOptions): StreamContext {
  const { per_tenant = 100, clock = () => SPINE_NOW_MS, logClock = clock } = options;
  const registry = createMetrics({ node_id: "n", version: "0" });
  const config = configFrom({ rooms: [{ room: "*", durable: true }] });
  const classes = new RoomClasses(config.rooms);
  const durable_stats = new DurableStats(registry);
  const roomOf = () => undefined;
  const logs = new TenantLogs({ spine, classes, stats: durable_stats, log: keptLog().log, roomOf });
  const records = new Records(spine, clock);
  return {
    records,
    turns: new StreamTurns(),
    wakes: new StreamWakes({ spine, records, isDraining: () => false }),
    appends: new AppendMemory(),
    population: new Population(per_tenant),
    trims: new TrimMemory(),
    logs,
    classes,
    path: pathOf(spine, logs, classes, options),
    overseer: NO_POLICIES,
    bans: NO_BANS,
    limits: config.limits,
    rates: { take: () => {} },
    stats: createStats(),
    durable_stats,
    tenants: new TenantTable(),
    long_poll_ms: 1_000,
    sse_ms: 1_000,
    requireNotRevoked: () => {},
    enterLive: () => ({ [Symbol.dispose]: () => {} }),
    isDraining: () => false,
    now: clock,
    monotonic_ms: clock,
    logTime: () => Promise.resolve(logClock()),
    deletionTime: () => Promise.resolve(logClock()),
    random: () => 0,
  };
}

/** A Shield of several on one Spine. */
export function streamShield(spine: Spine, options: ShieldOptions = {}): StreamShield {
  const made = contextOf(spine, options);
  const context = { ...made, ...options.more?.(made) };
  const keyOf = (room_id: string): StreamKey => ({ tenant_id: ann.tenant_id, room_id });
  return {
    context,
    put: (room_id, headers = {}, body = "") =>
      create(context, {
        key: keyOf(room_id),
        caller,
        request: readCreate(new Headers(headers)),
        body: encoder.encode(body),
      }),
    post: (room_id, headers, body) =>
      append(context, {
        key: keyOf(room_id),
        caller,
        request: readAppend(new Headers(headers)),
        body: encoder.encode(body),
        token: (offset) => Promise.resolve(String(offset)),
      }),
    texts: async (room_id) => {
      const { record } = await findStream(context, keyOf(room_id));
      const { messages } = await readStream(context, keyOf(room_id), record, undefined);
      return messages.map((message) => new TextDecoder().decode(message));
    },
  };
}
