/** The streams capability of a Shield. */
import type { Capability, Parts } from "../capability.ts";
import { STREAM_REQUEST_HEADERS, STREAM_ROUTES, streamRoutes } from "./routes.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { DURABLE } from "../durable/capability.ts";
import { TrimMemory } from "../durable/history/history_window.ts";
import { PendingRequests } from "../http/pending.ts";
import type { ClientRoute } from "../http/route.ts";
import { HttpRates } from "../rates/http_rates.ts";
import { AppendMemory } from "./append_memory.ts";
import { Population } from "./population.ts";
import { Records } from "./record.ts";
import { StreamTurns } from "./context.ts";
import { StreamWakes } from "./wakes.ts";

interface StreamsStart extends Pick<Env, "spine" | "now"> {
  readonly config: Pick<Config, "limits" | "streams">;
}

/** Makes the routes of streams. */
function startStreams(
  { config: { limits, streams }, spine, now }: StreamsStart,
  parts: Pick<
    Parts,
    | "operations"
    | "logs"
    | "rooms"
    | "policies"
    | "bans"
    | "rates"
    | "stats"
    | "tenants"
    | "draining_ms"
    | "running"
  >,
): ClientRoute[] {
  const durable = parts.running.of(DURABLE);
  if (durable === undefined) return [];
  const { operations: { context }, logs, policies, bans, stats, tenants } = parts;
  const records = new Records(spine);
  const isDraining = () => parts.draining_ms > 0;
  const live = new PendingRequests(limits, stats);
  return streamRoutes({
    records,
    turns: new StreamTurns(),
    wakes: new StreamWakes({ spine, records, isDraining }),
    appends: new AppendMemory(),
    population: new Population(streams.per_tenant),
    trims: new TrimMemory(),
    logs,
    classes: parts.rooms.classes,
    path: context.path,
    overseer: policies,
    bans,
    limits,
    rates: new HttpRates(parts.rates, now),
    stats,
    durable_stats: durable.stats,
    tenants,
    long_poll_ms: streams.long_poll_ms,
    sse_ms: streams.event_stream_ms,
    requireNotRevoked: context.requireNotRevoked,
    enterLive: (identity) => live.enter(identity),
    isDraining,
    noteRead: parts.running.given.noteRead,
    reads: parts.running.given.reads,
    now,
    monotonic_ms: () => performance.now(),
    logTime: async (tenant_id) => (await logs.of(tenant_id)).now(),
    deletionTime: async (tenant_id, age_ms) => (await logs.of(tenant_id)).deletionTime(age_ms),
    random: Math.random,
  });
}

/** Durable rooms over the Durable Streams protocol. */
export const STREAMS: Capability = {
  name: "streams",
  title: "durable rooms over the Durable Streams protocol",
  config: ["streams"],
  room_class: ["http_cache"],
  stores: ["ARQON_STREAMS"],
  client: {
    described: Object.values(STREAM_ROUTES),
    tags: { streams: "durable rooms over the Durable Streams protocol" },
    headers: STREAM_REQUEST_HEADERS,
    routes: startStreams,
  },
};
