/**
 * `deploy/prometheus` and `deploy/grafana` against the real Prometheus, which scrapes real processes under load: each
 * panel's query, each recording rule and both sides of each alert return data. `alerts.test.yml` in `promtool`, also
 * run here, makes the alerts fire.
 */
import assert from "node:assert/strict";
import { encodePub, writeEnvelope } from "@arqon/proto";
import { testCertificate } from "../shared/listeners/testing/certificate.ts";
import { startPrometheus } from "../tasks/dev/dev_observe.ts";
import { anchors } from "../tasks/checkout/markdown.ts";
import { must } from "../tasks/checkout/programs.ts";
import { BAD_PING, GOOD_PING } from "../shield/schema/testing/schemas.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { DurableClient } from "./peers/durable_client.ts";
import { enforce } from "./peers/policy_admin.ts";
import { refusedUpgrade } from "./peers/raw_upgrade.ts";
import { ask, openBinary, openText } from "./peers/raw_client.ts";
import { requirePing } from "./peers/schema_admin.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { serving } from "../shared/testing/serving.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
const PROMETHEUS = `${ROOT}/deploy/prometheus`;
const DASHBOARD = `${ROOT}/deploy/grafana/dashboards/arqonbus-overview.json`;
const DEADLINE_MS = 90_000;

// Work that moves every series of the dashboard and the alerts: what clients do, what is refused, and what fails.

const MESSAGES = 10;

/** A Shield and who may talk to it. */
interface Stage {
  readonly shield: ServerProcess;
  readonly issuer: Issuer;
}

/** A command while no Brain lives: refused, and that is counted. */
async function askWithoutBrain({ shield, issuer }: Stage): Promise<void> {
  using client = await DurableClient.open(shield.socket_url, await issuer.tokenFor());
  const answer = await client.ask({ op: "cmd", room: "state", name: "room.get", data: {} });
  assert.equal(answer.reason, "brain-unavailable");
}

/** A policy that refuses, one that only looks on (a candidate), and a schema with a mapping. */
async function prepare({ shield, issuer }: Stage): Promise<void> {
  const bus = {
    admin_url: shield.ready.admin_url!,
    tokenFor: () => issuer.tokenFor({ role: "admin", sub: "root" }),
  };
  for (const [tenant, mode] of [["acme", "enforce"], ["globex", "observe"]] as const) {
    await enforce(bus, "bad_words", { tenant, name: `words-${mode}`, mode });
  }
  await requirePing(bus, "acme", "pings-*");
}

async function talk({ shield, issuer }: Stage, tenant_id: string, refused: number): Promise<void> {
  const token = await issuer.tokenFor({ tenant_id });
  using client = await DurableClient.open(shield.socket_url, token);
  using reader = await openText(shield.socket_url, token);
  await ask(reader, { op: "sub", room: "lobby", presence: true });
  for (let index = 0; index < MESSAGES; index++) {
    assert.equal((await client.pub("lobby", `${index} is well`)).code, 0);
  }
  assert.equal((await client.pub("lobby", "malware")).code, refused);
  const set = { op: "cmd", room: "state", name: "room.set", data: { key: "k", value: 1 } };
  assert.equal((await client.ask(set)).code, 0);
}

async function publishPings({ shield, issuer }: Stage): Promise<void> {
  using client = await openBinary(shield.socket_url, await issuer.tokenFor());
  for (const [data, code] of [[GOOD_PING, 0], [BAD_PING, 400]] as const) {
    const event = { type: "ping", data, content_type: "application/protobuf" };
    client.send(encodePub(writeEnvelope({ room_id: "pings-1", request_id: 5, event })));
    const frame = await client.frame();
    assert(frame.kind === "ack" && frame.ack.code === code, JSON.stringify(frame));
  }
}

/** Publishes to a durable room, and comes back to it from where the reader was. */
async function recover({ shield, issuer }: Stage): Promise<void> {
  const open = async () => DurableClient.open(shield.socket_url, await issuer.tokenFor());
  using publisher = await open();
  const { epoch } = await publisher.join("log-1");
  const [first] = await publisher.fill("log-1", ["one", "two", "three"]);
  using back = await open();
  await back.join("log-1", { after_offset: first, epoch });
}

/** One round of everything; each is checked, so that what is measured is what was meant. */
async function playRound(stage: Stage): Promise<void> {
  await Promise.all([
    talk(stage, "acme", 403),
    talk(stage, "globex", 0),
    publishPings(stage),
    recover(stage),
  ]);
  const [status] = await refusedUpgrade(stage.shield.ready.url!, { token: "no.token.atall" });
  assert.equal(status, "401");
}

interface Rule {
  readonly type: "recording" | "alerting";
  readonly name: string;
  readonly query: string;
  readonly health: string;
  readonly annotations?: { readonly runbook_url: string };
}

