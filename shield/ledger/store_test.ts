/**
 * A stored ledger has the same content as memory: for any number of writes, with other tenants' rows in between, and
 * with reported losses. `tests/why_killed_test.ts` kills a real Shield.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Lives } from "../../shared/lives/lives.ts";
import { OwnLife } from "../../shared/lives/own_life.ts";
import { keptLog, testSpine } from "../testing/spine.ts";
import { accountsOf } from "./explain.ts";
import { findMessages } from "./scan.ts";
import { lifeName, readFormer } from "./former_ledgers.ts";
import { gather } from "./history.ts";
import { Ledger } from "./ledger.ts";
import type { LivingConnection, SubscriptionMark } from "../fanout/delivery_notes.ts";
import type { ConnectionEnd } from "./row_form.ts";
import { forgetTenant, StoreWriter } from "./store.ts";
import { BlockDraft, readBlock } from "./stored_block.ts";
import { envelopeOf, Model, STEPS, twistOf } from "./testing/model.ts";

const breathe = () => Promise.resolve();
const START_MS = 1_767_323_045_000;
const ROOMY = { queue_bytes: 1e9, tenant_bytes: 1e9, seconds: 3_600, flush_ms: 1_000 };

/** A store, a Shield's writer, and the ledger that is read after that Shield has ended. */
async function withStore<T>(
  ledger: Ledger,
  clock: { now_ms: number },
  connections: () => Iterable<LivingConnection>,
  run: (test: Awaited<ReturnType<typeof openStore>>) => Promise<T>,
  bounds: Partial<typeof ROOMY> = {},
): Promise<T> {
  const { spine, [Symbol.asyncDispose]: dispose } = testSpine();
  const test = await openStore(spine, ledger, clock, connections, bounds);
  try {
    return await run(test);
  } finally {
    test.kill();
    await dispose();
  }
}

async function openStore(
  spine: ReturnType<typeof testSpine>["spine"],
  ledger: Ledger,
  clock: { now_ms: number },
  connections: () => Iterable<LivingConnection>,
  bounds: Partial<typeof ROOMY>,
) {
  const now = () => clock.now_ms;
  const lives = new Lives(spine);
  const { log } = keptLog();
  const own = { node_id: "s1", log, now };
  const life = new OwnLife({ ...own, lives, kept_ms: 1e12, monotonic_ms: now });
  const blocks = await spine.blocks("ledger", { max_bytes: 1e9, max_age_seconds: 3_600 });
  const gate: { open: boolean; removed?: number } = { open: true };
  const store = () =>
    gate.open ? Promise.resolve(blocks) : Promise.reject(new Error("the store is unreachable"));
  const writer = new StoreWriter({ ...ROOMY, ...bounds, ...own, ledger, life, store });
  writer.begin({ [Symbol.iterator]: () => connections()[Symbol.iterator]() });
  return {
    writer,
    life,
    gate,
    blocks,
    async flush() {
      writer.tick();
      await writer.idle();
      await life.idle();
    },
    /** Ends like a killed process: nothing more is written. */
    kill() {
      life.stop();
      writer.stop();
    },
    async former(tenant = "acme", answered: ReadonlySet<string> = new Set()) {
      const read: typeof blocks.read = async (query) => {
        const page = await blocks.read(query);
        return { ...page, blocks: page.blocks.filter((_, at) => at !== gate.removed) };
      };
      const reading = {
        store: async () => ({ read: (await store(), read) }),
        lives: () => lives.all(),
        kept_ms: 3_600_000,
        now,
      };
      return (await readFormer(reading, tenant, answered, breathe)).ledgers;
    },
  };
}

const flushing = { weight: 2, arbitrary: fc.constant({ kind: "flush" } as const) };
const step = fc.oneof(flushing, ...STEPS);

