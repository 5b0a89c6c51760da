/**
 * The one definition of `config.toml` (zod). Types, defaults, ranges, the JSON Schema for editors
 * and the table in docs/configuration.md all come from here. Loading and errors: `load.ts`.
 * Every table is strict: an unknown key stops the start.
 */
import { z } from "zod";
import { refuseUnnamedOperators } from "./operators.ts";
import { Bridge } from "./automation/bridge.ts";
import { HookTables } from "./automation/hooks.ts";
import { Centrifugo } from "./automation/centrifugo.ts";
import { Proof } from "./automation/proof.ts";
import { Pusher } from "./automation/pusher.ts";
import { Reducers, refuseUnknownReducers } from "./automation/reducers.ts";
import { Growing } from "./automation/growing.ts";
import { Schedules } from "./automation/schedules.ts";
import { Auth } from "./schema_auth.ts";
import { Durable, Filters, Rooms, Streams } from "./schema_durable.ts";
import { Mirroring, SchemaRegistry } from "./schema_governance.ts";
import { Audit, Journal, LedgerTable } from "./schema_journal.ts";
import { LimitsTable } from "./schema_limits.ts";
import { Usage } from "./schema_usage.ts";
import { Admin, Ops } from "./schema_listeners.ts";
import { Nats } from "./schema_nats.ts";
import { Quota } from "./schema_quota.ts";
import { Brain, Presence } from "./schema_state.ts";
import { Telemetry } from "./schema_telemetry.ts";
import { Server, Sse } from "./schema_server.ts";
import type { WithConstants } from "./keys/constants.ts";
import { count } from "./values/schema_values.ts";

const PolicyLimits = z.strictObject({
  timeout_ms: count(5, 60_000, "a verdict later than this is counted as late"),
  stall_ms: count(
    250,
    60_000,
    "a message without a verdict in this time is refused; stalls of the process do not count",
  ),
  fail_closed: z.literal(true, {
    error: "expected true: a message whose policy cannot decide is always refused",
  }).default(true).describe("failures refuse the message; false is a start error"),
  workers: z.int().min(1).max(256).optional().describe(
    "threads that run policies; absent: one less than the cores, at least one",
  ),
  isolation: z.enum(["shared", "tenant"]).default("shared").describe(
    'whether tenants share the threads or each has its own; with "tenant" at most 64 are busy at a time',
  ),
  payload_bytes: z.int().min(1_024).max(16_777_216).default(262_144).describe(
    "largest payload for policies; larger ones are refused",
  ),
  fuel_per_second: count(
    1_000_000,
    1_000_000_000_000,
    "fuel per second and tenant; burst: twice that; 1,000,000 is at most half a core",
  ),
  inline_modules: z.array(
    z.string().regex(/^[0-9a-f]{64}$/, {
      error: "expected 64 lowercase hex digits",
    }),
  ).max(1_024).default([]).describe(
    "SHA-256 of modules allowed on the Shield's own thread; a chain runs there if all of its modules are; absent: all chains run in workers",
  ),
});

const Platform = z.strictObject({
  overseer: z.strictObject({
    enabled: z.boolean().default(true).describe("run WebAssembly policies"),
    fuel_limit: count(
      10_000,
      1_000_000,
      "fuel per call; 10,000 is at most about 5 ms of any code",
    ),
    memory_limit_pages: count(64, 65_536, "memory an instance, in 64 KiB pages"),
  }).prefault({}).describe("WebAssembly policies"),
  mirroring: Mirroring.prefault({}).describe("copies of traffic"),
  registry: SchemaRegistry.prefault({}).describe("Protobuf schemas of events"),
});

const Level = z.enum(["debug", "info", "warn", "error"]);

const Log = z.strictObject({
  level: Level.default("info").describe("least severe level that is written"),
  format: z.enum(["logfmt", "json"]).default("logfmt").describe("form of a line"),
});

/** `[watchdog]`, whose value is a constant. */
const Watchdog = z.strictObject({});

/** Refuses conflicts between tables. */
function refuseWhole(
  config:
    & Parameters<typeof refuseUnnamedOperators>[0]
    & Parameters<typeof refuseUnknownReducers>[0],
  context: z.core.$RefinementCtx,
): void {
  refuseUnnamedOperators(config, context);
  refuseUnknownReducers(config, context);
}

/** The whole file. */
export const ConfigSchema = z.strictObject({
  server: Server.prefault({}).describe("the client listener"),
  ops: Ops.prefault({}).describe("/metrics and /health/*; a Brain's default port is 4101"),
  admin: Admin.prefault({}).describe("admin API; a Brain's default port is 4102"),
  audit: Audit.prefault({}).describe("who did what on the admin API"),
  nats: Nats.optional().describe("NATS as the Spine"),
  auth: Auth.prefault({}).describe("tokens and signatures"),
  limits: LimitsTable.prefault({}).describe("every limit"),
  quota: Quota.optional().describe("quotas of tenants on all Shields together"),
  policy: PolicyLimits.prefault({}).describe("how policies run"),
  platform: Platform.prefault({}).describe("parts that can be switched off"),
  presence: Presence.prefault({}).describe(
    "who is in which room; the same values on every Shield and Brain",
  ),
  brain: Brain.prefault({}).describe("the Brain"),
  rooms: Rooms.describe("classes of rooms"),
  reducers: Reducers.describe("programs of rooms"),
  durable: Durable.prefault({}).describe("durable rooms"),
  filters: Filters.prefault({}).describe("filters of subscribers"),
  ledger: LedgerTable.prefault({}).describe("what was delivered to whom, for `arq why`"),
  ...HookTables,
  journal: Journal.prefault({}).describe("the journal of decisions"),
  streams: Streams.prefault({}).describe("durable rooms as streams over HTTP"),
  usage: Usage.prefault({}).describe("the ledger of use"),
  pusher: Pusher.prefault({}).describe("clients and backends of the Pusher protocol"),
  centrifugo: Centrifugo.prefault({}).describe("Centrifugo's client libraries"),
  proof: Proof.prefault({}).describe("transparency logs of records"),
  schedules: Schedules.prefault({}).describe("messages that are published at a time"),
  bridge: Bridge.prefault({}).describe("what databases commit, published"),
  growing: Growing.prefault({}).describe("messages that grow before they are stored"),
  sse: Sse.prefault({}).describe("server-sent events"),
  log: Log.prefault({}).describe("logging"),
  watchdog: Watchdog.prefault({}).describe("the end of a process that hangs"),
  telemetry: Telemetry.prefault({}).describe("OpenTelemetry"),
}).superRefine(refuseWhole);

/** A checked configuration with every default filled in, and the constants of each table. */
export type Config = WithConstants<z.output<typeof ConfigSchema>>;
/** `[limits]` of a configuration; each name ends with its unit. */
export type Limits = Config["limits"];
