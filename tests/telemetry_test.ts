/** The telemetry of processes on a real NATS: metrics, and traces. */
import assert from "node:assert/strict";
import { connect, type Connection, type Message } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";
import { until } from "../shared/testing/until.ts";
import { binary, guestText } from "../shield/policy/testing/guests.ts";
import { GOOD_PING } from "../shield/schema/testing/schemas.ts";
import { run } from "../tasks/checkout/programs.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { type OtlpReceiver, type OtlpSpan, startOtlpReceiver } from "./otlp/receiver.ts";
import { CONTRACT, type Family, lintPage, parsePage } from "./peers/metrics_page.ts";
import { enforce } from "./peers/policy_admin.ts";
import { ask, openText } from "./peers/raw_client.ts";
import { requirePing } from "./peers/schema_admin.ts";
import { logged, sampleAt, samplesOf } from "./harness/server_state.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

// The metrics of a real Shield and a real Brain on a real NATS: the contract's names, Prometheus's naming rules, the
// list in docs/metrics.md. `shared/telemetry` covers OTLP.

const ROOT = new URL("..", import.meta.url).pathname;
const DEADLINE_MS = 60_000;
const MESSAGES = 20;
type Page = ReadonlyMap<string, Family>;

interface Bus {
  readonly shield: ServerProcess;
  readonly brain: ServerProcess;
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

/** Promtool's remarks about a page, except for the contract's own names. */
async function promtool(page: string): Promise<string[]> {
  const { code, stdout, stderr } = await run("promtool", ["check", "metrics"], { stdin: page }) ??
    assert.fail("there is no promtool");
  // 3: it has remarks about names.
  const output = stdout + stderr;
  assert.ok(code === 0 || code === 3, output);
  return output.split("\n").filter((line) =>
    line !== "" && !((line.split(" ")[0] ?? "") in CONTRACT)
  );
}

/** One subscriber, some messages, a refusal. */
async function traffic(shield: ServerProcess, token: string): Promise<Disposable> {
  const client = await openText(shield.socket_url, token);
  await ask(client, { op: "sub", room: "lobby" });
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

/** Name and type of each row of a table with those columns first. */
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
  const [always = "", only = ""] = doc.split("## Metrics of optional parts");
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
  // The first scrape gave the tenant its own series, where it counts from then on.
  const total = (name: string) =>
    valueOf(page, name, tenant) + valueOf(page, name, { tenant: "_other" });
  assert.equal(valueOf(page, "shield_tenant_connections", tenant), 1);
  assert.equal(total("shield_tenant_ingress_messages_total"), MESSAGES + 1);
  assert.equal(total("shield_tenant_egress_messages_total"), MESSAGES);
  assert.equal(total("shield_tenant_rejects_total"), 1);
  const bytes = valueOf(page, "shield_ingress_bytes_total");
  assert.equal(total("shield_tenant_ingress_bytes_total"), bytes);
}

Deno.test("metrics of a Shield and a Brain", async (t) => {
  await using nats = await startNats({ jetstream: true });
  await using collector = await startOtlpReceiver();
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}
[telemetry]\notlp_url = "${collector.url}"\n#constant telemetry.metrics_interval_ms = 1_000\n[ledger]\nstore = true\n`;
  const lines = 'node_id = "edge"\ndrain_ms = 0\n';
  await using brain = await startServer("brain", config, issuer.dir, lines);
  await using shield = await startServer("shield", config, issuer.dir, lines);
  const bus = { shield, brain };
  const client = await traffic(shield, await issuer.tokenFor());
  await t.step("the contract's names exist, and all names follow the rules", () => ruled(bus));
  await t.step("docs/metrics.md lists them, and no others", () => listed(bus));
  await t.step("events are counted, by tenant, too", () => counted(bus));
  client[Symbol.dispose]();
});

// Traces across a real cluster: NATS, two Shields and a Brain as processes, an SDK client, and a collector that accepts
// OTLP. What is recorded, what is not, and that a missing collector slows nothing down.

/** The client's span, the parent of every trace of these tests. */
const CLIENT_SPAN = "b7ad6b7169203331";

/** A trace id for each number. */
const traceOf = (n: number) => n.toString(16).padStart(2, "0").repeat(16);
/** Its `traceparent`, with the client's span. */
const parentOf = (n: number, flags = "01") => `00-${traceOf(n)}-${CLIENT_SPAN}-${flags}`;

