/** Messages that an earlier bridge may have published are not published again, however long ago that was. */
import assert from "node:assert/strict";
import { readHistoryQuery, writeEnvelope, writeHistory } from "@arqon/proto";
import { ArqonError, type Connection } from "@arqon/sdk";
import { type Committed, connectedBus } from "./bus.ts";
import { committedOf, signatureOf } from "./wal.ts";
import { type Outcome, Publisher } from "./publisher.ts";

const SINCE_MS = 1_000_000_000;
const HOUR_MS = 3_600_000;
const SOURCE = "7-00000001-5";
const END_LSN = 100n;
const KEY = new Uint8Array(64);
/** The bridge's own message id: position and commit time. */
const idOf = (lsn: number, number = 0, more_ms = 0) =>
  `pg-0-${lsn.toString(16)}-${number}-${SINCE_MS + lsn + more_ms}000`;

/** The `number`th message of a transaction committed at `lsn`. */
function committed(
  room: string,
  lsn: number,
  number = 0,
  more: Partial<Committed> = {},
  when: { readonly commit_ms?: number } = {},
) {
  const emitted = JSON.stringify({ room, type: "order", json: "{}", message_id: null });
  const json = new TextEncoder().encode(emitted);
  const content = new Uint8Array([...signatureOf(json, KEY, lsn), ...json]);
  const at = {
    lsn: BigInt(lsn),
    number,
    xid: lsn,
    commit_ms: SINCE_MS + lsn,
    source: SOURCE,
    ...when,
  };
  return { ...committedOf(content, KEY, at)!, ...more };
}

/** A stored message of a room. */
interface Had {
  readonly message_id: string;
  readonly sender?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timestamp_ms?: number;
}

/** A bus whose rooms have these messages; published ones are recorded. */
function busWith(had: Record<string, Had[]>) {
  const published: string[] = [];
  const requests: string[] = [];
  let refusals = 2;
  const room = (room_id: string) => ({
    id: room_id,
    command(_: string, query: Uint8Array) {
      requests.push(room_id);
      if (room_id === "plain") return Promise.reject(new ArqonError("not-durable", room_id));
      const { before, limit } = readHistoryQuery(query);
      const all = (had[room_id] ?? []).map((
        { message_id, sender = "bridge", headers = {}, timestamp_ms = SINCE_MS },
        at,
      ) => ({ message_id, sender_id: sender, headers, timestamp_ms, offset: at + 1 }))
        .filter(({ offset }) => before === 0 || offset < before).toReversed();
      const messages = all.slice(0, limit).map((one) => writeEnvelope(one));
      const more = all.length > limit;
      return Promise.resolve({ bytes: writeHistory({ messages, offset: 9, epoch: "e", more }) });
    },
    publish(_type: string, _data: Uint8Array, { message_id }: { message_id: string }) {
      if (message_id === "bad") return Promise.reject(new ArqonError("policy-rejected", "no"));
      if (message_id === "often") {
        return Promise.reject(new ArqonError("policy-rejected", "no", { code: 429 }));
      }
      if (message_id === "late" && refusals-- > 0) {
        return Promise.reject(new ArqonError("rate-limited", "slower"));
      }
      // Stored, but not acknowledged.
      if (message_id === "unheard" && !published.includes(`${room_id} unheard`)) {
        (had[room_id] ??= []).push(committed(room_id, 50, 0, { message_id }));
        published.push(`${room_id} ${message_id}`);
        return Promise.reject(new ArqonError("connection-lost", "gone"));
      }
      published.push(`${room_id} ${message_id}`);
      return Promise.resolve({});
    },
  });
  const connection = { room, welcome: { user_id: "bridge" } };
  const bus = connectedBus(connection as unknown as Pick<Connection, "room" | "welcome">);
  return { bus, published, requests };
}

