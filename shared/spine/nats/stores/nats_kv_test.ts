/** The NATS key-value store when connections break at the worst moment. Real server, real proxy. */
import assert from "node:assert/strict";
import {
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  type StreamConfig,
} from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-deno";
import { startNatsCluster } from "../../../../tests/harness/nats_cluster.ts";
import { type NatsServer, startNats } from "../../../../tests/harness/nats_server.ts";
import { startTcpProxy, type TcpProxy } from "../../../../tests/harness/tcp_proxy.ts";
import { bytes, Collected, refusedWith, text, within } from "../../testing/conformance.ts";
import { keptLog } from "../../../testing/logs.ts";
import { turn } from "../../../testing/pace.ts";
import { until } from "../../../testing/until.ts";
import type { Bucket } from "./nats_bucket.ts";
import { NatsWatch } from "./nats_kv.ts";
import { ENCODED_KEYS } from "../../contract/kv_key.ts";
import { connectNats } from "../connection/nats_connect.ts";
import { natsConfig, watched } from "../testing/nats_harness.ts";
import type { KeyValue, KeyValueOptions, KvChange } from "../../contract/spine.ts";

const unavailable = refusedWith("spine-unavailable");

/** A separate connection that observes the server without the engine. */
async function observe(
  server: Pick<NatsServer, "url">,
): Promise<{ connection: NatsConnection } & AsyncDisposable> {
  const config = natsConfig({ urls: [server.url] });
  const connection = await connectNats({ config, reconnectDelay: () => 100 });
  return { connection, [Symbol.asyncDispose]: () => connection.close() };
}

const shown = ({ key, value }: KvChange): string =>
  value === undefined ? `${key.join("/")} gone` : `${key.join("/")}=${text(value)}`;

/** A watcher's state after all changes so far. */
function stateOf(changes: readonly KvChange[]): Record<string, string> {
  const state = new Map<string, string>();
  for (const { key, value } of changes) {
    if (value === undefined) state.delete(key.join("/"));
    else state.set(key.join("/"), text(value));
  }
  return Object.fromEntries([...state].sort());
}

/** Polls until the key holds `value`; the engine's own reads use another connection. */
async function written(bucket: KeyValue, key: string, value: string): Promise<number> {
  for (;;) {
    const entry = await bucket.get([key]);
    if (entry !== undefined && text(entry.value) === value) return entry.revision;
  }
}

Deno.test("times and ages are the server's, also in a bucket that was made just now", async () => {
  await using server = await startNats({ jetstream: true });
  await using here = await watched(server.port);
  const bucket = await here.spine.keyValue("TIMES");
  await bucket.put(["a"], bytes("1"));
  await until("it ages", async () => ((await bucket.get(["a"]))?.age_ms ?? 0) > 20);
  const time_ms = await bucket.storeTime?.() ?? 0;
  assert.ok(Math.abs(time_ms - Date.now()) < 10_000, String(time_ms));
});

Deno.test("an interrupted watch reports what others wrote and deleted", async () => {
  await using server = await startNats({ jetstream: true });
  await using proxy = startTcpProxy(server.port);
  await using away = await watched(proxy.port);
  await using here = await watched(server.port);
  await using observer = await observe(server);
  const bucket = await here.spine.keyValue("BANS");
  for (const key of ["kept", "changed", "deleted", "purged", "before"]) {
    await bucket.put([key], bytes("1"));
  }
  await bucket.delete(["before"]);
  const changes = new Collected<KvChange>();
  const watch = (await away.spine.keyValue("BANS")).watch([], changes.add);
  await within(watch.ready, "the first listing");
  assert.equal(changes.items.length, 4);
  await proxy.cut();
  await away.reached("disconnected");
  await bucket.put(["changed"], bytes("2"));
  await bucket.put(["new"], bytes("3"));
  await bucket.delete(["deleted"]);
  // The end of a tenant without settings is an entry that is deleted at once.
  await bucket.put(["unknown"], bytes("5"));
  await bucket.delete(["unknown"]);
  // Leaves no tombstone: only the comparison with the known keys can detect it.
  const manager = await jetstreamManager(observer.connection);
  await manager.streams.purge("KV_BANS", { filter: `$KV.BANS.${ENCODED_KEYS.encode(["purged"])}` });
  proxy.restore();
  await changes.until(
    (items) => Object.keys(stateOf(items)).join() === "changed,kept,new",
    "the relisted state",
  );
  assert.deepEqual(stateOf(changes.items), { changed: "2", kept: "1", new: "3" });
  const gone = changes.items.flatMap((one) =>
    one.type === "delete" ? `${shown(one)} ${one.is_lost === true}` : []
  );
  assert.deepEqual(gone.sort(), ["deleted gone false", "purged gone true", "unknown gone false"]);
  await bucket.put(["later"], bytes("4"));
  await changes.until((items) => items.some((one) => shown(one) === "later=4"), "a later change");
  watch.stop();
});