function configOf(nats_url: string, broken_url: string, issuer: string): string {
  return `
[nats]
urls = ["${nats_url}"]
[platform.mirroring]
rules = [{ prefix = "in.t.*", percent = 1.0 }]
[quota]
url = "redis://127.0.0.1:1"
[telemetry]
otlp_url = "${broken_url}"
#constant telemetry.metrics_interval_ms = 1_000
[usage]
enabled = true
${durableRooms("log-*")}
${issuer}
[[auth.issuers]]
issuer = "broken"
audience = "arqon"
jwks_url = "${broken_url}/jwks.json"
tenants = ["*"]
`;
}

/** The committed configuration with these addresses, absolute paths and a scrape a second. */
async function prometheusConfig(shield: ServerProcess, brain: ServerProcess): Promise<string> {
  let text = await Deno.readTextFile(`${PROMETHEUS}/prometheus.yml`);
  const host = ({ ready }: ServerProcess) => new URL(ready.ops_url!).host;
  const changes = [
    ["scrape_interval: 5s", "scrape_interval: 1s"],
    ["evaluation_interval: 5s", "evaluation_interval: 1s"],
    ["- rules.yml", `- "${PROMETHEUS}/rules.yml"`],
    ["- alerts.yml", `- "${PROMETHEUS}/alerts.yml"`],
    ["127.0.0.1:4001", host(shield)],
    ["127.0.0.1:4101", host(brain)],
  ] as const;
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), `prometheus.yml has no ${from}`);
    text = text.replace(from, to);
  }
  return text;
}

async function api(url: string, path: string, query = "") {
  const response = await fetch(`${url}/api/v1/${path}${query}`);
  const answer = await response.json();
  assert.equal(answer.status, "success", `${path}${query}: ${JSON.stringify(answer)}`);
  return answer.data;
}

/** Whether the query has a line with a number; NaN is none. */
async function hasData(url: string, expr: string): Promise<boolean> {
  const { result } = await api(url, "query", `?query=${encodeURIComponent(expr)}`);
  return result.some(({ value }: { value: [number, string] }) => Number.isFinite(Number(value[1])));
}

/** Queries of all panels, as Grafana asks them when all jobs and instances are chosen. */
async function panelQueries(): Promise<string[]> {
  const { panels } = JSON.parse(await Deno.readTextFile(DASHBOARD));
  return panels.flatMap(({ targets = [] }: { targets?: { expr: string }[] }) =>
    targets.map(({ expr }) =>
      expr.replaceAll("$__rate_interval", "30s").replaceAll(/"\$(job|instance)"/g, '".*"')
    )
  );
}

/** Metrics of bridges. None runs here: their names are held to the documents, and `bridge_serve_test.ts` reads them. */
const OF_BRIDGES = /\bbridge_\w+/;
/** And those of panels about hooks and reducers, of which none runs here either. */
const OF_ABSENT = /\b(bridge|(shield|brain)_hook|brain_reducer|brain_rooms_(told|untold))\w*/;

/** Fails when a query has a metric of those that the documents do not know. */
async function namesOfAbsent(queries: readonly string[]): Promise<void> {
  const metrics = await Deno.readTextFile(`${ROOT}/docs/metrics.md`);
  const names = queries.flatMap((query) => query.match(new RegExp(OF_ABSENT, "g")) ?? []);
  assert.ok(names.length > 20);
  for (const name of names) {
    const metric = name.replace(/_(bucket|sum|count)$/, "");
    assert.ok(metrics.includes(`\`${metric}\``), name);
  }
}

/** The sides of an alert without their comparisons, which of a healthy deployment give nothing. */
function compared(query: string): string[] {
  return query.split(/\s+and on \(job, instance\)\s+/).map((side) => {
    const found = side.match(/^(.*) (?:>|<|==) [0-9.]+$/s);
    assert.ok(found?.[1], `an alert compares with a number at its end: ${query}`);
    return found[1];
  });
}

async function rulesOf(url: string): Promise<Rule[]> {
  const { groups } = await api(url, "rules");
  return groups.flatMap(({ rules }: { rules: Rule[] }) => rules);
}

/** Plays rounds until every query gives data; fails with those that give none. */
async function playUntilAllHaveData(url: string, queries: readonly string[], stage: Stage) {
  const deadline_ms = Date.now() + DEADLINE_MS;
  let without = [...new Set(queries)];
  while (without.length > 0) {
    assert.ok(Date.now() < deadline_ms, `no data:\n${without.join("\n")}`);
    await playRound(stage);
    const has = await Promise.all(without.map((expr) => hasData(url, expr)));
    without = without.filter((_, index) => !has[index]);
  }
}

/** Runs promtool in the folder of the files; its output when it failed. */
const promtool = (...args: string[]) => must("promtool", args, { cwd: PROMETHEUS });