/** The inputs of a scenario. */
interface Cluster {
  readonly collector: OtlpReceiver;
  readonly issuer: Issuer;
  readonly nats_port: number;
  readonly shields: readonly [ServerProcess, ServerProcess];
  /** On the first Shield. */
  readonly sender: Connection;
  /** On the second. */
  readonly listener: Connection;
}

/** Spans of one trace, once the expected number has arrived. */
async function spansOf({ collector }: Cluster, trace_id: string, names: readonly string[]) {
  const found = () => collector.spans().filter((span) => span.trace_id === trace_id);
  const shown = () => found().map(({ name }) => name).sort().join();
  const expected = [...names].sort().join();
  await until(() => `expected ${expected}, got ${shown()}`, () => shown() === expected);
  return found();
}

/** The only span of that name, of that service if given. */
function one(spans: readonly OtlpSpan[], name: string, service?: string): OtlpSpan {
  const found = spans.filter((span) =>
    span.name === name && (service === undefined || span.resource["service.name"] === service)
  );
  assert.equal(found.length, 1, `${found.length} spans ${name}`);
  return found[0]!;
}

/** The root is the client's span, and every other parent is a span of the trace. */
function assertConnected(spans: readonly OtlpSpan[]): void {
  const ids = new Set(spans.map(({ span_id }) => span_id));
  assert.equal(ids.size, spans.length);
  const roots = spans.filter(({ parent_span_id }) => !ids.has(parent_span_id));
  assert.deepEqual(roots.map(({ parent_span_id }) => parent_span_id), [CLIENT_SPAN]);
  for (const { name, start_ns, end_ns } of spans) assert.ok(end_ns >= start_ns, name);
}

/** New messages of a room. */
async function receivedIn(
  listener: Connection,
  room: string,
): Promise<AsyncIterator<Message>> {
  const messages = listener.room(room).subscribe();
  await messages.ready;
  return messages[Symbol.asyncIterator]();
}

const KINDS = { server: 2, client: 3, producer: 4, consumer: 5 };

/** The Spine's spans: below the sender's, above the receivers', and named as in OpenTelemetry. */
function assertSpine(
  { nats_port }: Cluster,
  sent: OtlpSpan,
  below: OtlpSpan,
  destination: string,
  above: readonly OtlpSpan[],
): void {
  assert.equal(sent.parent_span_id, below.span_id);
  assert.equal(sent.kind, sent.name === "request" ? KINDS.client : KINDS.producer);
  assert.equal(sent.attributes["messaging.system"], "nats");
  assert.equal(sent.attributes["messaging.operation.type"], "send");
  assert.equal(sent.attributes["messaging.destination.name"], destination);
  assert.equal(sent.attributes["server.address"], "127.0.0.1");
  assert.equal(sent.attributes["server.port"], nats_port);
  assert.equal(sent.attributes["arqon.tenant"], "acme");
  for (const { name, kind, parent_span_id, attributes } of above) {
    assert.equal(parent_span_id, sent.span_id, name);
    assert.equal(kind, name === "command" ? KINDS.server : KINDS.consumer, name);
    assert.equal(attributes["messaging.system"], "nats");
    assert.equal(attributes["messaging.operation.type"], "process");
    // The log's own subject differs from the one of its subscribers.
    assert.equal(attributes["messaging.destination.name"], destination.replace(/^log/, "in"));
  }
}

/** Log lines of one call; the first is short and the others are long. */
const CHATTY_LINES = 20;

function chattyPolicy(): Uint8Array<ArrayBuffer> {
  const line = (level: number, size: number) =>
    `(call $log (i32.const ${level}) (i32.const 16) (i32.const ${size}))`;
  const lines = [line(1, 9), ...Array(CHATTY_LINES - 1).fill(line(3, 1_000))];
  const more = `(data (i32.const 16) "all is ok${"x".repeat(991)}")`;
  return binary(guestText({ body: `${lines.join(" ")} (i32.const 0)`, more }));
}

/** Logs a greeting for each connection. */
function greeterPolicy(): Uint8Array<ArrayBuffer> {
  const body = "(call $log (i32.const 2) (i32.const 16) (i32.const 5)) (i32.const 0)";
  return binary(guestText({ hook: "on_connect", body, more: '(data (i32.const 16) "hello")' }));
}

