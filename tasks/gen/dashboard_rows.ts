/**
 * The rows of the Grafana dashboard "ArqonBus Overview": titles, queries, units. `gen_dashboard.ts` writes
 * them in Grafana's format.
 */
import { BRIDGE_ROW } from "./dashboard_bridge.ts";
import { HOOKS_ROW, REDUCERS_ROW } from "./dashboard_programs.ts";
import { panel, type PanelSpec, type Query, rate, type RowSpec } from "./dashboard_panel.ts";

const quantile = (q: number, recorded: string): string =>
  `histogram_quantile(${q}, sum by (le) (instance_le:${recorded}_bucket:rate5m{@}))`;
const quantiles = (recorded: string): Query[] => [
  [quantile(0.5, recorded), "p50"],
  [quantile(0.99, recorded), "p99"],
];

const GOLDEN: readonly PanelSpec[] = [
  panel("Messages in", "cps", "Publishes and commands that clients send, a second.", [
    ["sum(instance:shield_ingress_messages:rate1m{@})", "in"],
  ], { kind: "stat" }),
  panel("Messages out", "cps", "Messages handed to subscribers, a second.", [
    ["sum(instance:shield_egress_messages:rate1m{@})", "out"],
  ], { kind: "stat" }),
  panel("Connections", "short", "Open WebSocket connections.", [
    ["sum(instance:shield_active_connections:sum{@})", "open"],
  ], { kind: "stat" }),
  panel(
    "Refused",
    "percentunit",
    "Share of operations and upgrades that are refused, worst node.",
    [
      ["max(instance:shield_rejects:ratio5m{@})", "refused"],
    ],
    { kind: "stat" },
  ),
  panel("Throughput", "cps", "Messages a second; out over in is the fan-out.", [
    ["sum(instance:shield_ingress_messages:rate1m{@})", "in"],
    ["sum(instance:shield_egress_messages:rate1m{@})", "out"],
  ]),
  panel("Delivery latency", "s", "From a message's stamp to its hand-over. Aim: p99 below 30 ms.", [
    ...quantiles("shield_delivery_latency_seconds"),
  ], { limit: 0.03 }),
  panel("Handshake latency", "s", "From an upgrade request to its 101. Aim: p99 below 100 ms.", [
    ...quantiles("shield_handshake_duration_seconds"),
  ], { limit: 0.1 }),
  panel("Refusals by reason", "cps", "docs/errors.md says what each means and whose fault it is.", [
    ["sum by (reason) (instance_reason:shield_rejects:rate5m{@})", "{{reason}}"],
  ]),
  panel("Failures of the bus", "cps", "Refusals of code 500 and above: not the clients' fault.", [
    ["sum by (reason) (instance_reason:shield_server_errors:rate5m{@})", "{{reason}}"],
  ]),
  panel("Event loop lag", "s", "p99 of how late timers fire: the first sign of overload.", [
    ["instance:arqon_event_loop_lag_seconds:p99_5m{@}", "{{job}} {{instance}}"],
  ], { limit: 0.1 }),
  panel("CPU", "percentunit", "Cores that each node uses. A Shield's messages have one core.", [
    ["instance:process_cpu_seconds:rate1m{@}", "{{job}} {{instance}}"],
  ]),
  panel("Memory of the limit", "percentunit", "Share of [limits] memory_bytes; 80 % sheds load.", [
    ["instance:shield_memory:ratio{@}", "{{instance}}"],
  ], { limit: 0.8 }),
  panel(
    "Queues",
    "short",
    "What waits in the process. Growing queues mean that it does not keep up.",
    [
      ["sum(shield_pending_operations{@})", "operations"],
      ["sum(shield_flush_queue_depth{@})", "Spine confirmations"],
      ["sum(shield_policy_queue_depth{@})", "policy verdicts"],
      ["sum(brain_pending_commands{@})", "commands"],
    ],
  ),
];

