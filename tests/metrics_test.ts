/**
 * The metrics of a real Shield and a real Brain on a real NATS: the contract's names, Prometheus's
 * naming rules, the list in docs/metrics.md, and the same by OTLP.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { ServerProcess } from "./harness/cluster.ts";
import { CONTRACT, lintPage, parsePage } from "./peers/metrics_page.ts";
import type { Family } from "./peers/metrics_page.ts";
import { startNats } from "./harness/nats_server.ts";
import { startOtlpReceiver } from "./otlp/receiver.ts";
import type { OtlpMetric, OtlpReceiver } from "./otlp/receiver.ts";
import { openText } from "./peers/raw_client.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const DEADLINE_MS = 60_000;
const MESSAGES = 20;
const CUMULATIVE = 2;

type Page = ReadonlyMap<string, Family>;

interface Bus {
  readonly shield: ServerProcess;
  readonly brain: ServerProcess;
  readonly collector: OtlpReceiver;
}

async function textOf(server: ServerProcess): Promise<string> {
  return await (await fetch(`${server.ready.ops_url}/metrics`)).text();
}

const pageOf = async (server: ServerProcess): Promise<Page> => parsePage(await textOf(server));

function valueOf(page: Page, name: string, labels: Record<string, string> = {}): number {
  const wanted = JSON.stringify(labels);
  const samples = page.get(name.replace(/_(count|sum)$/, ""))?.samples ?? page.get(name)?.samples;
  const sample = samples?.find((one) => one.name === name && JSON.stringify(one.labels) === wanted);
  assert.ok(sample !== undefined, `${name} ${wanted} is not on the page`);
  return sample.value;
}

/** What promtool says of a page beyond the contract's own names. */
async function promtool(page: string): Promise<string[]> {
  const child = new Deno.Command("promtool", {
    args: ["check", "metrics"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(page));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  // 3: it has something to say of the names.
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.ok(code === 0 || code === 3, said);
  return said.split("\n").filter((line) =>
    line !== "" && !((line.split(" ")[0] ?? "") in CONTRACT)
  );
}

/** One subscriber, some messages, a refusal. */
async function traffic(shield: ServerProcess, token: string): Promise<Disposable> {
  const client = await openText(`${shield.ready.url?.replace(/^http/, "ws")}/v1/socket`, token);
  client.send({ op: "sub", room: "lobby", id: 1 });
  assert.equal((await client.json()).code, 0);
  for (let index = 0; index < MESSAGES; index++) {
    client.send({ op: "pub", room: "lobby", type: "chat", data: index });
    assert.equal((await client.json()).data, index);
  }
  client.send({ op: "pub", room: "no > room", type: "chat", id: 2 });
  assert.equal((await client.json()).reason, "invalid-room");
  return client;
}

async function ruled({ shield, brain }: Bus): Promise<void> {
  const pages = [await pageOf(shield), await pageOf(brain)];
  for (const page of pages) assert.deepEqual(lintPage(page), []);
  const all = new Map(pages.flatMap((page) => [...page]));
  for (const [name, type] of Object.entries(CONTRACT)) {
    assert.equal(all.get(name)?.type, type, name);
  }
  for (const server of [shield, brain]) assert.deepEqual(await promtool(await textOf(server)), []);
}

/** Name and type of each row of a table that begins with them. */
function documented(text: string): Map<string, string> {
  const rows = text.matchAll(/^\| `(\w+)`\s*\| (counter|gauge|histogram)\s*\|/gm);
  return new Map([...rows].map(([, name = "", type = ""]) => [name, type]));
}

async function listed({ shield, brain }: Bus): Promise<void> {
  const families = [await pageOf(shield), await pageOf(brain)].flatMap((
    page,
  ) => [...page.values()]);
  const actual = new Map(families.map(({ name, type }) => [name, type]));
  const doc = await Deno.readTextFile(`${ROOT}docs/metrics.md`);
  const [always = "", only = ""] = doc.split("## Only with what they are about");
  const rows = documented(always);
  const missing = [...actual].filter(([name, type]) => rows.get(name) !== type);
  assert.deepEqual(missing, [], "docs/metrics.md does not have them");
  const gone = [...rows.keys()].filter((name) => !actual.has(name));
  assert.deepEqual(gone, [], "no page has them");
  assert.ok(documented(only).size > 0);
}

async function counted({ shield }: Bus): Promise<void> {
  const page = await pageOf(shield);
  assert.equal(valueOf(page, "shield_delivery_latency_seconds_count"), MESSAGES);
  assert.ok(valueOf(page, "shield_delivery_latency_seconds_sum") < DEADLINE_MS / 1_000 * MESSAGES);
  assert.equal(valueOf(page, "shield_connections", { state: "open" }), 1);
  assert.equal(valueOf(page, "shield_connections", { state: "opening" }), 0);
  assert.equal(valueOf(page, "arqon_spine_state", { state: "connected" }), 1);
  assert.ok(valueOf(page, "arqon_spine_round_trip_seconds_count") >= 1);
  assert.equal(valueOf(page, "shield_flush_queue_depth"), 0);
  const tenant = { tenant: "acme" };
  // The first scrape gave the tenant its place, from which on it counts there.
  const total = (name: string) =>
    valueOf(page, name, tenant) + valueOf(page, name, { tenant: "_other" });
  assert.equal(valueOf(page, "shield_tenant_connections", tenant), 1);
  assert.equal(total("shield_tenant_ingress_messages_total"), MESSAGES + 1);
  assert.equal(total("shield_tenant_egress_messages_total"), MESSAGES);
  assert.equal(total("shield_tenant_rejects_total"), 1);
  const bytes = valueOf(page, "shield_ingress_bytes_total");
  assert.equal(total("shield_tenant_ingress_bytes_total"), bytes);
}

/** The one that a process sent. */
function sentBy(collector: OtlpReceiver, service: string, name: string): OtlpMetric | undefined {
  return collector.metrics().get(name)?.find(({ resource }) =>
    resource["service.name"] === service
  );
}

function requireSame(family: Family, metric: OtlpMetric): void {
  const kind = family.type === "counter" ? "sum" : family.type;
  assert.equal(metric.kind, kind, family.name);
  assert.equal(metric.description, family.help);
  if (kind === "gauge") return;
  assert.equal(metric.temporality, CUMULATIVE, family.name);
  if (kind === "sum") return assert.equal(metric.is_monotonic, true, family.name);
  for (const { count, bucket_counts = [], explicit_bounds = [] } of metric.points) {
    assert.equal(bucket_counts.length, explicit_bounds.length + 1, family.name);
    assert.equal(bucket_counts.reduce((sum, one) => sum + one, 0), count, family.name);
    assert.deepEqual(explicit_bounds, explicit_bounds.toSorted((a, b) => a - b), family.name);
  }
}

async function exported({ shield, brain, collector }: Bus): Promise<void> {
  for (const [service, server] of [["arqon-shield", shield], ["arqon-brain", brain]] as const) {
    const page = await pageOf(server);
    await until(`all of ${service}`, () => (
      [...page.keys()].every((name) => sentBy(collector, service, name) !== undefined)
    ));
    for (const family of page.values()) {
      requireSame(family, sentBy(collector, service, family.name)!);
    }
  }
  for (const name of Object.keys(CONTRACT)) assert.ok(collector.metrics().has(name), name);
  await until("the messages, too", () => {
    const points = sentBy(collector, "arqon-shield", "shield_egress_messages_total")?.points;
    return points?.[0]?.value === MESSAGES;
  });
  const latency = sentBy(collector, "arqon-shield", "shield_delivery_latency_seconds");
  assert.equal(latency?.points[0]?.count, MESSAGES);
  assert.equal(latency?.unit, "s");
  const { resource } = latency ?? {};
  assert.equal(resource?.["service.instance.id"], "edge");
  assert.equal(resource?.["service.version"], shield.ready.version);
  const rooms = sentBy(collector, "arqon-brain", "brain_room_count");
  assert.equal(rooms?.resource["service.instance.id"], brain.ready.brain_id);
}

/** Both still say it when they drain, and their last values go out. */
async function ended({ shield, brain, collector }: Bus): Promise<void> {
  const requests = collector.requests.metrics;
  for (const server of [shield, brain]) assert.equal((await server.stop()).code, 0, server.log());
  assert.ok(collector.requests.metrics >= requests + 2);
  const [connections] = sentBy(collector, "arqon-shield", "shield_active_connections")?.points ??
    [];
  assert.equal(connections?.value, 0);
}

Deno.test("metrics of a Shield and a Brain", async (t) => {
  await using nats = await startNats({ jetstream: true });
  await using collector = await startOtlpReceiver();
  const issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}
[telemetry]\notlp_url = "${collector.url}"\nmetrics_interval_ms = 1_000\n[ledger]\nstore = true\n`;
  const lines = 'node_id = "edge"\ndrain_ms = 0\n';
  await using brain = await startServer("brain", config, issuer.dir, lines);
  await using shield = await startServer("shield", config, issuer.dir, lines);
  const bus = { shield, brain, collector };
  const client = await traffic(shield, await issuer.tokenFor());
  await t.step("the contract's names are there, and all names keep the rules", () => ruled(bus));
  await t.step("docs/metrics.md lists them, and no others", () => listed(bus));
  await t.step("what has happened is counted, by tenant too", () => counted(bus));
  await t.step("all of it goes out by OTLP, as what it is", () => exported(bus));
  await t.step("at the end the last values go out", () => ended(bus));
  client[Symbol.dispose]();
  await Deno.remove(issuer.dir, { recursive: true });
});
