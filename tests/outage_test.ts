/**
 * A Shield's way to NATS in trouble, real processes: cut off, answers held back, slow, its permission withdrawn. Clients stay
 * connected, publishes are refused and never acknowledged falsely, `/health/ready` says so, and everything recovers
 * automatically. Servers that are killed or stand still: `tests/model/faults_nats_test.ts` and `walks/`.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { falseAcks, Listener, OUTAGE_MS, Prober } from "./outage/prober.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";

const ENOUGH = 20;
/** Three times the `request_timeout_ms` of these tests, and what a machine that is busy adds. */
const NOTICE_MS = 6_000 + 15_000;
/** A publish under way when NATS falls silent is answered within this, likewise. */
const HOLD_MS = 6_000 + 15_000;

const urlOf = ({ ready }: ServerProcess) => `${ready.url?.replace(/^http/, "ws")}/v1/socket`;

async function isReady({ ready }: ServerProcess): Promise<boolean> {
  const response = await fetch(`${ready.ops_url}/health/ready`);
  await response.body?.cancel();
  return response.status === 200;
}

/** A Shield that is hit, and one whose way to NATS is not, or is the same. */
interface Pair {
  readonly hit: ServerProcess;
  readonly other: ServerProcess;
  readonly issuer: Issuer;
}

interface Trouble {
  readonly begin: () => Promise<void> | void;
  readonly end: () => Promise<void> | void;
  /** The other Shield hears everything, and no GAP. */
  readonly other_is_well: boolean;
  readonly room?: string;
}

/** What a trouble has shown, in ms. */
interface Figures {
  readonly notice_ms: number;
  readonly longest_ms: number;
  readonly back_ms: number;
}

/** Publishes and hears through the trouble; fails when anything is not as promised. */
async function through({ hit, other, issuer }: Pair, trouble: Trouble): Promise<Figures> {
  const { room = "plain" } = trouble;
  const [at_hit, at_other, saying] = await Promise.all(
    ["eve", "bob", "ann"].map((sub) => issuer.tokenFor({ sub })),
  ) as [string, string, string];
  using near = await Listener.start(urlOf(hit), at_hit, room);
  using far = await Listener.start(urlOf(other), at_other, room);
  using prober = await Prober.start(urlOf(hit), saying, room);
  await until("ACKs before", () => prober.acknowledged.length >= ENOUGH, OUTAGE_MS);
  const began_ms = performance.now();
  await trouble.begin();
  await until("/health/ready to say no", async () => !await isReady(hit), OUTAGE_MS);
  const noticed_ms = performance.now();
  await until("refusals", () => prober.refused(noticed_ms).length >= ENOUGH, OUTAGE_MS);
  const at_once = prober.refused(noticed_ms).map((one) => (one.answered_ms ?? 0) - one.sent_ms);
  at_once.sort((a, b) => a - b);
  const median_ms = at_once[Math.floor(at_once.length / 2)] ?? 0;
  assert.ok(median_ms < 1_000, `a refusal while NATS is known to be gone took ${median_ms} ms`);
  const ended_ms = performance.now();
  await trouble.end();
  await until("/health/ready to say yes", () => isReady(hit), OUTAGE_MS);
  await until("the other one to be ready", () => isReady(other), OUTAGE_MS);
  const back_ms = performance.now();
  const later = (number: number) => (prober.attempts[number]?.sent_ms ?? 0) > back_ms;
  for (const listener of [near, far]) {
    const hears = () => listener.sights.some((sight) => sight !== "gap" && later(sight));
    await until("messages after it", hears, OUTAGE_MS);
  }
  await prober.stop();
  const last = prober.acknowledged.at(-1)?.number ?? 0;
  await until("the last message", () => near.has(last) && far.has(last), OUTAGE_MS);
  assert.deepEqual([near.ended, far.ended, prober.ended], [undefined, undefined, undefined]);
  assert.deepEqual(falseAcks(prober.attempts, near.sights), []);
  assert.deepEqual(falseAcks(prober.attempts, far.sights), []);
  if (trouble.other_is_well) assert.equal(far.gaps, 0);
  const reasons = new Set(prober.refused(0).map(({ reason }) => reason));
  for (const reason of reasons) assert.match(reason ?? "", /^(spine|log)-unavailable$/);
  const taken = prober.attempts.map((one) => (one.answered_ms ?? 0) - one.sent_ms);
  const figures = {
    notice_ms: noticed_ms - began_ms,
    longest_ms: Math.max(...taken),
    back_ms: back_ms - ended_ms,
  };
  assert.ok(figures.notice_ms < NOTICE_MS, JSON.stringify(figures));
  assert.ok(figures.longest_ms < HOLD_MS, JSON.stringify(figures));
  return figures;
}