Deno.test("a stored ledger gives the same outcome as a list of rows for every message and connection", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 120, size: "max" }),
      async (steps) => {
        const model = new Model();
        const clock = { now_ms: model.now_ms };
        await withStore(model.ledger, clock, () => model.living(), async ({ flush, former }) => {
          for (const one of steps) {
            clock.now_ms = model.now_ms;
            if (one.kind === "flush") await flush();
            else model.do(one);
          }
          clock.now_ms = model.now_ms;
          model.leave();
          await flush();
          const [stored] = await former();
          await model.compare(stored!);
        });
      },
    ),
    { numRuns: 60 },
  );
});

/** A ledger with a connection of `ann` in `hall`, whose messages are mixed with others'. */
function twoTenants(clock: { now_ms: number }) {
  const ledger = new Ledger({ bytes_max: 1e9, kept_ms: 1e9, now: () => clock.now_ms });
  const rooms = ["acme", "other"].map((tenant) => ledger.openRoom(tenant, "hall")) as [
    ReturnType<Ledger["openRoom"]>,
    ReturnType<Ledger["openRoom"]>,
  ];
  const number = ledger.nextConnection();
  const mark: SubscriptionMark = {
    number: ledger.nextSubscription(),
    connection: number,
    since: 1,
    since_ms: clock.now_ms,
    episode: undefined,
  };
  const outbox = { queued_from: 0, has_batches: false };
  const connection = {
    number,
    id: "c1",
    ended: false,
    identity: { tenant_id: "acme", user_id: "ann" },
    caller: { remote_ip: "::1" },
    noted_ms: clock.now_ms,
    outbox,
    subscriptions: new Map([["hall", { mark }]]),
  };
  return {
    ledger,
    outbox,
    connection,
    /** One message of each tenant. */
    say(id: number) {
      for (const one of rooms) {
        ledger.message(one, envelopeOf(id), 0);
        ledger.sent();
      }
    },
  };
}

async function outcomes(
  [stored]: Awaited<ReturnType<Awaited<ReturnType<typeof openStore>>["former"]>>,
  ids: readonly number[],
  times_ms: readonly number[] = [],
) {
  const messages = ids.map((id, at) => ({
    room_id: "hall",
    offset: 0,
    twist_id: twistOf(id),
    trace_id: "",
    message_id: "",
    time_ms: times_ms[at] ?? START_MS,
  }));
  const query = { tenant: "acme", user: "ann", messages };
  const gathered = await gather(stored!, { query, open: [] }, breathe);
  const { until_ms, by_ms } = stored!;
  for (const one of gathered.connections) {
    if (one.ended === undefined) one.lost = { why: "killed", until_ms, by_ms };
  }
  const [account] = await accountsOf(gathered, query, stored!.since_ms, breathe);
  return account?.outcomes.map(({ state, why = "" }) => `${state} ${why}`.trim());
}

Deno.test("a stored ledger has only its tenant's rows, and their positions among others'", async () => {
  const clock = { now_ms: START_MS };
  const { ledger, connection, say } = twoTenants(clock);
  await withStore(ledger, clock, () => [connection], async ({ flush, former }) => {
    say(1);
    await flush();
    say(2);
    await flush();
    const own = await former();
    assert.deepEqual(await outcomes(own, [1, 2]), ["sent", "sent"]);
    const [others] = await former("other");
    const { rows } = await findMessages(others!, { tenant: "other", twist: twistOf(2) }, breathe);
    assert.deepEqual(rows.map(({ room_id }) => room_id), ["hall"]);
    const query = { tenant: "acme", user: "ann", messages: [] };
    const theirs = await gather(others!, { query, open: [] }, breathe);
    assert.deepEqual(theirs.connections, []);
  });
});

Deno.test("a stored ledger reports nothing about the time before a removed block", async () => {
  const clock = { now_ms: START_MS };
  const { ledger, connection, say } = twoTenants(clock);
  await withStore(ledger, clock, () => [connection], async ({ flush, former, gate }) => {
    for (const id of [1, 2, 3]) {
      say(id);
      clock.now_ms += 5_000;
      await flush();
    }
    const since = async () => (await former()).map(({ since_ms }) => since_ms - START_MS);
    assert.deepEqual(await since(), [0]);
    gate.removed = 1;
    assert.deepEqual(await since(), [10_000]);
  });
});