const CLIENTS: readonly PanelSpec[] = [
  panel("Connections by state", "short", "Before their WELCOME, open, and closing.", [
    ["sum by (state) (shield_connections{@})", "{{state}}"],
  ]),
  panel("Upgrades", "cps", "Upgrade requests by outcome, and who was rejected before that.", [
    [rate("shield_handshakes_total", "outcome"), "{{outcome}}"],
  ]),
  panel("Tokens", "cps", "Tokens looked at, by result.", [
    [rate("shield_authentications_total", "result"), "{{result}}"],
  ]),
  panel("Closes by code", "cps", "Closed connections by close code (docs/protocol.md).", [
    [rate("shield_closes_total", "code"), "{{code}}"],
  ]),
  panel("Slow readers", "cps", "Connections cut off, messages dropped or conflated.", [
    [rate("shield_slow_reader_total", "action"), "{{action}}"],
  ]),
  panel("Unsent bytes", "bytes", "Bytes that wait for clients to read them.", [
    ["sum by (instance) (shield_unsent_bytes{@})", "{{instance}}"],
  ]),
  panel("Operations", "cps", "What clients ask for, by kind.", [
    [rate("shield_ingress_ops", "op"), "{{op}}"],
  ]),
  panel("Traffic", "Bps", "Bytes of frames and HTTP bodies in, of frames to subscribers out.", [
    [rate("shield_ingress_bytes_total"), "in"],
    [rate("shield_egress_bytes_total"), "out"],
  ]),
  panel("Rooms and subscriptions", "short", "Rooms with a subscriber, and subscriptions.", [
    ["sum(shield_rooms{@})", "rooms"],
    ["sum(shield_subscriptions{@})", "subscriptions"],
  ]),
];

const POLICY: readonly PanelSpec[] = [
  panel("Verdict latency", "s", "Time for the verdict of a chain. Aim: p99 below 2 ms.", [
    ...quantiles("policy_execution_duration"),
  ], { limit: 0.002 }),
  panel("Verdicts", "cps", "Verdicts by policy.", [
    [rate("shield_policy_verdicts_total", "module, verdict"), "{{module}} {{verdict}}"],
  ]),
  panel("Fuel", "short", "Fuel burnt a second, by policy: which one costs most.", [
    [rate("shield_wasm_fuel_consumed_total", "module"), "{{module}}"],
  ]),
  panel("Time in a policy", "s", "p99 of the time inside one module.", [
    [
      `histogram_quantile(0.99, ${
        rate("shield_wasm_execution_duration_seconds_bucket", "module, le")
      })`,
      "{{module}}",
    ],
  ]),
  panel("Policy threads", "percentunit", "1: all policy threads are at work all the time.", [
    ["instance:shield_policy_workers_busy:ratio1m{@}", "{{instance}}"],
  ]),
  panel("Late and lost", "cps", "Verdicts after policy.timeout_ms; threads that were given up.", [
    [rate("shield_policy_late_verdicts_total"), "late verdicts"],
    [rate("shield_policy_workers_replaced_total"), "threads replaced"],
  ]),
  panel("Pending and slow", "short", "Tenants refused until their modules are ready; slow ones.", [
    ["sum(shield_policy_tenants_pending{@})", "tenants pending"],
    ["sum(shield_policy_modules_pending{@})", "modules pending"],
    ["sum(shield_policy_slow_tenants{@})", "slow tenants"],
  ]),
];

const GOVERNANCE: readonly PanelSpec[] = [
  panel("Schema violations", "cps", "Events that do not fit, by schema and first rule.", [
    [rate("shield_schema_violation_total", "schema, rule"), "{{schema}} {{rule}}"],
  ]),
  panel("Violations by tenant", "cps", "Whose events do not fit.", [
    [rate("shield_schema_violation_tenant_total", "tenant"), "{{tenant}}"],
  ]),
  panel(
    "Schema cache",
    "cps",
    "Events of mapped subjects; a miss is refused, stale is unconfirmed.",
    [
      [rate("shield_schema_cache_total", "outcome"), "{{outcome}}"],
    ],
  ),
  panel("Refused schemas", "short", "Keys of the bucket of schemas whose last put is refused.", [
    ["max(shield_schema_refused{@})", "refused"],
  ]),
  panel("Mirrored", "cps", "Messages under a mirror rule, by the outcome of the copy.", [
    [rate("shield_mirror_traffic_total", "outcome"), "{{outcome}}"],
  ]),
  panel("Mirror buffer", "bytes", "Copies that wait to be sent.", [
    ["sum(shield_mirror_buffered_bytes{@})", "waiting"],
  ]),
  panel("Candidates", "cps", "Verdicts of candidates on mirrored traffic against production's.", [
    [rate("shield_mirror_verdicts_total", "outcome"), "{{outcome}}"],
  ]),
];

