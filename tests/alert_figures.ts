/**
 * Pages of metrics that make each alert fire, and then clear: one page an alert, under the names and
 * labels that Shields, Brains and the exporters of NATS and Valkey have. That real processes have those
 * names is shown by `prometheus_test.ts`.
 */
import assert from "node:assert/strict";

/** A line of a page. */
type Figure =
  /** A value while all is well, and one that is not. */
  | { readonly kind: "gauge"; readonly series: string; readonly values: readonly Read[] }
  /** Grows by so many a second while all is well, and while it is not. */
  | { readonly kind: "counter"; readonly series: string; readonly rates: readonly number[] };
type Read = number | (() => number);

/** One alert's page. */
export interface AlertCase {
  readonly alert: string;
  /** Prometheus's job; each case has one of its own. */
  readonly job: string;
  readonly figures: readonly Figure[];
  /** Not its figures make it fire: the page is not there. */
  readonly is_down?: boolean;
}

const gauge = (series: string, well: Read, ill: Read): Figure => (
  { kind: "gauge", series, values: [well, ill] }
);
/** From nothing to ten a second. */
const counter = (series: string, well = 0, ill = 10): Figure => (
  { kind: "counter", series, rates: [well, ill] }
);

/** Ten observations a second: all within `fast` seconds, then all between that and `slow`. */
function histogram(name: string, fast: string, slow: string): readonly Figure[] {
  return [
    counter(`${name}_bucket{le="${fast}"}`, 10, 0),
    counter(`${name}_bucket{le="${slow}"}`, 10, 10),
    counter(`${name}_bucket{le="+Inf"}`, 10, 10),
  ];
}

const of = (alert: string, ...figures: readonly Figure[]): AlertCase => (
  { alert, job: alert, figures }
);
const down = (alert: string, job: string): AlertCase => (
  { alert, job, figures: [], is_down: true }
);