/** A publisher, and the outcomes of its messages. */
function publisherOn({ bus }: Pick<ReturnType<typeof busWith>, "bus">, monotonic_ms = () => 0) {
  const refused: string[] = [];
  const over: string[] = [];
  const publisher = new Publisher({
    bus,
    signal: new AbortController().signal,
    onProblem: () => {},
    monotonic_ms,
    origin: { source: SOURCE, end_lsn: END_LSN },
    onOver: ({ message_id }, outcome: Outcome) => void over.push(`${message_id} ${outcome}`),
    onRefused: ({ message_id }) => Promise.resolve(void refused.push(message_id)),
  });
  return { publisher, refused, over };
}

Deno.test("a room's messages are published in their order, tried again, or refused for good", async () => {
  const world = busWith({});
  const { publisher, refused, over } = publisherOn(world);
  const named = (message_id: string, lsn: number) => committed("orders", lsn, 0, { message_id });
  await Promise.all([
    publisher.publish(named("late", 1), true),
    publisher.publish(named("bad", 2), false),
    publisher.publish(named("often", 3), false),
    publisher.publish(named("last", 4), false),
    publisher.publish(committed("plain", 4), true),
  ]);
  assert.deepEqual(world.published.filter((one) => one.startsWith("orders")), [
    "orders late",
    "orders last",
  ]);
  assert.deepEqual(world.published.filter((one) => one.startsWith("plain")), [`plain ${idOf(4)}`]);
  assert.deepEqual(refused, ["bad", "often"]);
  assert.deepEqual(over.filter((one) => !one.startsWith("pg")), [
    ...["late published", "bad refused", "often refused", "last published"],
  ]);
});

Deno.test("a refusal that cannot be recorded says why, and is tried again", async () => {
  const problems: string[] = [];
  let fails = true;
  const publisher = new Publisher({
    bus: busWith({}).bus,
    signal: new AbortController().signal,
    monotonic_ms: () => 0,
    origin: { source: SOURCE, end_lsn: END_LSN },
    onOver() {},
    onProblem: (text) => void problems.push(text),
    async onRefused() {
      await Promise.resolve();
      if (!fails) return;
      fails = false;
      throw new Error("the database is gone");
    },
  });
  await publisher.publish(committed("orders", 2, 0, { message_id: "bad" }), false);
  assert.deepEqual(problems, ["orders: the database is gone; retrying"]);
});

Deno.test("messages at or below a room's latest message of the database are not published again", async () => {
  const others = Array.from({ length: 40 }, () => ({ message_id: "", sender: "somebody" }));
  const world = busWith({
    orders: [
      ...Array.from({ length: 5_000 }, () => ({ message_id: "" })),
      committed("orders", 7, 1),
      ...others,
    ],
  });
  const { publisher, over } = publisherOn(world);
  const early = [[6, 0], [7, 0], [7, 1], [7, 2], [8, 0]] as const;
  await Promise.all(
    early.map(([lsn, number]) => publisher.publish(committed("orders", lsn, number), true)),
  );
  assert.deepEqual(over, [
    ...[`${idOf(6)} repeated`, `${idOf(7)} repeated`, `${idOf(7, 1)} repeated`],
    ...[`${idOf(7, 2)} published`, `${idOf(8)} published`],
  ]);
  assert.equal(world.requests.length, 2, "a small page, and the one behind the others' messages");
});

Deno.test("only the bridge's own messages count for a room's progress, not another database's, and not later ones", async () => {
  const own = committed("orders", 90);
  const forged = [
    { ...own, sender: "somebody" },
    { ...own, headers: { ...own.headers, "pg-source": "7-00000002-5" } },
    { ...own, headers: { ...own.headers, "pg-lsn": "0/65" } },
    { ...own, headers: { ...own.headers, "pg-lsn": "far" } },
    { ...own, headers: { ...own.headers, "pg-number": "x" } },
    { ...own, headers: {} },
  ].map((one, at) => ({ ...one, message_id: `id-${at}` }));
  const world = busWith({ orders: [{ message_id: "old", timestamp_ms: 1 }, ...forged] });
  const { publisher, over } = publisherOn(world);
  await publisher.publish(committed("orders", 5), true);
  // Ids count only when they are the bridge's own user's.
  await publisher.publish(committed("orders", 6, 0, { message_id: "id-5" }), true);
  await publisher.publish(committed("orders", 6, 1, { message_id: "id-0" }), true);
  assert.deepEqual(over, [`${idOf(5)} published`, "id-5 repeated", "id-0 published"]);
});