const PRESENCE: readonly PanelSpec[] = [
  panel("Members", "short", "Members announced by Shields, and held by each Brain.", [
    ["sum(shield_presence_members{@})", "announced"],
    ["sum by (instance) (brain_presence_members{@})", "held by {{instance}}"],
  ]),
  panel("Convergence lag", "s", "From a change at its Shield to its merge at a Brain.", [
    ...quantiles("consistency_convergence_seconds"),
    ["max(consistency_convergence_lag{@})", "latest"],
    ["max(consistency_convergence_lag_max{@})", "max of the last two minutes"],
  ]),
  panel("Nodes as seen", "short", "Shields as Brains see them, and Brains as Shields see them.", [
    ["max by (state) (brain_presence_writers{@})", "Shields {{state}}"],
    ["min(shield_presence_live_brains{@})", "Brains"],
  ]),
  panel("Changes merged", "cps", "Deltas by how they came; pulls mean that something was missed.", [
    [rate("brain_presence_deltas_total", "source"), "{{source}}"],
  ]),
  panel("Commands", "cps", "Commands that Brains answered, by name and code (0: accepted).", [
    [rate("brain_commands_total", "name, code"), "{{name}} {{code}}"],
  ]),
  panel("Command latency", "s", "p99 from taking a command to its answer, by name.", [
    [
      `histogram_quantile(0.99, ${rate("brain_command_duration_seconds_bucket", "name, le")})`,
      "{{name}}",
    ],
  ]),
  panel("Rooms of Brains", "short", "Rooms that live, those at hand in memory, locks and bans.", [
    ["sum(brain_room_count{@})", "rooms"],
    ["sum(brain_rooms_in_memory{@})", "in memory"],
    ["sum(brain_locks{@})", "locks"],
    ["max(brain_bans{@})", "bans"],
  ]),
];

const SPINE: readonly PanelSpec[] = [
  panel("Connected", "short", "1 while a process is connected to NATS.", [
    ["min by (job, instance) (arqon_spine_connected{@})", "{{job}} {{instance}}"],
  ]),
  panel("Storage that keeps writes", "short", "1 while what a process writes is kept.", [
    ["min by (job, instance) (arqon_spine_storage_writable{@})", "{{job}} {{instance}}"],
  ]),
  panel("Round trip", "s", "From a flush to the server's answer.", [
    ...quantiles("arqon_spine_round_trip_seconds"),
  ]),
  panel("Unconfirmed bytes", "bytes", "Handed to the Spine and not yet confirmed.", [
    ["sum by (job, instance) (arqon_spine_pending_bytes{@})", "{{job}} {{instance}}"],
  ]),
  panel("Storage", "bytes", "What is used, what is promised, and what there is (0: nobody says).", [
    ["max(arqon_spine_storage_used_bytes{@})", "used"],
    ["max(arqon_spine_storage_promised_bytes{@})", "promised"],
    ["max(arqon_spine_storage_limit_bytes{@})", "limit"],
  ]),
  panel(
    "Trouble",
    "cps",
    "Reconnects, lost round trips, subscriptions too slow for NATS, GAPs told.",
    [
      [rate("arqon_spine_reconnects_total"), "reconnects"],
      [rate("arqon_spine_round_trip_failures_total"), "round trips lost"],
      [rate("arqon_spine_slow_consumers_total"), "slow consumers"],
      [rate("shield_gaps_total"), "GAPs"],
    ],
  ),
];