Deno.test("a killed Shield's last seconds are reported only as lost", async () => {
  const clock = { now_ms: START_MS };
  const { ledger, connection, outbox, say } = twoTenants(clock);
  await withStore(ledger, clock, () => [connection], async (test) => {
    say(1);
    clock.now_ms += 5_000;
    say(2);
    // The second one is still queued for a slow reader at this write.
    outbox.queued_from = 3;
    await test.flush();
    clock.now_ms += 3_000;
    const received_ms = clock.now_ms;
    say(3);
    test.kill();
    const answering = new Set([lifeName("s1", test.life.began_ms)]);
    assert.deepEqual(await test.former("acme", answering), [], "it answers itself");
    assert.equal((await test.former())[0]!.state, "silent");
    clock.now_ms += 60_000;
    const stored = await test.former();
    const [{ state, until_ms }] = stored as [typeof stored[number]];
    assert.deepEqual([state, until_ms], ["killed", START_MS + 5_000]);
    const times_ms = [START_MS, START_MS + 5_000, received_ms, clock.now_ms + 1];
    assert.deepEqual(await outcomes(stored, [1, 2, 3, 4], times_ms), [
      "sent",
      "unknown killed",
      "unknown killed",
      "not_connected killed",
    ]);
  });
});

Deno.test("a Shield that ends in order leaves a whole ledger", async () => {
  const clock = { now_ms: START_MS };
  const { ledger, connection, say } = twoTenants(clock);
  await withStore(ledger, clock, () => [connection], async ({ writer, life, former }) => {
    say(1);
    connection.ended = true;
    ledger.ended(
      connection.number,
      {
        connection_id: "c1",
        tenant_id: "acme",
        user_id: "ann",
        remote_ip: "::1",
        began_ms: START_MS,
        code: 1012,
        reason: "drain",
        unsent_bytes: 0,
        queued_from: 0,
      } satisfies ConnectionEnd,
    );
    await writer.close();
    await life.end();
    const stored = await former();
    assert.equal(stored[0]!.state, "ended");
    assert.deepEqual(await outcomes(stored, [9], [clock.now_ms + 1]), ["not_connected drain"]);
  });
});

Deno.test("rows that do not fit into the queue while the store is unreachable are reported as older than the ledger", async () => {
  const clock = { now_ms: START_MS };
  const { ledger, connection, say } = twoTenants(clock);
  await withStore(ledger, clock, () => [connection], async ({ writer, gate, flush, former }) => {
    gate.open = false;
    for (let id = 1; id < 100; id++) say(id);
    clock.now_ms += 1_000;
    await flush();
    assert.ok(writer.waiting_bytes <= 4_096, String(writer.waiting_bytes));
    assert.ok(writer.totals.lost_blocks > 0);
    clock.now_ms += 1_000;
    gate.open = true;
    say(100);
    await flush();
    clock.now_ms += 1_000;
    say(101);
    await flush();
    clock.now_ms += 60_000;
    const stored = await former();
    assert.equal(stored[0]!.since_ms, START_MS + 1_000);
    assert.deepEqual(await outcomes(stored, [1, 101]), ["unknown", "sent"]);
  }, { queue_bytes: 4_096 });
});