Deno.test("a watch continues after the server restarts, also if its bucket is deleted", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await watched(server.port, { request_timeout_ms: 10_000 });
  const bucket = await one.spine.keyValue("BANS");
  await bucket.put(["a"], bytes("1"));
  const changes = new Collected<KvChange>();
  const watch = bucket.watch([], changes.add);
  await within(watch.ready, "the first listing");
  await server.restart();
  await one.gaps(1);
  await bucket.put(["b"], bytes("2"));
  await changes.until((items) => items.some((one) => shown(one) === "b=2"), "a change afterwards");
  assert.deepEqual(stateOf(changes.items), { a: "1", b: "2" });
  await using observer = await observe(server);
  await (await jetstreamManager(observer.connection)).streams.delete("KV_BANS");
  await server.restart();
  await changes.until((items) => Object.keys(stateOf(items)).length === 0, "all is gone");
  await bucket.put(["c"], bytes("3"));
  await changes.until((items) => items.some((one) => shown(one) === "c=3"), "the bucket made anew");
  assert.equal(text((await bucket.get(["c"]))?.value ?? bytes("")), "3");
  watch.stop();
});

Deno.test("a watch begun just before the connection breaks becomes ready afterwards", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await watched(server.port, { request_timeout_ms: 10_000 });
  const bucket = await one.spine.keyValue("BANS");
  await bucket.put(["a"], bytes("1"));
  await server.freeze();
  const changes = new Collected<KvChange>();
  const watch = bucket.watch([], changes.add);
  await server.kill();
  await server.start();
  await within(watch.ready, "readiness");
  assert.deepEqual(stateOf(changes.items), { a: "1" });
});

Deno.test("a server that is slow as buckets and the audit log are opened ends no start", async () => {
  await using server = await startNats({ jetstream: true });
  const request_timeout_ms = 200;
  await using engine = await watched(server.port, { request_timeout_ms });
  await server.freeze();
  const opening = Promise.all([
    engine.spine.keyValue("B"),
    engine.spine.objects("O"),
    engine.spine.blocks("audit", { max_age_seconds: 60, max_bytes: 1_048_576 }),
  ]);
  opening.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 3 * request_timeout_ms));
  await server.resume();
  const [bucket] = await opening;
  assert.equal(await bucket.put(["k"], bytes("v")), 1);
});

Deno.test("a watch that is not ready ends with the engine", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await watched(server.port, { request_timeout_ms: 5_000 });
  const bucket = await one.spine.keyValue("BANS");
  await server.freeze();
  const watch = bucket.watch([], () => {});
  const drained = one.spine.drain();
  await assert.rejects(within(watch.ready, "the refusal"), unavailable);
  await within(drained, "the drain");
});