const DURABLE: readonly PanelSpec[] = [
  panel("Stored", "cps", "Publishes to durable rooms that the log has acknowledged.", [
    [rate("shield_log_stored_total"), "stored"],
    [rate("shield_log_deduplicated_total"), "stored before"],
  ]),
  panel("Log lag", "s", "p99 from the log's time of a message until it was on its Shield.", [
    [`histogram_quantile(0.99, ${rate("shield_log_lag_seconds_bucket", "le")})`, "p99"],
  ]),
  panel("Waiting for the log", "bytes", "Publishes not acknowledged; [limits] log_pending_bytes.", [
    ["sum by (instance) (shield_log_pending_bytes{@})", "{{instance}}"],
  ]),
  panel("Recoveries", "cps", "Subscriptions with a position, by outcome.", [
    [rate("shield_log_recoveries_total", "outcome"), "{{outcome}}"],
  ]),
  panel("Recovered messages", "cps", "Missed messages given to subscribers that came back.", [
    [rate("shield_log_recovered_messages_total"), "recovered"],
  ]),
  panel("Log cache", "bytes", "Messages kept for subscribers that come back.", [
    ["sum by (instance) (shield_log_cache_bytes{@})", "{{instance}}"],
  ]),
];

const TENANTS: readonly PanelSpec[] = [
  panel(
    "Messages in by tenant",
    "cps",
    "The ten busiest; [telemetry] tenant_series names tenants.",
    [
      [`topk(10, ${rate("shield_tenant_ingress_messages_total", "tenant")})`, "{{tenant}}"],
    ],
  ),
  panel("Messages out by tenant", "cps", "Fan-out counts once a subscriber.", [
    [`topk(10, ${rate("shield_tenant_egress_messages_total", "tenant")})`, "{{tenant}}"],
  ]),
  panel("Connections by tenant", "short", "The ten with most connections.", [
    ["topk(10, sum by (tenant) (shield_tenant_connections{@}))", "{{tenant}}"],
  ]),
  panel("Refusals by tenant", "cps", "Who is refused most.", [
    [`topk(10, ${rate("shield_tenant_rejects_total", "tenant")})`, "{{tenant}}"],
  ]),
];

const PROCESS: readonly PanelSpec[] = [
  panel("Builds", "short", "Which node runs which version.", [
    ["arqon_build_info{@}", "{{job}} {{node_id}} {{version}}"],
  ], { kind: "table" }),
  panel("Uptime", "s", "Since the start of each process.", [
    ["time() - process_start_time_seconds{@}", "{{job}} {{instance}}"],
  ]),
  panel("Memory", "bytes", "Resident memory and V8 heap.", [
    ["process_resident_memory_bytes{@}", "{{job}} {{instance}} resident"],
    ["arqon_heap_used_bytes{@}", "{{job}} {{instance}} heap"],
  ]),
  panel("Log lines", "cps", "Lines written by level, and lines left out because of a flood.", [
    [rate("arqon_log_lines_total", "level"), "{{level}}"],
    [rate("arqon_log_left_out_total"), "left out"],
  ]),
  panel("JWK sets", "cps", "Fetches by issuer and result.", [
    [rate("shield_jwks_fetches_total", "issuer, result"), "{{issuer}} {{result}}"],
  ]),
  panel("OTLP exports", "cps", "Exports to the collector of [telemetry], by outcome.", [
    [rate("arqon_otlp_exports_total", "signal, outcome"), "{{signal}} {{outcome}}"],
  ]),
];

/** Rows from top to bottom: the golden signals first. */
export const ROWS: readonly RowSpec[] = [
  { title: "Golden signals", panels: GOLDEN },
  { title: "Connections", panels: CLIENTS },
  { title: "Policies", panels: POLICY },
  { title: "Schemas and mirroring", panels: GOVERNANCE },
  { title: "Presence and commands", panels: PRESENCE },
  { title: "Spine", panels: SPINE },
  { title: "Durable rooms", panels: DURABLE },
  HOOKS_ROW,
  REDUCERS_ROW,
  BRIDGE_ROW,
  { title: "Tenants", panels: TENANTS },
  { title: "Processes", panels: PROCESS },
];
