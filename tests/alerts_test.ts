/**
 * Each alert of `deploy/prometheus` fires, and clears when all is well again, in the real Prometheus. An
 * hour of the rules is a minute here. What they ask for is served by `alert_figures.ts`.
 */
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { seen } from "../shared/testing/until.ts";
import { startPrometheus } from "../tasks/dev/dev_observe.ts";
import type { Prometheus } from "../tasks/dev/dev_observe.ts";
import { CASES, serveFigures } from "./alert_figures.ts";

const FOLDER = new URL("../deploy/prometheus/", import.meta.url).pathname;
const FILES = ["rules.yml", "alerts.yml", "store_alerts.yml"];
const TIMES_FASTER = 60;
const LIMIT_MS = 180_000;

/** The rules with every window and every `for` so many times shorter. */
function faster(text: string): string {
  const shorter = (count: string, unit: string) =>
    `${Number(count) * (unit === "m" ? 60_000 : 1_000) / TIMES_FASTER}ms`;
  return text
    .replaceAll(/\[(\d+)(m|s)\]/g, (_all, count, unit) => `[${shorter(count, unit)}]`)
    .replaceAll(/\bfor: (\d+)(m|s)$/gm, (_all, count, unit) => `for: ${shorter(count, unit)}`);
}

/** One job a case, and the rules in `folder`. */
function configOf(folder: string, host: string): string {
  const jobs = CASES.map(({ job }) => ({
    job_name: job,
    metrics_path: `/${job}`,
    static_configs: [{ targets: [host] }],
  }));
  return JSON.stringify({
    global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "500ms" },
    rule_files: FILES.map((file) => `${folder}/${file}`),
    scrape_configs: jobs,
  });
}

async function api({ url }: Prometheus, path: string) {
  const answer = await (await fetch(`${url}/api/v1/${path}`)).json();
  assert.equal(answer.status, "success", path);
  return answer.data;
}

interface ActiveAlert {
  readonly state: "pending" | "firing";
  readonly labels: { readonly alertname: string; readonly job: string };
}

/** What fires, or is about to, as "alert of job", sorted. */
async function activeAlerts(prometheus: Prometheus, states: readonly string[]): Promise<string[]> {
  const { alerts }: { alerts: ActiveAlert[] } = await api(prometheus, "alerts");
  return alerts
    .filter(({ state }) => states.includes(state))
    .map(({ labels }) => `${labels.alertname} of ${labels.job}`)
    .sort();
}

async function jobsThatAreUp(prometheus: Prometheus): Promise<string[]> {
  const { result } = await api(prometheus, `query?query=${encodeURIComponent("up == 1")}`);
  return result.map(({ metric }: { metric: { job: string } }) => metric.job).sort();
}

Deno.test("an alert on a percentile or a share of five minutes asks for enough to count", async () => {
  const text = await Deno.readTextFile(`${FOLDER}alerts.yml`);
  const alerts = text.split("- alert: ").slice(1);
  const figures = alerts.filter((alert) => /:(p\d+_|ratio)5m /.test(alert));
  assert.ok(figures.length >= 6, `${figures.length}`);
  for (const alert of figures) assert.match(alert, /\n +and on \(job, instance\) .* > [0-9.]+\n/);
});

Deno.test("each alert fires alone, and clears when all is well again", async () => {
  const folder = await Deno.makeTempDir({ prefix: "arqon-alerts-" });
  for (const file of FILES) {
    await Deno.writeTextFile(`${folder}/${file}`, faster(await Deno.readTextFile(FOLDER + file)));
  }
  await using figures = serveFigures();
  const config = configOf(folder, figures.host);
  const prometheus = await startPrometheus({ folder: `${folder}/run`, config, port: 0 });
  assert.ok(prometheus, "prometheus is not installed (apt-get install prometheus)");
  try {
    const { groups } = await api(prometheus, "rules?type=alert");
    const names = groups.flatMap(({ rules }: { rules: { name: string }[] }) =>
      rules.map(({ name }) => name)
    );
    assert.deepEqual([...new Set(CASES.map(({ alert }) => alert))].sort(), names.sort());
    const jobs = CASES.map(({ job }) => job).sort();
    const isAll = (up: string[]) => isDeepStrictEqual(up, jobs);
    await seen("every job is scraped", () => jobsThatAreUp(prometheus), isAll, LIMIT_MS);
    figures.setIll(true);
    const expected = CASES.map(({ alert, job }) => `${alert} of ${job}`).sort();
    const fired = new Set<string>();
    const haveFired = async () => {
      for (const alert of await activeAlerts(prometheus, ["firing"])) fired.add(alert);
      return [...fired].sort();
    };
    const areExpected = (all: string[]) => isDeepStrictEqual(all, expected);
    await seen("each alert fires, and no other", haveFired, areExpected, LIMIT_MS);
    figures.setIll(false);
    const active = () => activeAlerts(prometheus, ["pending", "firing"]);
    await seen("no alert is left", active, (left) => left.length === 0, LIMIT_MS);
  } finally {
    await prometheus.stop();
    await Deno.remove(folder, { recursive: true });
  }
});