Deno.test("a database that was set back to a copy of its disk has the same positions later: they are published", async () => {
  const world = busWith({ orders: [committed("orders", 90)] });
  const { publisher, over } = publisherOn(world);
  await publisher.publish(committed("orders", 80), true);
  await publisher.publish(committed("orders", 85, 0, { commit_ms: SINCE_MS + 60_000 }), true);
  assert.deepEqual(over, [`${idOf(80)} repeated`, `${idOf(85)} published`]);
});

Deno.test("a database whose clock is set back by an hour publishes nothing twice, and all that is new", async () => {
  const ahead = { commit_ms: SINCE_MS + HOUR_MS };
  const world = busWith({
    orders: [
      committed("orders", 70, 0, { message_id: "named" }, ahead),
      committed("orders", 80, 0, {}, ahead),
      committed("orders", 90),
    ],
  });
  const { publisher, over } = publisherOn(world);
  for (
    const message of [
      committed("orders", 70, 0, { message_id: "named" }, ahead),
      committed("orders", 75, 0, {}, ahead),
      committed("orders", 80, 0, {}, ahead),
      committed("orders", 90),
      committed("orders", 91),
    ]
  ) await publisher.publish(message, true);
  assert.deepEqual(over.map((one) => one.split(" ")[1]), [
    ...["repeated", "published", "repeated", "repeated", "published"],
  ]);
  assert.equal(world.requests.length, 2, "the newest message, and once all of them");
});

Deno.test("after a promotion the same transaction is known, and another one at its place is not", async () => {
  const headers = { ...committed("orders", 80).headers, "pg-source": "7-00000000-5" };
  const world = busWith({ orders: [{ message_id: idOf(80), headers }] });
  const { publisher, over } = publisherOn(world);
  await publisher.publish(committed("orders", 80), true);
  const later = { commit_ms: SINCE_MS + 81 };
  await publisher.publish(committed("orders", 80, 0, {}, later), true);
  assert.deepEqual(over, [`${idOf(80)} repeated`, `${idOf(80, 0, 1)} published`]);
});

for (const ahead_ms of [-2 * HOUR_MS, 2 * HOUR_MS]) {
  Deno.test(`what was published before is known, though the database's clock is off by ${ahead_ms} ms`, async () => {
    const commit_ms = SINCE_MS + ahead_ms;
    const { message_id, headers } = committed("orders", 80, 0, {}, { commit_ms });
    // More than a page of others follows it.
    const others = Array.from(
      { length: 2_000 },
      (_, at) => ({ message_id: `o${at}`, sender: "ann" }),
    );
    const world = busWith({ orders: [{ message_id, headers }, ...others] });
    const { publisher, over } = publisherOn(world);
    await publisher.publish(committed("orders", 80, 0, {}, { commit_ms }), true);
    assert.deepEqual(over, [`${message_id} repeated`]);
  });
}

Deno.test("a message whose answer was lost long ago is looked up before it is retried", async () => {
  const world = busWith({});
  let monotonic_ms = 0;
  const { publisher, over } = publisherOn(world, () => monotonic_ms += 40_000);
  await publisher.publish(committed("orders", 50, 0, { message_id: "unheard" }), false);
  assert.deepEqual(world.published, ["orders unheard"]);
  assert.deepEqual(over, ["unheard published"]);
});