/** Deploys the policies and the schema for the scenarios. */
async function prepare({ issuer, shields: [shield] }: Omit<Cluster, "sender" | "listener">) {
  const admin_url = shield.ready.admin_url ?? "";
  const tokenFor = () => issuer.tokenFor({ role: "admin", sub: "root" });
  const bus = { admin_url, tokenFor };
  await enforce(bus, "bad_words", { tenant: "acme", name: "words" });
  await enforce(bus, chattyPolicy(), { tenant: "acme", name: "chatty", room: "chatty-*" });
  await enforce(bus, greeterPolicy(), { tenant: "acme", name: "greeter" });
  await requirePing(bus, "acme", "pings-*");
}

const OK = 0;

async function oneTrace(cluster: Cluster): Promise<void> {
  const { sender, listener } = cluster;
  const messages = await receivedIn(listener, "pings-1");
  const traceparent = parentOf(1);
  const options = { traceparent, message_id: "m-1", content_type: "application/protobuf" };
  const ack = await sender.room("pings-1").publish("ping", GOOD_PING, options);
  assert.equal(ack.code, OK);
  const { value } = await messages.next();
  assert.equal(value.trace_id, traceOf(1));
  assert.equal(value.headers["traceparent"], traceparent, "the sender's own, as it was");
  const names = ["publish", "schema", "policy", "send", "deliver", "tap"];
  const spans = await spansOf(cluster, traceOf(1), names);
  assertConnected(spans);
  const publish = one(spans, "publish");
  assert.equal(publish.parent_span_id, CLIENT_SPAN);
  const { "arqon.tenant": tenant, "arqon.room": room, "arqon.type": type } = publish.attributes;
  assert.deepEqual({ tenant, room, type }, { tenant: "acme", room: "pings-1", type: "ping" });
  assert.equal(publish.attributes["messaging.message.id"], "m-1");
  const policy = one(spans, "policy");
  assert.equal(policy.parent_span_id, publish.span_id);
  assert.equal(policy.attributes["arqon.policy.module"], "words");
  assert.equal(policy.attributes["arqon.policy.verdict"], "allow");
  assert.ok(Number(policy.attributes["arqon.policy.fuel"]) > 0);
  assert.equal(one(spans, "schema").parent_span_id, publish.span_id);
  const deliver = one(spans, "deliver");
  assert.equal(deliver.attributes["arqon.receivers"], 1);
  const tap = one(spans, "tap");
  assertSpine(cluster, one(spans, "send"), publish, "in.t.acme.r.pings-1", [deliver]);
  assert.equal(tap.parent_span_id, publish.span_id);
  const services = [publish, deliver, tap].map(({ resource }) => resource);
  const instances = new Set(services.map((resource) => resource["service.instance.id"]));
  assert.deepEqual([...instances].sort(), ["brain-0", "shield-0", "shield-1"]);
}

async function commands(cluster: Cluster): Promise<void> {
  const state = roomState(cluster.sender.room("state-1"));
  await state.set("colour", "green", { traceparent: parentOf(3) });
  const spans = await spansOf(cluster, traceOf(3), ["command", "policy", "request", "command"]);
  assertConnected(spans);
  const [asked, served] = ["shield", "brain"].map((part) => one(spans, "command", `arqon-${part}`));
  assertSpine(cluster, one(spans, "request"), asked!, "t.acme.r.state-1.cmds", [served!]);
  assert.equal(served?.attributes["arqon.type"], "room.set");
}

/** Each Brain forwards commands of rooms that another one owns: the same trace continues, over the Spine again. */
async function forwarded(cluster: Cluster): Promise<void> {
  const { sender, collector } = cluster;
  const first = 100;
  const rooms = Array.from({ length: 32 }, (_, index) => index + first);
  await Promise.all(
    rooms.map((n) =>
      roomState(sender.room(`state-${n}`)).set("colour", "green", { traceparent: parentOf(n) })
    ),
  );
  const passed = () => collector.spans().find((span) => span.attributes["arqon.forwarded"]);
  await until("a Brain forwards", () => passed() !== undefined);
  const { trace_id, span_id } = passed()!;
  const names = ["command", "policy", "request", "command", "request", "command"];
  const spans = await spansOf(cluster, trace_id, names);
  assertConnected(spans);
  const [asked] = spans.filter(({ parent_span_id }) => parent_span_id === span_id);
  assert.equal(asked?.name, "request");
  assert.equal(asked?.resource["service.name"], "arqon-brain");
  const destination = String(asked?.attributes["messaging.destination.name"]);
  assert.match(destination, /^sys\.cluster\.cmds\.brain:brain-[01]$/);
  const [served] = spans.filter(({ parent_span_id }) => parent_span_id === asked?.span_id);
  assert.equal(served?.name, "command");
  assert.ok(destination.endsWith(String(served?.resource["service.instance.id"])));
}