Deno.test("a write in flight when the server dies is applied once it has restarted", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await watched(server.port, { request_timeout_ms: 20_000 });
  const bucket = await one.spine.keyValue("ROOMS");
  const first = await bucket.put(["room"], bytes("1"));
  await server.freeze();
  const update = bucket.update(["room"], bytes("2"), first);
  const reading = bucket.get(["room"]);
  const listing = bucket.keys();
  await server.kill();
  await one.reached("disconnected");
  await assert.rejects(bucket.get(["room"]), unavailable);
  await assert.rejects(bucket.put(["room"], bytes("x")), unavailable);
  await server.start();
  const revision = await within(update, "the update");
  assert.ok(["1", "2"].includes(text((await within(reading, "the read"))?.value ?? bytes(""))));
  assert.deepEqual(await within(listing, "the keys"), [["room"]]);
  const entry = await bucket.get(["room"]);
  assert.deepEqual([text(entry?.value ?? bytes("")), entry?.revision], ["2", revision]);
});

/** Starts `update`, drops its acknowledgement, runs `meanwhile`, and lets the engine reconnect. */
async function loseAcknowledgement(
  meanwhile: (bucket: KeyValue, revision: number, server: NatsServer) => Promise<void>,
  prepare: (server: NatsServer) => Promise<void> = () => Promise.resolve(),
  view: KeyValueOptions = {},
): Promise<{ outcome: PromiseSettledResult<number>; written: number; value: string }> {
  await using server = await startNats({ jetstream: true });
  await prepare(server);
  await using proxy = startTcpProxy(server.port);
  await using away = await watched(proxy.port, { request_timeout_ms: 20_000 });
  await using here = await watched(server.port);
  const bucket = await here.spine.keyValue("ROOMS", view);
  const first = await bucket.put(["room"], bytes("1"));
  const other = await away.spine.keyValue("ROOMS", view);
  proxy.holdAnswers();
  const update = other.update(["room"], bytes("2"), first);
  const revision = await within(written(bucket, "room", "2"), "the write without answer");
  await proxy.cut();
  await away.reached("disconnected");
  await meanwhile(bucket, revision, server);
  proxy.restore();
  const [outcome] = await within(Promise.allSettled([update]), "the outcome");
  const value = text((await bucket.get(["room"]))?.value ?? bytes(""));
  return { outcome, written: revision, value };
}

Deno.test("a lost acknowledgement is made good with the revision that was written", async () => {
  const { outcome, written, value } = await loseAcknowledgement(async () => {});
  assert.deepEqual(outcome, { status: "fulfilled", value: written });
  assert.equal(value, "2");
});

Deno.test("a lost acknowledgement is made good though others wrote since", async () => {
  const { outcome, written, value } = await loseAcknowledgement(async (bucket, revision) => {
    await bucket.update(["room"], bytes("3"), revision);
  });
  assert.deepEqual(outcome, { status: "fulfilled", value: written });
  assert.equal(value, "3");
});

/** A bucket whose server remembers message ids for the shortest possible time. */
async function forgetful(
  server: Pick<NatsServer, "url">,
  more: Partial<StreamConfig> = { allow_direct: true },
): Promise<void> {
  await using observer = await observe(server);
  const manager = await jetstreamManager(observer.connection);
  await manager.streams.add({
    name: "KV_ROOMS",
    subjects: ["$KV.ROOMS.>"],
    max_msgs_per_subject: 1,
    allow_rollup_hdrs: true,
    duplicate_window: 100_000_000,
    ...more,
  });
}

/** Resolves when the server has forgotten every message id seen until now. */
async function forgotten(server: Pick<NatsServer, "url">): Promise<void> {
  await using observer = await observe(server);
  const js = jetstream(observer.connection);
  const probe = () => js.publish("$KV.ROOMS.probe", bytes("x".repeat(20)), { msgID: "probe" });
  await probe();
  while ((await probe()).duplicate) continue;
}

Deno.test("the nonce identifies a lost acknowledgement if the server has forgotten the id", async () => {
  const { outcome, written, value } = await loseAcknowledgement(
    (_bucket, _revision, server) => forgotten(server),
    forgetful,
  );
  assert.deepEqual(outcome, { status: "fulfilled", value: written });
  assert.equal(value, "2");
});