Deno.test("promtool accepts the configuration, and each alert fires when it should", async () => {
  await promtool("check", "config", "prometheus.yml");
  await promtool("check", "rules", "rules.yml", "alerts.yml", "store_alerts.yml");
  const runbooks = anchors(await Deno.readTextFile(`${ROOT}/docs/runbooks.md`));
  for (const [file, fewest] of [["alerts", 20], ["store_alerts", 4]] as const) {
    await promtool("test", "rules", `${file}.test.yml`);
    const alerts = await Deno.readTextFile(`${PROMETHEUS}/${file}.yml`);
    const cases = await Deno.readTextFile(`${PROMETHEUS}/${file}.test.yml`);
    const names = [...alerts.matchAll(/- alert: (\w+)/g)].map(([, name = ""]) => name);
    assert.ok(names.length >= fewest);
    for (const name of names) {
      // It has an expected sample, or a job of its own in which it must fire.
      assert.match(cases, new RegExp(`(?:alertname="|job=")${name}\\b`));
      assert.ok(runbooks.has(name.toLowerCase()), name);
    }
  }
});

Deno.test("an alert on a percentile or a share of five minutes asks for enough to count", async () => {
  const text = await Deno.readTextFile(`${PROMETHEUS}/alerts.yml`);
  const alerts = text.split("- alert: ").slice(1);
  const figures = alerts.filter((alert) => /:(p\d+_|ratio)5m /.test(alert));
  assert.ok(figures.length >= 6, `${figures.length}`);
  for (const alert of figures) assert.match(alert, /\n +and on \(job, instance\) .* > [0-9.]+\n/);
});

Deno.test("the failures of the bus are the reasons of code 500 and above", async () => {
  const rules = await Deno.readTextFile(`${PROMETHEUS}/rules.yml`);
  const counted = rules.match(/reason=~"([^"]*)"/)?.[1]?.split("|");
  const { errors }: { errors: { name: string; code: number }[] } = JSON.parse(
    await Deno.readTextFile(`${ROOT}/proto/errors.json`),
  );
  // Meant, or said by an SDK to itself.
  const left_out = ["draining", "unreachable", "connection-lost"];
  const expected = errors.filter(({ name, code }) => code >= 500 && !left_out.includes(name));
  assert.deepEqual(counted?.toSorted(), expected.map(({ name }) => name).toSorted());
});

Deno.test("every panel, recording rule and alert queries existing series", async () => {
  await using nats = await startNats({ jetstream: true });
  await using broken = serving(() => new Response("", { status: 500 }));
  await using issuer = await createIssuer();
  const config = configOf(nats.url, broken.url, issuer.config);
  await using shield = await startServer("shield", config, issuer.dir);
  const stage = { shield, issuer };
  await askWithoutBrain(stage);
  // Of its certificate the alert has a figure; nobody asks its admin port.
  const { cert, key } = await testCertificate();
  await Deno.writeTextFile(`${issuer.dir}/cert.pem`, cert);
  await Deno.writeTextFile(`${issuer.dir}/key.pem`, key);
  const admin_lines = `tls_cert = "${issuer.dir}/cert.pem"\ntls_key = "${issuer.dir}/key.pem"\n`;
  await using brain = await startServer("brain", config, issuer.dir, "", { admin_lines });
  await prepare(stage);
  const prometheus = await startPrometheus({
    folder: `${issuer.dir}/prometheus`,
    config: await prometheusConfig(shield, brain),
    port: 0,
  });
  assert.ok(prometheus, "prometheus is not installed (apt-get install prometheus)");
  await using _end = atEnd(() => prometheus.stop());
  const rules = await rulesOf(prometheus.url);
  const recorded = rules.filter(({ type }) => type === "recording");
  const alerts = rules.filter(({ type }) => type === "alerting");
  assert.ok(recorded.length > 15 && alerts.length > 20);
  const asked = alerts.filter(({ query }) => !OF_BRIDGES.test(query));
  const panels = await panelQueries();
  await namesOfAbsent([...alerts.map(({ query }) => query), ...panels]);
  await playUntilAllHaveData(prometheus.url, [
    ...recorded.flatMap(({ name, query }) => [name, query]),
    ...asked.flatMap(({ query }) => compared(query)),
    ...panels.filter((query) => !OF_ABSENT.test(query)),
  ], stage);
  for (const { name, health } of await rulesOf(prometheus.url)) {
    assert.equal(health, "ok", name);
  }
  const runbooks = anchors(await Deno.readTextFile(`${ROOT}/docs/runbooks.md`));
  for (const { name, annotations } of alerts) {
    const [page, anchor] = annotations?.runbook_url.split("#") ?? [];
    assert.ok(page === "docs/runbooks.md" && runbooks.has(anchor ?? ""), `runbook of ${name}`);
  }
});
