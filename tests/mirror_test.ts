/**
 * Mirroring as operators and shadow consumers see it: two Shields, each a process, on a real NATS; a shadow consumer beside
 * them; what is mirrored together; and a NATS that denies the shadow.
 */
import assert from "node:assert/strict";
import { encodePub, readEnvelope, writeEnvelope } from "@arqon/proto";
import type { EnvelopeInput } from "@arqon/proto";
import { shadowVerdictsSubject } from "../shared/subjects/subject.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import type { NatsServer } from "./harness/nats_server.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { admin, connect, decidedBy, listenOn, setRule } from "./mirror_cluster.ts";
import type { MirrorCluster, MirrorCluster as Cluster } from "./mirror_cluster.ts";
import { startOtlpReceiver } from "./otlp/receiver.ts";
import { policyAdmin } from "./peers/policy_admin.ts";
import { openBinary } from "./peers/raw_client.ts";
import { logged } from "./harness/server_state.ts";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
const SHADOW = "x-arqon-shadow";

async function post({ ready }: ServerProcess, issuer: Issuer, room: string, body: object) {
  const response = await fetch(`${ready.url}/v1/rooms/${room}/messages`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${await issuer.tokenFor()}`,
      "content-type": "application/json",
    },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200, await response.clone().text());
  await response.body?.cancel();
}

async function onceOnBoth(cluster: Cluster): Promise<void> {
  const { shields, issuer, listener } = cluster;
  const [one] = shields;
  const client = await connect(one!, issuer);
  client.send({ op: "pub", room: "once", data: "before", id: 1 });
  assert.equal((await client.json()).code, 0);
  await setRule(cluster, "in.t.acme.r.once*", 1);
  client.send({ op: "pub", room: "once", data: "socket", id: 2 });
  assert.equal((await client.json()).code, 0, "the same connection goes on");
  await post(one!, issuer, "once", { data: "http" });
  await until(
    () => `${listener.inRoom("shadow.in", "once").length} of 2 shadows`,
    () => listener.inRoom("shadow.in", "once").length === 2,
  );
  const primary = listener.inRoom("in", "once").map(({ payload }) => readEnvelope(payload));
  const shadows = listener.inRoom("shadow.in", "once");
  assert.equal(primary.length, 3, "what came before the rule is not copied");
  for (const [index, { headers, payload }] of shadows.entries()) {
    assert.equal(headers[SHADOW], "true");
    const { headers: marked, ...copy } = readEnvelope(payload);
    const { headers: own, ...original } = primary[index + 1]!;
    assert.deepEqual({ ...marked }, { ...own, [SHADOW]: "true" });
    assert.deepEqual(copy, original);
  }
  const explained = await admin(
    one!,
    issuer,
    "GET",
    "mirror/explain?subject=in.t.acme.r.once",
  );
  assert.equal(explained.body.rule.prefix, "in.t.acme.r.once*");
  client[Symbol.dispose]();
}

/** A hundred trace ids, the same in every run. */
const TRACE_IDS = Array.from(
  { length: 100 },
  (_, n) => (n + 1).toString(16).padStart(2, "0").repeat(16),
);

async function coherent(cluster: Cluster): Promise<void> {
  const { shields, issuer, listener } = cluster;
  await setRule(cluster, "in.t.acme.r.hundred-*", 0.5);
  const decided: string[][] = [];
  for (const [index, shield] of shields.entries()) {
    const client = await connect(shield, issuer);
    for (const round of ["a", "b"]) {
      const room = `hundred-${index}${round}`;
      for (const [n, trace_id] of TRACE_IDS.entries()) {
        client.send({ op: "pub", room, trace_id, data: n, id: n + 1 });
      }
      for (const _ of TRACE_IDS) assert.equal((await client.json()).code, 0);
      const expected = round === "a" ? 100 : 200;
      await until(
        "no copy waits",
        async () => await decidedBy(shield, "in.t.acme.r.hundred-*") === expected,
      );
      await listener.spine.flush();
      const shadows = listener.inRoom("shadow.in", room);
      decided.push(shadows.map(({ payload }) => readEnvelope(payload).trace_id));
      assert.equal(listener.inRoom("in", room).length, 100);
    }
    client[Symbol.dispose]();
  }
  const [first, ...others] = decided;
  assert.ok(first!.length > 30 && first!.length < 70, `${first!.length} of 100`);
  for (const other of others) assert.deepEqual(other, first, "the same on each Shield, twice");
}

async function compared({ shields, issuer, listener }: Cluster): Promise<void> {
  const [one] = shields;
  const bus = {
    admin_url: one!.ready.admin_url!,
    tokenFor: () => issuer.tokenFor({ role: "admin", sub: "root" }),
  };
  const policies = await policyAdmin(bus);
  const module = await Deno.readFile(`${ROOT}/policies/build/bad_words.wasm`);
  const { body: uploaded } = await policies.upload(module);
  const deployed = await policies.post("deploy", {
    tenant: "acme",
    name: "words",
    mode: "observe",
    sha256: uploaded["sha256"],
  });
  assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
  const client = await connect(one!, issuer);
  const [trace_id] = TRACE_IDS;
  for (const [index, text] of ["all is well", "some malware", "well again"].entries()) {
    client.send({ op: "pub", room: "once", type: "chat", trace_id, data: text, id: index + 1 });
    assert.equal((await client.json()).code, 0, "a candidate refuses nothing");
  }
  const verdict = { candidate: "model-7", trace_id, verdict: "refuse", reason: "tone" };
  await until(
    "the shadow consumer hears all",
    () => listener.inRoom("shadow.in", "once").length === 5,
  );
  listener.spine.publish(
    shadowVerdictsSubject("acme"),
    new TextEncoder().encode(JSON.stringify(verdict)),
  );
  const diff = async () => (await admin(one!, issuer, "GET", "mirror/diff?tenant=acme")).body;
  await until("a verdict arrives", async () => (await diff()).candidates.length === 2);
  const [model, words] = (await diff()).candidates;
  assert.deepEqual([model.candidate, model.would_refuse], ["model-7", 1]);
  assert.deepEqual(
    [words.candidate, words.mirrored, words.agree, words.would_refuse, words.would_allow],
    ["policy:words", 3, 2, 1, 0],
  );
  const { trace_id: shown, room, type, would } = words.examples[0];
  assert.deepEqual([shown, room, type, would], [trace_id, "once", "chat", "refuse"]);
  const reset = await admin(one!, issuer, "DELETE", "mirror/diff?tenant=acme");
  assert.equal(reset.body.forgotten, 2);
  assert.deepEqual((await diff()).candidates, []);
  client[Symbol.dispose]();
}

async function refusals({ shields: [one], issuer }: Cluster): Promise<void> {
  for (const percent of [-0.1, 1.1, "10%"]) {
    const prefix = "in.t.acme.*";
    const refused = await admin(one!, issuer, "PUT", "tenants/acme/mirror", { prefix, percent });
    assert.deepEqual([refused.status, refused.body.reason], [400, "invalid-settings"]);
    assert.ok(refused.body.detail.includes(JSON.stringify(percent)), refused.body.detail);
  }
  const user = await fetch(`${one!.ready.admin_url}/v1/mirror`, {
    headers: { authorization: `Bearer ${await issuer.tokenFor()}` },
  });
  assert.equal(user.status, 403);
  await user.body?.cancel();
}

Deno.test("mirroring on two Shields and a real NATS", async (t) => {
  await using nats = await startNats({ jetstream: true });
  const issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}${PATIENT_POLICIES}`;
  await using one = await startServer("shield", config, issuer.dir);
  await using two = await startServer("shield", config, issuer.dir);
  await using listener = await listenOn(nats.url);
  const cluster = { issuer, shields: [one, two], listener };
  await t.step(
    "a rule set at run time: one request is on both subjects",
    () => onceOnBoth(cluster),
  );
  await t.step("100 trace ids are decided alike on both Shields, twice", () => coherent(cluster));
  await t.step("candidates are compared with production", () => compared(cluster));
  await t.step("bad rules and strangers are refused", () => refusals(cluster));
  await Deno.remove(issuer.dir, { recursive: true });
});

