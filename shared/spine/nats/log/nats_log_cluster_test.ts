/** What the NATS logs keep when servers of a real cluster die, freeze and return. */
import assert from "node:assert/strict";
import { startNatsCluster } from "../../../../tests/harness/nats_cluster.ts";
import type { ClusterMember, NatsCluster } from "../../../../tests/harness/nats_cluster.ts";
import { insist, seen } from "../../../testing/until.ts";
import { bytes, refusedWith, within } from "../../testing/conformance.ts";
import type { DurableLog } from "../../contract/durable_log.ts";
import {
  appendUntil,
  logEngine,
  offsetsOf,
  readAll,
  RETENTION,
} from "../testing/nats_log_harness.ts";

const unavailable = refusedWith("log-unavailable");

const anyUnavailable = (error: unknown) => {
  try {
    return unavailable(error);
  } catch {
    return refusedWith("spine-unavailable")(error);
  }
};

/** Appends until it succeeds; a test that waits for an election does nothing else. */
async function appendAgain(log: DurableLog, room: string, number: number): Promise<number> {
  const append = () => log.append(room, bytes(String(number)), { key: String(number) });
  return (await insist(`append ${number} is taken`, append, anyUnavailable)).offset;
}

/** Runs `hurt` while appends run, then `heal`; every acknowledged message is stored once at its offset. */
async function survives(
  cluster: NatsCluster,
  log: DurableLog,
  room: string,
  hurt: (leader: ClusterMember) => Promise<void>,
  heal: (leader: ClusterMember) => Promise<void>,
): Promise<void> {
  const leader = await cluster.leaderOf(log.stream);
  const { promise: stop, resolve } = Promise.withResolvers<void>();
  const appending = appendUntil(log, room, stop);
  await log.append(room, bytes("-1"), { key: "-1" });
  await hurt(leader);
  await appendAgain(log, room, -2);
  await heal(leader);
  await appendAgain(log, room, -3);
  resolve();
  const { acknowledged, refused } = await within(appending, "the appends");
  for (const error of refused.values()) anyUnavailable(error);
  const again = new Map<number, number>();
  // A fast machine gets thousands of refusals in one outage: retrying them one after the other took minutes.
  const numbersAgain = refused.keys();
  const appendRest = async () => {
    for (const number of numbersAgain) again.set(number, await appendAgain(log, room, number));
  };
  await Promise.all(Array.from({ length: 64 }, appendRest));
  const { last } = await readable(() => log.head(room));
  const stored = await readUpTo(log, room, last?.offset ?? 0);
  const offsets = offsetsOf(stored);
  assert.equal(offsets.size, stored.length, "each key once");
  for (const [number, { offset }] of acknowledged) assert.equal(offsets.get(number), offset);
  for (const [number, offset] of again) assert.equal(offsets.get(number), offset);
  assert.equal(offsets.size, acknowledged.size + refused.size + 3);
}

/** The bucket that a read checks for erasures may be electing its leader, too. */
const readable = <T>(read: () => Promise<T>): Promise<T> =>
  insist("the log can be read", read, anyUnavailable);

/** A replica may lag for a moment. */
function readUpTo(log: DurableLog, room: string, offset: number) {
  const read = () => readable(() => readAll(log, room));
  return seen(`offset ${offset}`, read, (messages) => messages.at(-1)?.offset === offset);
}

Deno.test("three copies: what was acknowledged survives the death of the leader", async () => {
  await using cluster = await startNatsCluster();
  await using one = await logEngine(cluster.urls);
  const log = await one.spine.log("acme", RETENTION);
  assert.equal((await log.status()).replicas, 3);
  const before = one.events.items.length;
  await survives(cluster, log, "a", (leader) => leader.kill(), (leader) => leader.start());
  const news = one.events.items.slice(before).filter(({ type }) => type === "log");
  assert.ok(news.length > 0, "the log has moved, and says so");
});

Deno.test("three copies: what was acknowledged survives a leader that freezes and wakes", async () => {
  await using cluster = await startNatsCluster();
  await using first = await logEngine(cluster.urls);
  const { stream } = await first.spine.log("acme", RETENTION);
  // A client of the frozen server itself would need three pings to detect it.
  const leader = await cluster.leaderOf(stream);
  const [other] = cluster.urls.filter((url) => url !== leader.url);
  await using one = await logEngine([other ?? assert.fail()]);
  const log = await one.spine.log("acme", RETENTION);
  await survives(
    cluster,
    log,
    "a",
    (leader) => leader.freeze(),
    (leader) => Promise.resolve(leader.resume()),
  );
});

Deno.test("three replicas: one server down has no effect, two down refuse with 503", async () => {
  await using cluster = await startNatsCluster();
  const [first, second, third] = cluster.members;
  assert.ok(first && second && third);
  await using one = await logEngine([third.url]);
  const log = await one.spine.log("acme", RETENTION);
  const kept = await appendAgain(log, "a", 1);
  await first.kill();
  const later = await appendAgain(log, "a", 2);
  await second.kill();
  await assert.rejects(within(log.append("a", bytes("3")), "the refusal"), anyUnavailable);
  await Promise.all([first.start(), second.start()]);
  const last = await appendAgain(log, "a", 4);
  const stored = await readUpTo(log, "a", last);
  const offsets = stored.map(({ offset }) => offset);
  assert.ok([kept, later, last].every((offset) => offsets.includes(offset)));
});

Deno.test("a cluster makes three replicas unless a room class requests another number", async () => {
  await using cluster = await startNatsCluster();
  await using one = await logEngine(cluster.urls);
  const single = await one.spine.log("single", { ...RETENTION, replicas: 1 });
  assert.equal((await single.status()).replicas, 1);
  await single.retain({ ...RETENTION, replicas: 3 });
  assert.equal((await single.status()).replicas, 3);
  const opening = one.spine.log("many", { ...RETENTION, replicas: 5 });
  await assert.rejects(opening, unavailable);
  await assert.rejects(opening, /replicas = 5 of \[\[rooms\]\]: .*so many servers with JetStream/);
});

// Requests to a log's leader beside appends, on a real cluster: an answer may be older than later messages.

Deno.test("a query from before an append that is answered after it is not a loss", async () => {
  await using cluster = await startNatsCluster();
  await cluster.ready();
  // Three servers on a busy machine: requests get enough time.
  await using one = await logEngine(cluster.urls, {}, { request_timeout_ms: 60_000 });
  const log = await one.spine.log("acme", RETENTION);
  const first = log.stream;
  for (let round = 0; round < 300; round++) {
    const room = `r${round % 5}`;
    await Promise.all([
      ...Array.from({ length: 20 }, () => log.append(room, bytes("x"))),
      ...Array.from({ length: 20 }, () => log.head(room)),
      log.status(),
    ]);
  }
  assert.equal(log.stream, first);
  assert.equal(one.events.items.filter((event) => event.type !== "state").length, 0);
});