Deno.test("in a plain bucket the value identifies it, and another writer's equal value is not ours", async () => {
  const view = { plain: true };
  const { outcome, written, value } = await loseAcknowledgement(
    (_bucket, _revision, server) => forgotten(server),
    forgetful,
    view,
  );
  assert.deepEqual([outcome, value], [{ status: "fulfilled", value: written }, "2"]);
  await using server = await startNats({ jetstream: true });
  await using one = await watched(server.port);
  const bucket = await one.spine.keyValue("ROOMS", view);
  await bucket.put(["room"], bytes("same"));
  const conflict = refusedWith("version-conflict");
  await assert.rejects(bucket.update(["room"], bytes("same"), 0), conflict);
});

Deno.test("when neither id nor nonce can tell, the write is refused and not guessed", async () => {
  const { outcome, value } = await loseAcknowledgement(async (bucket, revision, server) => {
    await bucket.update(["room"], bytes("3"), revision);
    await forgotten(server);
  }, forgetful);
  assert.ok(outcome.status === "rejected" && unavailable(outcome.reason));
  assert.match(String(outcome.reason), /unknown outcome/);
  assert.equal(value, "3");
});

Deno.test("on a cluster the query for a forgotten write leaves its bucket unchanged", async () => {
  await using cluster = await startNatsCluster("", { silent: true });
  await cluster.ready();
  const [member] = cluster.members;
  assert.ok(member !== undefined);
  await forgetful(member, { num_replicas: 3 });
  await using proxy = startTcpProxy(member.port);
  await using away = await watched(proxy.port, { request_timeout_ms: 20_000 });
  await using here = await watched(member.port, { request_timeout_ms: 20_000 });
  const bucket = await here.spine.keyValue("ROOMS");
  const first = await bucket.put(["room"], bytes("1"));
  const other = await away.spine.keyValue("ROOMS");
  proxy.holdAnswers();
  const update = other.update(["room"], bytes("2"), first);
  const revision = await written(bucket, "room", "2");
  await proxy.cut();
  await away.reached("disconnected");
  await bucket.update(["room"], bytes("3"), revision);
  await forgotten(member);
  proxy.restore();
  await assert.rejects(within(update, "the outcome"), /unknown outcome/);
  const last = await within(bucket.put(["room"], bytes("4")), "a write afterwards");
  assert.equal((await bucket.get(["room"]))?.revision, last);
  const logs = cluster.members.map((one) => one.logTail()).join("\n");
  assert.doesNotMatch(logs, /critical write error/);
});

Deno.test("buckets are created as in the contract, and corrected if they differ", async () => {
  await using server = await startNats({ jetstream: true });
  await forgetful(server);
  await using one = await watched(server.port);
  await using observer = await observe(server);
  const manager = await jetstreamManager(observer.connection);
  const wrong = { retention: RetentionPolicy.Interest, no_ack: true, max_msgs_per_subject: 5 };
  await manager.streams.update("KV_ROOMS", wrong);
  for (const name of ["ROOMS", "BANS"]) {
    const bucket = await one.spine.keyValue(name);
    await bucket.put(["a"], bytes("1"));
    await bucket.delete(["a"]);
    const { config } = await manager.streams.info(`KV_${name}`);
    const { allow_direct, discard, max_msgs_per_subject, no_ack = false, retention } = config;
    assert.deepEqual(
      [allow_direct, discard, max_msgs_per_subject, no_ack, retention],
      [false, "new", 1, false, "limits"],
    );
    const last = await manager.streams.getMessage(`KV_${name}`, {
      last_by_subj: `$KV.${name}.${ENCODED_KEYS.encode(["a"])}`,
    });
    assert.equal(last?.header.get("KV-Operation"), "DEL");
    assert.equal(last?.header.get("Nats-TTL"), "24h");
  }
});