async function denied(nats: NatsServer, issuer: Issuer): Promise<void> {
  const url = nats.url.replace("nats://", "nats://shield:p@");
  const rule = '[platform.mirroring]\nrules = [{ prefix = "in.t.acme.*", percent = 1 }]\n';
  const config = `[nats]\nurls = ["${url}"]\n${rule}${issuer.config}`;
  await using shield = await startServer("shield", config, issuer.dir);
  await using listener = await listenOn(nats.url.replace("nats://", "nats://watcher:p@"));
  const client = await connect(shield, issuer);
  for (let n = 1; n <= 50; n++) client.send({ op: "pub", room: "lobby", data: n, id: n });
  for (let n = 1; n <= 50; n++) {
    assert.deepEqual(await client.json(), { op: "ack", id: n, code: 0 }, "acknowledged");
  }
  await post(shield, issuer, "lobby", { data: 51 });
  const metrics = async () => await (await fetch(`${shield.ready.ops_url}/metrics`)).text();
  const series = (outcome: string, value: number) =>
    `shield_mirror_traffic_total{rule="in.t.acme.*",outcome="${outcome}"} ${value}\n`;
  await until(
    () => `all failures are counted:\n${shield.log()}`,
    async () => (await metrics()).includes(series("failed", 51)),
  );
  assert.ok((await metrics()).includes(series("published", 0)));
  await logged(
    shield,
    /level=warn .*part=mirroring rule=in\.t\.acme\.\* tenant_id=acme .*NATS denies shadow/,
  );
  await listener.spine.flush();
  assert.equal(listener.inRoom("in", "lobby").length, 51, "the primary has all");
  assert.equal(listener.inRoom("shadow.in", "lobby").length, 0);
  const ready = await fetch(`${shield.ready.ops_url}/health/ready`);
  assert.equal(ready.status, 200, await ready.text());
  client[Symbol.dispose]();
}

