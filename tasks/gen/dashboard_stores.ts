/**
 * The rows of the Grafana dashboard "ArqonBus Stores": NATS and Valkey by their own exporters (jobs
 * `arqon-nats` and `arqon-valkey`). `dashboard_rows.ts` has what Shields and Brains see of them.
 */
import { panel, type PanelSpec, rate as rateBy, type RowSpec } from "./dashboard_panel.ts";

const rate = (metric: string): string => rateBy(metric, "instance");
const worst = (metric: string): string => `max by (instance) (${metric}{@})`;
const LEGEND = "{{instance}}";

const NATS: readonly PanelSpec[] = [
  panel("NATS health", "short", "1 while the server answers with JetStream on, else 0.", [
    [worst("gnatsd_healthz_js_enabled_only_status_value"), LEGEND],
  ]),
  panel("NATS messages", "cps", "Messages that the server takes and gives.", [
    [rate("gnatsd_varz_in_msgs"), `${LEGEND} in`],
    [rate("gnatsd_varz_out_msgs"), `${LEGEND} out`],
  ]),
  panel("NATS bytes", "Bps", "Bytes that the server takes and gives.", [
    [rate("gnatsd_varz_in_bytes"), `${LEGEND} in`],
    [rate("gnatsd_varz_out_bytes"), `${LEGEND} out`],
  ]),
  panel("NATS connections", "short", "One or a few for each Shield and Brain.", [
    [worst("gnatsd_varz_connections"), LEGEND],
  ]),
  panel("NATS slow consumers", "short", "Clients that were cut since the server's start.", [
    [worst("gnatsd_varz_slow_consumers"), LEGEND],
  ]),
  panel("NATS memory", "bytes", "Of the server's process.", [
    [worst("gnatsd_varz_mem"), LEGEND],
  ]),
  panel("JetStream storage", "bytes", "Used by streams and buckets, and what there is.", [
    [worst("gnatsd_varz_jetstream_stats_storage"), `${LEGEND} used`],
    [worst("gnatsd_varz_jetstream_config_max_storage"), `${LEGEND} most`],
  ]),
  panel("JetStream messages", "short", "Messages that all streams hold.", [
    [worst("jetstream_server_total_messages"), LEGEND],
  ]),
  panel("JetStream API errors", "cps", "Requests for streams and consumers that were refused.", [
    [rate("gnatsd_varz_jetstream_stats_api_errors"), LEGEND],
  ]),
];

const VALKEY: readonly PanelSpec[] = [
  panel("Valkey health", "short", "1 while the server answers, else 0.", [
    [worst("redis_up"), LEGEND],
  ]),
  panel("Valkey commands", "cps", "One for each share of a quota that a Shield takes.", [
    [rate("redis_commands_processed_total"), LEGEND],
  ]),
  panel("Valkey memory", "bytes", "Used, and the most that it may use (0: no limit).", [
    [worst("redis_memory_used_bytes"), `${LEGEND} used`],
    [worst("redis_memory_max_bytes"), `${LEGEND} most`],
  ]),
];

/** Rows from top to bottom. */
export const STORE_ROWS: readonly RowSpec[] = [
  { title: "NATS", panels: NATS },
  { title: "Valkey", panels: VALKEY },
];