/** Publishes by POST with these members; resolves with the message as the listener gets it. */
async function posted(cluster: Cluster, messages: AsyncIterator<Message>, members: object) {
  const { issuer, shields: [shield] } = cluster;
  const peer = new HttpPeer(shield.ready.url ?? "", await issuer.tokenFor());
  const message = { type: "note", data: 1, ...members };
  assert.equal((await peer.call("POST", "rooms/ids-1/messages", message)).status, 200);
  return (await messages.next()).value as Message;
}

async function traceIds(cluster: Cluster): Promise<void> {
  const messages = await receivedIn(cluster.listener, "ids-1");
  const withHeader = (traceparent: string, more: object = {}) =>
    posted(cluster, messages, { headers: { traceparent }, ...more });
  assert.equal((await withHeader(parentOf(8))).trace_id, traceOf(8), "the header's");
  const spans = await spansOf(cluster, traceOf(8), [
    "publish",
    "schema",
    "policy",
    "send",
    "deliver",
    "tap",
  ]);
  assertConnected(spans);
  const quiet = await withHeader(parentOf(9, "00"));
  assert.equal(quiet.trace_id, traceOf(9), "also of one that is not sampled");
  const other = await withHeader(parentOf(10), { trace_id: traceOf(11) });
  assert.equal(other.trace_id, traceOf(11), "the envelope's own comes first");
  const broken = await withHeader("00-nonsense");
  assert.match(broken.trace_id, /^[0-9a-f]{32}$/);
  assert.equal(broken.headers["traceparent"], "00-nonsense");
  const { ready: { ops_url } } = cluster.shields[0];
  assert.equal(await sampleAt(ops_url, "arqon_invalid_traceparents_total"), 2);
}

async function refusals(cluster: Cluster): Promise<void> {
  const { sender, shields: [shield], collector } = cluster;
  const traceparent = parentOf(7, "00");
  const words = sender.room("lobby").publish("chat", { text: "malware" }, { traceparent });
  await assert.rejects(words, { reason: "policy-rejected" });
  const [refused] = await spansOf(cluster, traceOf(7), ["publish"]);
  assert.equal(refused?.status.code, 2);
  assert.equal(refused?.attributes["error.type"], "policy-rejected");
  const response = await fetch(`${shield.ready.url}/v1/socket`);
  assert.equal(response.status, 401);
  await response.body?.cancel();
  const outcomes = () =>
    collector.spans().filter(({ name, status }) => name === "handshake" && status.code === 2);
  await until(() => `${outcomes().length} of 1 refused handshakes`, () => outcomes().length === 1);
  assert.equal(outcomes()[0]?.attributes["error.type"], "token-missing");
}

/** A policy's host_log output is an event of the message's span, up to its limit. */
async function policyLogs(cluster: Cluster): Promise<void> {
  const { sender } = cluster;
  await sender.room("chatty-1").publish("note", 1, { traceparent: parentOf(13) });
  const names = ["publish", "schema", "policy", "policy", "send", "tap"];
  const publish = one(await spansOf(cluster, traceOf(13), names), "publish");
  assert.equal(publish.events.length, 16);
  assert.equal(publish.attributes["arqon.policy.log.left_out"], CHATTY_LINES - 16);
  const [first, second] = publish.events;
  assert.deepEqual(first, {
    name: "arqon.policy.log",
    attributes: {
      "arqon.policy.module": "chatty",
      "arqon.policy.log.level": "info",
      "arqon.policy.log.message": "all is ok",
    },
  });
  assert.equal(second?.attributes["arqon.policy.log.level"], "error");
  assert.equal(second?.attributes["arqon.policy.log.message"], `all is ok${"x".repeat(503)}`);
}