Deno.test("rows of a deleted tenant are not stored later, wherever they wait, and stored ones are removed", async () => {
  const clock = { now_ms: START_MS };
  const { ledger, connection, say } = twoTenants(clock);
  const end: ConnectionEnd = {
    connection_id: "c0",
    tenant_id: "acme",
    user_id: "ann",
    remote_ip: "::1",
    began_ms: START_MS,
    code: 1000,
    reason: "",
    unsent_bytes: 0,
    queued_from: 0,
  };
  await withStore(ledger, clock, () => [connection], async (test) => {
    const { writer, blocks, gate, flush, former } = test;
    say(1);
    await flush();
    // Another Shield has forgotten it, and stores what is of its successor.
    const payload = new Uint8Array(1);
    const theirs = { tenant_id: "acme", node_id: "s2", ttl_seconds: 60, max_bytes: 1e6, payload };
    await blocks.append(theirs);
    gate.open = false;
    say(2);
    await flush();
    ledger.ended(9, end);
    say(3);
    gate.open = true;
    clock.now_ms += 1_000;
    await forgetTenant(ledger, writer, "acme");
    assert.deepEqual((await blocks.newest("acme", "s2"))?.payload, payload);
    await blocks.remove("acme", "s2", Infinity);
    say(4);
    await flush();
    const own = await former();
    assert.equal(own[0]!.since_ms, clock.now_ms);
    const found = await findMessages(own[0]!, { tenant: "acme" }, breathe);
    assert.deepEqual(found.rows.map(({ twist_id }) => twist_id), [twistOf(4)]);
    const query = { tenant: "acme", user: "ann", messages: [] };
    const { connections } = await gather(own[0]!, { query, open: [] }, breathe);
    assert.deepEqual(connections.map(({ connection_id }) => connection_id), ["c1"]);
    assert.deepEqual(await outcomes(own, [4], [clock.now_ms]), ["sent"]);
    const [others] = await former("other");
    assert.equal((await findMessages(others!, { tenant: "other" }, breathe)).rows.length, 4);
  });
});

Deno.test("subscriptions beyond one block are stored in several blocks, along with other tenants' rows", async () => {
  const clock = { now_ms: START_MS };
  const { ledger, connection, say } = twoTenants(clock);
  const { mark } = connection.subscriptions.get("hall")!;
  // With long names, a block's rooms take more bytes than its rows.
  const names = Array.from({ length: 8_000 }, (_, at) => `${at}-${"n".repeat(100)}`);
  for (const name of names) {
    ledger.openRoom("acme", name);
    connection.subscriptions.set(name, { mark: { ...mark } });
  }
  await withStore(ledger, clock, () => [connection], async ({ writer, flush, former }) => {
    say(1);
    await flush();
    assert.deepEqual([writer.waiting_bytes, writer.totals.lost_blocks], [0, 0]);
    const own = await former();
    assert.deepEqual(await outcomes(own, [1]), ["sent"]);
    const about = { offset: 0, twist_id: "", trace_id: "", message_id: "", time_ms: START_MS };
    const messages = [names.at(0), names.at(4_000), names.at(-1)].map((room_id) => ({
      room_id: room_id!,
      ...about,
    }));
    const query = { tenant: "acme", user: "ann", messages };
    const { connections: [only] } = await gather(own[0]!, { query, open: [] }, breathe);
    assert.equal(only!.intervals.length, messages.length);
    const [others] = await former("other");
    const { rows } = await findMessages(others!, { tenant: "other", twist: twistOf(1) }, breathe);
    assert.deepEqual(rows.map(({ room_id }) => room_id), ["hall"]);
  });
});

Deno.test("invalid bytes are not a block", () => {
  const draft = new BlockDraft();
  draft.name(1, "hall");
  draft.add(11, 1, 2, { since: 1 }, START_MS);
  const head = { life_ms: 1, number: 0, since_ms: 1, from_ms: 1, until_ms: 2 };
  const whole = draft.close(head);
  assert.deepEqual(readBlock(whole)?.rooms, [[1, "hall"]]);
  for (const length of [0, 3, 4, 40, whole.length - 1]) {
    assert.equal(readBlock(whole.subarray(0, length)), undefined, String(length));
  }
  const odd = whole.slice();
  odd[odd.length - 60] = 0xff;
  readBlock(odd);
});