Deno.test("a NATS that denies the shadow: the primary is acknowledged, the failure is told", async () => {
  const shield = '{ user: shield, password: p, permissions: { publish: { deny: "shadow.>" } } }';
  const users = `users: [ ${shield}, { user: watcher, password: p } ]`;
  await using nats = await startNats({ jetstream: true, config: `authorization { ${users} }` });
  const issuer = await createIssuer();
  await denied(nats, issuer);
  await Deno.remove(issuer.dir, { recursive: true });
});

// What is mirrored together: one trace over many connections and two Shields, in every form that a client can send
// it, and a session without a trace. Each Shield a process, on a real NATS; one of them records every trace.

const TRACES = 24;
const CONNECTIONS = 10;
const SESSION_MESSAGES = 4;
const RULE = "in.t.acme.r.whole-*";
const SPAN = "b7ad6b7169203331";
const traceOf = (n: number) => (n + 17).toString(16).padStart(2, "0").repeat(16);
const parentOf = (n: number, flags: string) => `00-${traceOf(n)}-${SPAN}-${flags}`;

/** One connection or user of one Shield, which publishes with what makes a trace, or without. */
interface Publisher {
  readonly name: string;
  /** Resolves when the message is acknowledged. */
  publish(room: string, trace?: Traced): Promise<void>;
}

/** Where the trace stands. */
interface Traced {
  readonly trace_id?: string;
  readonly headers?: Record<string, string>;
  /** Of the HTTP request; sockets have none. */
  readonly http?: Record<string, string>;
}

async function textPublisher(
  shield: ServerProcess,
  cluster: MirrorCluster,
  scope: DisposableStack,
): Promise<Publisher> {
  const client = scope.use(await connect(shield, cluster.issuer));
  return {
    name: "text",
    async publish(room, { trace_id, headers } = {}) {
      client.send({ op: "pub", room, type: "chat", data: 1, id: 1, trace_id, headers });
      assert.deepEqual(await client.json(), { op: "ack", id: 1, code: 0 });
    },
  };
}

async function binaryPublisher(
  shield: ServerProcess,
  cluster: MirrorCluster,
  scope: DisposableStack,
): Promise<Publisher> {
  const url = `${shield.ready.url?.replace(/^http/, "ws")}/v1/socket`;
  const client = scope.use(await openBinary(url, await cluster.issuer.tokenFor()));
  return {
    name: "binary",
    async publish(room_id, { trace_id, headers } = {}) {
      const more: EnvelopeInput = {
        ...(trace_id === undefined ? {} : { trace_id }),
        ...(headers === undefined ? {} : { headers }),
      };
      client.send(
        encodePub(writeEnvelope({ room_id, event: { type: "chat" }, request_id: 1, ...more })),
      );
      const answer = await client.frame();
      assert(answer.kind === "ack" && answer.ack.code === 0, JSON.stringify(answer));
    },
  };
}

/** A JSON body, or an envelope as the body. */
async function httpPublisher(
  { ready }: ServerProcess,
  { issuer }: MirrorCluster,
  kind: "json" | "protobuf",
  user: string,
): Promise<Publisher> {
  const token = await issuer.tokenFor({ sub: user });
  return {
    name: `http ${kind}`,
    async publish(room, { trace_id, headers, http } = {}) {
      const own = { ...(trace_id && { trace_id }), ...(headers && { headers }) };
      const body = kind === "json"
        ? JSON.stringify({ type: "chat", data: 1, ...own })
        : new Uint8Array(writeEnvelope({ event: { type: "chat" }, ...own }));
      const type = { "content-type": `application/${kind}`, authorization: `Bearer ${token}` };
      const response = await fetch(`${ready.url}/v1/rooms/${room}/messages`, {
        method: "POST",
        headers: { ...type, ...http },
        body,
      });
      assert.equal(response.status, 200, await response.clone().text());
      await response.body?.cancel();
    },
  };
}

