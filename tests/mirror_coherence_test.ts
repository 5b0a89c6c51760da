/**
 * What is mirrored together: one trace over many connections and two Shields, in every form that a
 * client can send it, and a session without a trace. Each Shield a process, on a real NATS; one of
 * them records every trace.
 */
import assert from "node:assert/strict";
import { encodePub, writeEnvelope } from "@arqon/proto";
import type { EnvelopeInput } from "@arqon/proto";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { ServerProcess } from "./harness/cluster.ts";
import { connect, decidedBy, listenOn, setRule } from "./mirror_cluster.ts";
import type { MirrorCluster } from "./mirror_cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { startOtlpReceiver } from "./otlp/receiver.ts";
import { openBinary } from "./peers/raw_client.ts";

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
