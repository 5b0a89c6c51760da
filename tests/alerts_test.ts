/**
 * Each alert of `deploy/prometheus` fires, and clears when all is well again, in the real Prometheus. An
 * hour of the rules is a minute here. What they ask for is served by `alert_figures.ts`.
 */
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { seen } from "../shared/testing/until.ts";
import { activeAlerts, type Alerting, api, RULES_FOLDER, startAlerting } from "./alerting.ts";
import { CASES, serveFigures } from "./alert_figures.ts";

const LIMIT_MS = 180_000;

/** A job for each case. */
const jobsOf = (host: string) =>
  CASES.map(({ job }) => ({
    job_name: job,
    metrics_path: `/${job}`,
    static_configs: [{ targets: [host] }],
  }));

async function jobsThatAreUp(prometheus: Alerting): Promise<string[]> {
  const { result } = await api(prometheus, `query?query=${encodeURIComponent("up == 1")}`);
  return result.map(({ metric }: { metric: { job: string } }) => metric.job).sort();
}

Deno.test("an alert on a percentile or a share of five minutes asks for enough to count", async () => {
  const text = await Deno.readTextFile(`${RULES_FOLDER}alerts.yml`);
  const alerts = text.split("- alert: ").slice(1);
  const figures = alerts.filter((alert) => /:(p\d+_|ratio)5m /.test(alert));
  assert.ok(figures.length >= 6, `${figures.length}`);
  for (const alert of figures) assert.match(alert, /\n +and on \(job, instance\) .* > [0-9.]+\n/);
});

Deno.test("each alert fires alone, and clears when all is well again", async () => {
  await using figures = serveFigures();
  await using prometheus = await startAlerting(jobsOf(figures.host));
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
});
