/** The real Prometheus with the alerts of `deploy/prometheus`, of which an hour is a minute. */
import assert from "node:assert/strict";
import { startPrometheus } from "../../tasks/dev/dev_observe.ts";

/** Where the rules are. */
const RULES_FOLDER = new URL("../../deploy/prometheus/", import.meta.url).pathname;
const FILES = ["rules.yml", "alerts.yml", "store_alerts.yml"];
const TIMES_FASTER = 60;

/** A running Prometheus. */
export interface Alerting extends AsyncDisposable {
  readonly url: string;
}

/** The rules with every window divided by `windows` and every `for` shortened. */
function faster(text: string, windows: number): string {
  const unit_ms = { h: 3_600_000, m: 60_000, s: 1_000 };
  const shorter = (count: string, unit: string, times: number) =>
    `${Number(count) * unit_ms[unit as keyof typeof unit_ms] / times}ms`;
  return text
    .replaceAll(/\[(\d+)(h|m|s)\]/g, (_all, count, unit) => `[${shorter(count, unit, windows)}]`)
    .replaceAll(
      /\bfor: (\d+)(m|s)$/gm,
      (_all, count, unit) => `for: ${shorter(count, unit, TIMES_FASTER)}`,
    );
}

/**
 * Starts it with these jobs, as its configuration has them. `windows`: the factor by which windows are shorter, where
 * series that are measured every few seconds need longer ones.
 */
export async function startAlerting(
  scrape_configs: readonly object[],
  windows = TIMES_FASTER,
): Promise<Alerting> {
  const folder = await Deno.makeTempDir({ prefix: "arqon-alerts-" });
  for (const file of FILES) {
    await Deno.writeTextFile(
      `${folder}/${file}`,
      faster(await Deno.readTextFile(RULES_FOLDER + file), windows),
    );
  }
  const config = JSON.stringify({
    global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "500ms" },
    rule_files: FILES.map((file) => `${folder}/${file}`),
    scrape_configs,
  });
  const prometheus = await startPrometheus({ folder: `${folder}/run`, config, port: 0 });
  assert.ok(prometheus, "prometheus is not installed (apt-get install prometheus)");
  return {
    url: prometheus.url,
    async [Symbol.asyncDispose]() {
      await prometheus.stop();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** What Prometheus answers. */
// deno-lint-ignore no-explicit-any -- the caller knows the form
export async function api({ url }: Alerting, path: string): Promise<any> {
  const answer = await (await fetch(`${url}/api/v1/${path}`)).json();
  assert.equal(answer.status, "success", path);
  return answer.data;
}

interface ActiveAlert {
  readonly state: "pending" | "firing";
  readonly labels: { readonly alertname: string; readonly job: string };
}

/** What fires, or is about to, as "alert of job", sorted. */
export async function activeAlerts(
  prometheus: Alerting,
  states: readonly string[],
): Promise<string[]> {
  const { alerts }: { alerts: ActiveAlert[] } = await api(prometheus, "alerts");
  return alerts
    .filter(({ state }) => states.includes(state))
    .map(({ labels }) => `${labels.alertname} of ${labels.job}`)
    .sort();
}