async function handshakes(cluster: Cluster): Promise<void> {
  const { issuer, shields: [shield] } = cluster;
  const socket = new WebSocket(shield.socket_url, {
    protocols: ["arqon.v1"],
    headers: {
      authorization: `Bearer ${await issuer.tokenFor()}`,
      traceparent: parentOf(12),
    },
  });
  const closed = new Promise((resolve) => socket.onclose = resolve);
  const handshake = one(
    await spansOf(cluster, traceOf(12), ["handshake", "policy"]),
    "handshake",
  );
  assert.equal(handshake.parent_span_id, CLIENT_SPAN);
  assert.equal(handshake.attributes["arqon.outcome"], "accepted");
  assert.equal(handshake.attributes["arqon.tenant"], "acme");
  const lines = handshake.events.map(({ attributes }) => attributes["arqon.policy.log.message"]);
  assert.deepEqual(lines, ["hello"]);
  socket.close();
  await closed;
}

/** No token and no payload is in what left the processes. */
async function nothingSecret({ collector, issuer }: Cluster): Promise<void> {
  const [, claims = ""] = (await issuer.tokenFor()).split(".");
  const sent = JSON.stringify(
    collector.spans(),
    (_, value) => typeof value === "bigint" ? String(value) : value,
  );
  for (const secret of [claims.slice(0, 20), "malware", "green"]) {
    assert.ok(!sent.includes(`"${secret}`), secret);
  }
}

Deno.test("a trace is one over client, Shields, policies, schemas and Brain", async (t) => {
  await using collector = await startOtlpReceiver();
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `${issuer.config}
[nats]
urls = ["${nats.url}"]
${durableRooms("durable-*")}
[brain]
tap = 0.01
[telemetry]
otlp_url = "${collector.url}"
traces_ratio = 0.0
metrics = false
`;
  const start = (part: "shield" | "brain", id: string) =>
    startServer(part, config, issuer.dir, `node_id = "${id}"`);
  await using brain = await start("brain", "brain-0");
  await using first = await start("shield", "shield-0");
  await using second = await start("shield", "shield-1");
  assert.ok(brain.pid > 0);
  const nats_port = Number(new URL(nats.url).port);
  const ready = { collector, issuer, nats_port, shields: [first, second] as const };
  await prepare(ready);
  const open = async ({ ready: { url } }: ServerProcess, sub: string) =>
    await connect({ url: url ?? "", token: await issuer.tokenFor({ sub }) });
  await using sender = await open(first, "ann");
  await using listener = await open(second, "bob");
  const cluster = { ...ready, sender, listener };
  await t.step("one message, three processes, one trace", () => oneTrace(cluster));
  await t.step("a command reaches the Brain within its trace", () => commands(cluster));
  await t.step("the trace id is the client's, whichever way it was sent", () => traceIds(cluster));
  await t.step("a policy's logs are in the trace, too", () => policyLogs(cluster));
  await t.step("a handshake is part of its client's trace", () => handshakes(cluster));
  await t.step("refusals are exported although not sampled", () => refusals(cluster));
  {
    await using _other = await start("brain", "brain-1");
    await t.step(
      "a Brain that forwards a command is a hop of the trace",
      () => forwarded(cluster),
    );
  }
  await t.step("no span has a token or a payload", () => nothingSecret(cluster));
});

Deno.test("an unavailable collector slows nothing, and losses are counted", async () => {
  const gone = await startOtlpReceiver();
  await gone[Symbol.asyncDispose]();
  await using bus = await startLocalBus(`
[server]
drain_ms = 0
[telemetry]
otlp_url = "${gone.url}"
traces_ratio = 1.0
#constant telemetry.timeout_ms = 1_000
#constant telemetry.queue_spans = 8
metrics = false
`);
  const { url, token } = bus;
  await using connection = await connect({ url, token });
  const room = connection.room("lobby");
  const lost = async () => {
    await Promise.all(Array.from({ length: 50 }, (_, n) => room.publish("note", n)));
    const samples = await samplesOf(bus.ops_url);
    const failed = samples.get('arqon_otlp_exports_total{signal="traces",outcome="failed"}') ?? 0;
    return failed > 0 && (samples.get("arqon_spans_dropped_total") ?? 0) > 50;
  };
  await until("something is counted", lost);
  await logged(bus, /traces do not reach the collector/);
  await connection.close();
  await bus.stop();
});