Deno.test("foreign values are logged and never interpreted", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await watched(server.port);
  await using observer = await observe(server);
  const bucket = await one.spine.keyValue("BANS");
  const js = jetstream(observer.connection);
  await js.publish(`$KV.BANS.${ENCODED_KEYS.encode(["short"])}`, "no nonce");
  await js.publish("$KV.BANS.not+base64", "x".repeat(40));
  await assert.rejects(bucket.get(["short"]), refusedWith("internal"));
  const changes = new Collected<KvChange>();
  const watch = bucket.watch([], changes.add);
  await within(watch.ready, "the listing");
  assert.deepEqual(changes.items, []);
  assert.equal(one.lines.filter((line) => line.includes("did not write")).length, 2);
  watch.stop();
});

/** A proxy to a server that reports pending messages for each new consumer where there are none. */
function overstating(port: number, then: (proxy: TcpProxy) => void = () => {}): TcpProxy {
  const proxy = startTcpProxy(port, (answer) => {
    // One byte is one character.
    const answered = new TextDecoder("latin1").decode(answer);
    if (!answered.includes("consumer_create_response")) return;
    const count = '"num_pending":';
    const at = answered.indexOf(`${count}0`);
    assert.ok(at >= 0, answered);
    answer[at + count.length] = "9".charCodeAt(0);
    then(proxy);
  });
  return proxy;
}

Deno.test("a listing ends when the server has nothing left, whatever number it announced", async () => {
  await using server = await startNats({ jetstream: true });
  await using proxy = overstating(server.port);
  await using away = await watched(proxy.port, { request_timeout_ms: 20_000 });
  const bucket = await away.spine.keyValue("BANS");
  assert.deepEqual(await within(bucket.keys(), "the keys"), []);
  const watch = bucket.watch([], () => {});
  await within(watch.ready, "the listing of the watch");
  watch.stop();
});

Deno.test("a listing whose consumer becomes silent is an error, soon", async () => {
  await using server = await startNats({ jetstream: true });
  // The answer passes, and nothing after it.
  await using proxy = overstating(
    server.port,
    (proxy) => queueMicrotask(() => proxy.holdAnswers()),
  );
  await using away = await watched(proxy.port, { request_timeout_ms: 2_000 });
  const bucket = await away.spine.keyValue("BANS");
  await assert.rejects(within(bucket.keys(), "the refusal"), unavailable);
  await proxy.cut();
});

Deno.test("a watch whose consumer is silent lists anew, but not while disconnected: the reconnect does", async () => {
  const { log, lines } = keptLog({ level: "info" });
  let relist = () => {};
  let fail = (_error: Error) => {};
  const link = {
    state: "disconnected",
    log,
    monotonic: () => 0,
    connection: {
      isClosed: () => false,
      subscribe(_subject: string, { callback }: { callback: (error: Error) => void }) {
        fail = callback;
        return { unsubscribe() {} };
      },
    },
    guard: <T>(promise: Promise<T>) => promise,
    onReconnect(given: () => void) {
      relist = given;
      return () => {};
    },
  };
  const made = { name: "c", num_pending: 0, delivered: { consumer_seq: 0 } };
  const consumers = { add: () => Promise.resolve(made), delete: () => Promise.resolve() };
  const bucket = {
    link,
    stream: "KV_A",
    subject: (key: string) => key,
    noteTime() {},
    ensure: () => Promise.resolve(),
    consumers: () => Promise.resolve(consumers),
  } as unknown as Bucket;
  const ignored = { prefix: "", depth: undefined, onChange() {}, onStop() {} };
  const watch = new NatsWatch({ bucket, ...ignored });
  await watch.ready;
  fail(new Error("silent"));
  assert.deepEqual(lines, []);
  link.state = "connected";
  relist();
  await until("the reconnect's", () => lines.length === 1);
  await turn();
  fail(new Error("silent"));
  await until("the next one", () => lines.length === 2);
  watch.stop();
});