/** Every alert at least once. */
export const CASES: readonly AlertCase[] = [
  down("ArqonShieldDown", "arqon-shield"),
  down("ArqonBrainDown", "arqon-brain"),
  down("ArqonNatsDown", "arqon-nats"),
  down("ArqonValkeyDown", "arqon-valkey"),
  of("ArqonNoBrain", gauge("shield_presence_live_brains", 1, 0)),
  of("ArqonRestarting", gauge("process_start_time_seconds", 5, () => Date.now() / 1_000)),
  of("ArqonSpineDisconnected", gauge("arqon_spine_connected", 1, 0)),
  of("ArqonStorageFull", gauge("arqon_spine_storage_writable", 1, 0)),
  of("ArqonSpineReconnecting", counter("arqon_spine_reconnects_total")),
  of("ArqonSpineSlow", ...histogram("arqon_spine_round_trip_seconds", "0.005", "0.1")),
  of("ArqonHandshakeSlow", ...histogram("shield_handshake_duration_seconds", "0.05", "0.25")),
  of("ArqonDeliverySlow", ...histogram("shield_delivery_latency_seconds", "0.01", "0.1")),
  of("ArqonPolicySlow", ...histogram("policy_execution_duration", "0.001", "0.005")),
  of("ArqonEventLoopLagging", ...histogram("arqon_event_loop_lag_seconds", "0.01", "0.5")),
  of(
    "ArqonRejectsHigh",
    counter(`shield_rejects_total{reason="not-granted"}`),
    counter(`shield_ingress_ops{op="publish"}`, 50, 50),
    counter(`shield_handshakes_total{outcome="accepted"}`, 1, 1),
  ),
  of("ArqonServerErrors", counter(`shield_rejects_total{reason="spine-unavailable"}`)),
  of(
    "ArqonMemoryHigh",
    gauge("shield_memory_bytes", 400, 900),
    gauge("shield_memory_limit_bytes", 1_000, 1_000),
  ),
  of("ArqonSlowReadersCut", counter(`shield_slow_reader_total{action="disconnected"}`)),
  of("ArqonGaps", counter("shield_gaps_total")),
  of(
    "ArqonFilesOut",
    counter("shield_accept_failures_total"),
    counter("shield_accepts_refused_total", 0, 0),
  ),
  of("ArqonListenerGone", counter("shield_probe_failures_total")),
  of("ArqonPresenceLag", gauge("consistency_convergence_lag_max", 0.1, 6)),
  of("ArqonPresenceShieldLost", gauge(`brain_presence_writers{state="down"}`, 0, 1)),
  of("ArqonRoomClassesDiffer", gauge("brain_room_classes_differ", 0, 1)),
  of("ArqonSchemaViolations", counter(`shield_schema_violation_total{schema="s",rule="r"}`)),
  of("ArqonSchemaRefused", gauge("shield_schema_refused", 0, 1)),
  of("ArqonMirrorFailing", counter(`shield_mirror_traffic_total{rule="r",outcome="failed"}`)),
  of("ArqonJwksFetchFailing", counter(`shield_jwks_fetches_total{issuer="i",result="failed"}`)),
  of(
    "ArqonLogPendingHigh",
    gauge("shield_log_pending_bytes", 10, 90),
    gauge("shield_log_pending_limit_bytes", 100, 100),
  ),
  of("ArqonUnboundedStreams", gauge("arqon_spine_unbounded_streams", 0, 2)),
  of(
    "ArqonStoragePromised",
    gauge("arqon_spine_storage_promised_bytes", 50, 95),
    gauge("arqon_spine_storage_limit_bytes", 100, 100),
  ),
  of(
    "ArqonRoomBytesHigh",
    gauge("brain_room_bytes_largest", 50, 95),
    gauge("brain_room_bytes_limit", 100, 100),
  ),
  of("ArqonPolicyWorkersReplaced", counter("shield_policy_workers_replaced_total")),
  of("ArqonPolicyQuarantined", gauge("shield_policy_quarantined_modules", 0, 1)),
  of("ArqonSetAside", gauge(`shield_schedules{state="set_aside"}`, 0, 1)),
  of("ArqonAuditFailing", counter(`shield_audit_entries_total{outcome="lost"}`)),
  of("ArqonLogLinesLeftOut", counter("arqon_log_left_out_total")),
  of("ArqonQuotaDegraded", gauge("shield_quota_degraded", 0, 1)),
  of("ArqonUsageLedgerHigh", gauge(`shield_usage_ledger_used_ratio{of="all"}`, 0.5, 0.9)),
  of("ArqonExportFailing", counter(`arqon_otlp_exports_total{signal="traces",outcome="failed"}`)),
  of(
    "ArqonCertificateEnds",
    gauge(
      `shield_tls_certificate_not_after_seconds{listener="client"}`,
      9e9,
      () => Date.now() / 1_000 + 86_400,
    ),
  ),
  of("ArqonHookOff", gauge("brain_hooks_off", 0, 1)),
  of("ArqonBridgeDown", gauge("bridge_following", 1, 0)),
  of("ArqonBridgeBehind", gauge("bridge_kept_wal_bytes", 1e6, 5e9)),
  of("ArqonNatsDown", gauge(`gnatsd_healthz_js_enabled_only_status_value{value="ok"}`, 1, 0)),
  of(
    "ArqonNatsStorageHigh",
    gauge("gnatsd_varz_jetstream_stats_storage", 50, 90),
    gauge("gnatsd_varz_jetstream_config_max_storage", 100, 100),
  ),
  of("ArqonNatsSlowConsumers", counter("gnatsd_varz_slow_consumers")),
  of("ArqonValkeyDown", gauge("redis_up", 1, 0)),
];

/** Shows the pages, each under the name of its job. */
export interface FigureServer extends AsyncDisposable {
  /** "127.0.0.1:1234". */
  readonly host: string;
  /** From now on nothing, or everything, is ill. */
  setIll(is_ill: boolean): void;
}

/** Starts it with all well. */
export function serveFigures(): FigureServer {
  let phase = 0;
  let since_ms = performance.now();
  const totals = new Map<Figure, number>();
  const valueOf = (figure: Figure): number => {
    if (figure.kind === "gauge") {
      const value = figure.values[phase]!;
      return typeof value === "number" ? value : value();
    }
    const grown = figure.rates[phase]! * (performance.now() - since_ms) / 1_000;
    return (totals.get(figure) ?? 0) + grown;
  };
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => {
      const job = new URL(request.url).pathname.slice(1);
      const found = CASES.find((one) => one.job === job);
      assert.ok(found, job);
      if (found.is_down === true && phase === 1) return new Response("", { status: 503 });
      const lines = found.figures.map((figure) => `${figure.series} ${valueOf(figure)}\n`);
      return new Response(lines.join(""), { headers: { "content-type": "text/plain" } });
    },
  );
  return {
    host: `127.0.0.1:${server.addr.port}`,
    setIll(is_ill) {
      const counters = CASES.flatMap(({ figures }) => figures).filter(({ kind }) =>
        kind === "counter"
      );
      const values = counters.map((figure) => [figure, valueOf(figure)] as const);
      for (const [figure, value] of values) totals.set(figure, value);
      since_ms = performance.now();
      phase = is_ill ? 1 : 0;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