/** Every place in which a client can name its trace, sampled or not. */
function waysOf(n: number, over: Publisher): Traced[] {
  const trace_id = traceOf(n);
  const ways: Traced[] = [
    { trace_id },
    { headers: { traceparent: parentOf(n, "01") } },
    { headers: { TraceParent: parentOf(n, "00") } },
    // Two ids: the field counts, for the mirror as for receivers.
    { trace_id, headers: { traceparent: parentOf(n + 1, "01") } },
  ];
  if (!over.name.startsWith("http")) return ways;
  return [
    ...ways,
    { http: { traceparent: parentOf(n, "01") } },
    { headers: { traceparent: parentOf(n, "00") }, http: { traceparent: parentOf(n + 1, "01") } },
  ];
}

/** Ten of each kind on each Shield. */
async function publishers(cluster: MirrorCluster, scope: DisposableStack): Promise<Publisher[]> {
  const made: Promise<Publisher>[] = [];
  for (const shield of cluster.shields) {
    for (let index = 0; index < CONNECTIONS; index++) {
      made.push(textPublisher(shield, cluster, scope), binaryPublisher(shield, cluster, scope));
    }
    made.push(
      httpPublisher(shield, cluster, "json", "backend"),
      httpPublisher(shield, cluster, "protobuf", "other"),
    );
  }
  return await Promise.all(made);
}

let decided = 0;

/** Every room was mirrored whole or not at all, and there are some of both. */
async function assertWhole(
  { shields, listener }: MirrorCluster,
  sent: ReadonlyMap<string, number>,
): Promise<void> {
  for (const count of sent.values()) decided += count;
  const done = async () => {
    const counts = await Promise.all(shields.map((shield) => decidedBy(shield, RULE)));
    return counts.reduce((total, count) => total + count, 0) === decided;
  };
  await until("no copy waits", done);
  await listener.spine.flush();
  let whole = 0;
  for (const [room, count] of sent) {
    assert.equal(listener.inRoom("in", room).length, count, room);
    const copies = listener.inRoom("shadow.in", room).length;
    assert(copies === 0 || copies === count, `${room}: ${copies} of ${count}`);
    if (copies > 0) whole++;
  }
  assert(whole > 0 && whole < sent.size, `${whole} of ${sent.size}`);
}

async function traces(cluster: MirrorCluster): Promise<void> {
  using scope = new DisposableStack();
  const all = await publishers(cluster, scope);
  const sent = new Map<string, number>();
  for (let n = 0; n < TRACES; n++) {
    const room = `whole-trace-${n}`;
    for (const publisher of all) {
      for (const way of waysOf(n, publisher)) {
        await publisher.publish(room, way);
        sent.set(room, (sent.get(room) ?? 0) + 1);
      }
    }
  }
  await assertWhole(cluster, sent);
}

/** Also on the Shield that records every message, and so makes a trace of each. */
async function sessions(cluster: MirrorCluster): Promise<void> {
  using scope = new DisposableStack();
  const sent = new Map<string, number>();
  for (const [index, publisher] of (await publishers(cluster, scope)).entries()) {
    // Over HTTP the user counts: the next test.
    if (publisher.name.startsWith("http")) continue;
    const room = `whole-session-${index}`;
    for (let n = 0; n < SESSION_MESSAGES; n++) {
      await publisher.publish(room, n % 2 === 0 ? {} : { headers: { traceparent: "nonsense" } });
    }
    sent.set(room, SESSION_MESSAGES);
  }
  await assertWhole(cluster, sent);
}

async function users(cluster: MirrorCluster): Promise<void> {
  const sent = new Map<string, number>();
  for (let n = 0; n < TRACES; n++) {
    const room = `whole-user-${n}`;
    for (const shield of cluster.shields) {
      for (const kind of ["json", "protobuf"] as const) {
        const publisher = await httpPublisher(shield, cluster, kind, `user-${n}`);
        for (let count = 0; count < SESSION_MESSAGES; count++) await publisher.publish(room);
      }
    }
    sent.set(room, 2 * 2 * SESSION_MESSAGES);
  }
  await assertWhole(cluster, sent);
}

Deno.test("a share of the traffic is mirrored whole", async (t) => {
  await using nats = await startNats({ jetstream: true });
  await using collector = await startOtlpReceiver();
  const issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
  const recording = `[telemetry]\notlp_url = "${collector.url}"\ntraces_ratio = 1\n`;
  await using one = await startServer("shield", config + recording, issuer.dir);
  await using two = await startServer("shield", config, issuer.dir);
  await using listener = await listenOn(nats.url);
  const cluster = { issuer, shields: [one, two], listener };
  await setRule(cluster, RULE, 0.5);
  await t.step("a trace, wherever a client names it, over 44 senders", () => traces(cluster));
  await t.step("a connection without a trace", () => sessions(cluster));
  await t.step("over HTTP, a user without a trace", () => users(cluster));
  assert(collector.spans().some(({ name }) => name === "publish"), "nothing was recorded");
  await Deno.remove(issuer.dir, { recursive: true });
});