interface Ways {
  /** The `[nats]` table of the Shield that is hit, and of the other one. */
  readonly hit: string;
  readonly other: string;
}

const DURABLE = `
[[rooms]]
room = "log-*"
durable = true
`;

async function withPair(ways: Ways, run: (pair: Pair) => Promise<void>): Promise<void> {
  const issuer = await createIssuer();
  const start = (nats: string) =>
    startServer(
      "shield",
      `[nats]\n${nats}\n${DURABLE}${issuer.config}`,
      issuer.dir,
      "drain_ms = 0",
    );
  try {
    await using hit = await start(ways.hit);
    await using other = await start(ways.other);
    await run({ hit, other, issuer });
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
}

const show = (name: string, { notice_ms, longest_ms, back_ms }: Figures) =>
  console.log(
    `      ${name}: noticed after ${Math.round(notice_ms)} ms, longest answer ` +
      `${Math.round(longest_ms)} ms, ready again after ${Math.round(back_ms)} ms`,
  );

Deno.test("a Shield that is cut off from NATS: others hear all it has acknowledged", async () => {
  await using nats = await startNats({ jetstream: true });
  await using proxy = startTcpProxy(nats.port);
  const ways = {
    hit: `urls = ["nats://127.0.0.1:${proxy.port}"]`,
    other: `urls = ["${nats.url}"]`,
  };
  await withPair(ways, async (pair) => {
    for (const room of ["plain", "log-1"]) {
      const cut = { begin: proxy.cut, end: proxy.restore, other_is_well: true, room };
      show(`cut off, ${room}`, await through(pair, cut));
    }
    const begin = () => proxy.holdAnswers();
    const end = async () => {
      await proxy.cut();
      proxy.restore();
    };
    show("answers lost", await through(pair, { begin, end, other_is_well: true }));
  });
});

const user = (name: string) => `{ user: ${name}, password: secret }`;
const users = (...names: string[]) => `authorization { users: [${names.map(user).join(", ")}] }`;

Deno.test("a Shield whose NATS user is withdrawn and given back", async () => {
  await using nats = await startNats({ jetstream: true, config: users("hit", "other") });
  const way = (name: string) => `urls = ["nats://${name}:secret@127.0.0.1:${nats.port}"]`;
  await withPair({ hit: way("hit"), other: way("other") }, async (pair) => {
    const begin = () => nats.reload(users("other"));
    const end = () => nats.reload(users("hit", "other"));
    show("revoked", await through(pair, { begin, end, other_is_well: true }));
  });
});

Deno.test("a slow way to NATS: ACKs come late, then not at all, and none is false", async () => {
  await using nats = await startNats({ jetstream: true });
  await using proxy = startTcpProxy(nats.port);
  const ways = {
    hit: `urls = ["nats://127.0.0.1:${proxy.port}"]`,
    other: `urls = ["${nats.url}"]`,
  };
  await withPair(ways, async (pair) => {
    proxy.slow(100, 1_000_000);
    const begin = () => proxy.slow(100, 500);
    const end = () => proxy.slow(0, Infinity);
    show("slow", await through(pair, { begin, end, other_is_well: true }));
  });
});
