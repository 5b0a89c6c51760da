/**
 * The ledger, compared with a list of rows; its search of messages, and its limits. `tests/why_test.ts` tests it on a
 * real bus.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError, writeEnvelope } from "@arqon/proto";
import { steadyTime } from "../../shared/spine/contract/log_clock.ts";
import { accountsOf, readsOf } from "./explain.ts";
import { findMessages, scan } from "./scan.ts";
import { HandshakeNotes, noting } from "./capability.ts";
import type { Observed } from "../message/observers.ts";
import { gather } from "./history.ts";
import { Ledger } from "./ledger.ts";
import type { RunningRow } from "./row_form.ts";
import { envelopeOf, Model, STEPS, twistOf } from "./testing/model.ts";

const breathe = () => Promise.resolve();
const step = fc.oneof(...STEPS);

Deno.test("the ledger gives the same outcome as a list of rows for every message and connection", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 120, size: "max" }),
      async (steps) => {
        const model = new Model();
        for (const one of steps) model.do(one);
        await model.compare();
      },
    ),
    { numRuns: 150 },
  );
});

Deno.test("for messages older than the ledger, only later connections have a certain outcome", async () => {
  const now_ms = 1_700_000_000_000;
  const ledger = new Ledger({ bytes_max: 2 ** 20, kept_ms: 60_000, now: () => now_ms });
  const twist_id = twistOf(1);
  const outcomeOf = async (time_ms: number, began_ms: number) => {
    const one = { room_id: "hall", offset: 0, twist_id, trace_id: "", message_id: "", time_ms };
    const query = { tenant: "acme", user: "ann", messages: [one] };
    const open = {
      number: 1,
      connection_id: "c1",
      user_id: "ann",
      remote_ip: "::1",
      began_ms,
      batch: false,
      subscription: () => undefined,
    };
    const gathered = await gather(ledger, { query, open: [open] }, breathe);
    const [account] = await accountsOf(gathered, query, now_ms, breathe);
    return account?.outcomes[0];
  };
  const before_ms = now_ms - 5_000;
  const later_ms = now_ms + 5_000;
  assert.deepEqual(await outcomeOf(before_ms, later_ms), {
    state: "not_connected",
    from_ms: later_ms,
  });
  assert.deepEqual(await outcomeOf(before_ms, before_ms - 1), {
    state: "unknown",
    from_ms: now_ms,
  });
  // No subscriber received it live, so its time is unknown.
  assert.deepEqual(await outcomeOf(0, later_ms), { state: "unknown", from_ms: now_ms });
});

Deno.test("messages are found by each of their ids, in their room and tenant only", async () => {
  const ledger = new Ledger({ bytes_max: 1e9, kept_ms: 1e9, now: () => 5_000 });
  const lobby = ledger.openRoom("acme", "lobby");
  const other = ledger.openRoom("other", "lobby");
  ledger.message(lobby, envelopeOf(1, "order-1"), 17);
  ledger.message(lobby, envelopeOf(2, "ö".repeat(200)), 18);
  ledger.message(other, envelopeOf(3, "order-1"), 17);
  ledger.duplicate(lobby, envelopeOf(4, "order-1"), 0);
  ledger.sent();
  const found = async (query: object) => {
    const { rows } = await findMessages(ledger, { tenant: "acme", ...query }, breathe);
    return rows.map(({ twist_id, duplicate }) => `${twist_id.slice(-1)}${duplicate ? "!" : ""}`);
  };
  assert.deepEqual(await found({ message_id: "order-1" }), ["1", "4!"]);
  assert.deepEqual(await found({ message_id: "order" }), []);
  assert.deepEqual(await found({ message_id: "ö".repeat(200) }), ["2"]);
  assert.deepEqual(await found({ trace: "2".padStart(32, "0") }), ["2"]);
  assert.deepEqual(await found({ twist: twistOf(1).toUpperCase() }), ["1"]);
  assert.deepEqual(await found({ room: "lobby", offset: 18 }), ["2"]);
  assert.deepEqual(await found({ room: "hall", offset: 18 }), []);
  assert.deepEqual(await found({ tenant: "other", offset: 17 }), ["3"]);
  assert.deepEqual(await found({ trace: "not hex" }), []);
  const { rows: [first] } = await findMessages(ledger, { tenant: "acme", offset: 17 }, breathe);
  assert.deepEqual(first, {
    room_id: "lobby",
    offset: 17,
    time_ms: 5_000,
    trace_id: "1".padStart(32, "0"),
    twist_id: twistOf(1),
    message_id: "order-1",
    duplicate: false,
  });
});

Deno.test("the ledger stays within its bytes and its time, and reports how far back it goes", async () => {
  const clock = { now_ms: 1_000_000 };
  const now = () => clock.now_ms;
  const ledger = new Ledger({ bytes_max: 1_048_576, kept_ms: 60_000, now });
  for (let index = 0; index < 40_000; index++) {
    ledger.message(ledger.openRoom("acme", `room-${index % 7}`), envelopeOf(index), index + 1);
    assert.ok(ledger.bytes <= 1_048_576, `${ledger.bytes} bytes after ${index}`);
    if (index % 100 === 0) clock.now_ms++;
  }
  assert.ok(ledger.since_ms > 1_000_000, "the oldest were dropped");
  const gone = await findMessages(ledger, { tenant: "acme", twist: twistOf(1) }, breathe);
  assert.deepEqual(gone.rows, []);
  const kept = await findMessages(ledger, { tenant: "acme", twist: twistOf(39_999) }, breathe);
  assert.equal(kept.rows.length, 1);
  clock.now_ms += 60_000;
  ledger.expire();
  clock.now_ms += 60_000;
  ledger.expire();
  const old = await findMessages(ledger, { tenant: "acme", twist: twistOf(39_999) }, breathe);
  assert.deepEqual(old.rows, []);
});

Deno.test("a message without X-Twist-ID is found by its other ids, including the longest", async () => {
  const ledger = new Ledger({ bytes_max: 1e9, kept_ms: 1e9, now: () => 5_000 });
  const room = ledger.openRoom("acme", "lobby");
  // A backend chooses its own stamp.
  for (const message_id of ["order-1", "order-2"]) {
    const event = { type: "t", data: new Uint8Array(1) };
    ledger.message(room, writeEnvelope({ room_id: "lobby", message_id, event }), 0);
  }
  // A row has 255 bytes of an id of 256, here up to the middle of its last character.
  ledger.message(room, envelopeOf(3, `${"a".repeat(254)}ö`), 0);
  ledger.sent();
  const { rows } = await findMessages(ledger, { tenant: "acme" }, breathe);
  const messages = rows.map(({ duplicate: _, ...of }) => of);
  const query = { tenant: "acme", user: "bob", messages };
  const mark = { number: 1, connection: 7, since: 2, since_ms: 0, episode: undefined };
  const one = { number: 7, connection_id: "c7", user_id: "bob", remote_ip: "", began_ms: 0 };
  const open = [{ ...one, batch: false, subscription: () => mark }];
  const gathered = await gather(ledger, { query, open }, breathe);
  assert.deepEqual(gathered.requested.map((message) => message?.position), [1, 2, 3]);
  const [account] = await accountsOf(gathered, query, ledger.since_ms, breathe);
  assert.deepEqual(account?.outcomes.map(({ state }) => state), ["not_subscribed", "sent", "sent"]);
});

for (const hours of [2, -2]) {
  Deno.test(`a clock jump of ${hours} h drops no row, and keeps none a tenth longer`, async () => {
    let set_ms = 0;
    let passed_ms = 0;
    const ledger = new Ledger({
      bytes_max: 1_048_576,
      kept_ms: 60_000,
      now: steadyTime({
        now: () => 1_767_323_045_000 + set_ms + passed_ms,
        monotonic_ms: () => passed_ms,
      }),
    });
    const write = (index: number) =>
      ledger.message(ledger.openRoom("acme", "room-1"), envelopeOf(index), index + 1);
    const found = async () => {
      const query = { tenant: "acme", twist: twistOf(1) };
      return (await findMessages(ledger, query, breathe)).rows.length;
    };
    write(1);
    set_ms = hours * 3_600_000;
    for (let turn = 0; turn < 3; turn++) {
      write(2 + turn);
      ledger.expire();
    }
    assert.equal(await found(), 1);
    passed_ms += 60_000;
    write(9);
    ledger.expire();
    passed_ms += 60_000 / 0.9;
    ledger.expire();
    assert.equal(await found(), 0);
  });
}

Deno.test("rooms without subscribers and rows are dropped", () => {
  const clock = { now_ms: 0 };
  const ledger = new Ledger({ bytes_max: 1e9, kept_ms: 8_000, now: () => clock.now_ms });
  const before = ledger.bytes;
  for (let index = 0; index < 1_000; index++) {
    const room = ledger.openRoom("acme", `room-${index}`);
    ledger.message(room, envelopeOf(index), 0);
    room.is_open = index < 10;
  }
  for (let turn = 0; turn < 20; turn++) {
    clock.now_ms += 1_000;
    ledger.gap(ledger.openRoom("acme", "room-0"), "lost");
    ledger.expire();
  }
  assert.ok(ledger.bytes < before + 10 * 262_144 && ledger.rooms.bytes < 10 * 400);
  assert.equal(ledger.rooms.find("acme", "room-999"), undefined);
  assert.notEqual(ledger.rooms.find("acme", "room-9"), undefined);
});

Deno.test("a repeated refusal is one row; unauthenticated clients cannot fill the ledger", async () => {
  const ledger = new Ledger({ bytes_max: 1e9, kept_ms: 1e9, now: () => 1_000 });
  const notes = new HandshakeNotes(ledger, () => 1_000, 50);
  const stranger = { who: undefined, former: "" };
  const refused = new ArqonError("token-expired");
  for (let index = 0; index < 100; index++) {
    notes.greeted({ ...stranger, remote_ip: "10.0.0.1" }, refused);
  }
  assert.equal(ledger.counts.rows, 1);
  for (let index = 0; index < 1_000; index++) {
    notes.greeted({ ...stranger, remote_ip: `10.1.${index}` }, refused);
  }
  assert.ok(ledger.counts.rows <= 50, `${ledger.counts.rows} rows`);
  assert.equal(notes.unnoted, 1_001 - ledger.counts.rows);
  const rows_before = ledger.counts.rows;
  const who = { tenant_id: "acme", user_id: "ann" };
  notes.greeted({ who, former: "", remote_ip: "10.2.0.1" }, new ArqonError("banned"));
  assert.equal(ledger.counts.rows, rows_before + 1, "a tenant's, beside a flood of strangers");
  const query = { address: "10.0.0.1", messages: [] };
  const { refusals } = await gather(ledger, { query, open: [] }, breathe);
  assert.deepEqual(refusals.map(({ count, reason }) => [count, reason]), [[100, "token-expired"]]);
});

Deno.test("single left-out messages take two bytes each, and are reported individually", async () => {
  const ledger = new Ledger({ bytes_max: 1e9, kept_ms: 1e9, now: () => 1_000 });
  const hall = ledger.openRoom("acme", "hall");
  const before = ledger.segments.at(-1)!.used;
  const left_out = new Set<number>();
  let run: RunningRow | undefined;
  for (let position = 1; position < 300_000; position += 1 + position % 7) {
    // Sometimes the distance is too large for one row to list both.
    if (position % 50_000 < 7) position += 70_000;
    run = ledger.leftOutAlone(hall, 7, position, "conflated", run);
    left_out.add(position);
  }
  assert.ok(ledger.segments.at(-1)!.used - before < 3 * left_out.size + 4_000);
  const one = { number: 7, connection_id: "c7", user_id: "bob", remote_ip: "", began_ms: 0 };
  const open = [{ ...one, batch: false, subscription: () => undefined }];
  const query = { tenant: "acme", user: "bob", room: "hall", messages: [] };
  const { connections } = await gather(ledger, { query, open }, breathe);
  assert.deepEqual(new Set(connections[0]!.listed.get("hall")!.keys()), left_out);
});

Deno.test("of more connections than a call has arguments, the latest are kept", async () => {
  const ledger = new Ledger({ bytes_max: 2 ** 20, kept_ms: 60_000, now: () => 1_000 });
  const one = { user_id: "bob", remote_ip: "", batch: false, subscription: () => undefined };
  const open = Array.from({ length: 130_000 }, (_, number) => {
    const connection_id = `c${number}`;
    return { ...one, number, connection_id, began_ms: number };
  });
  const query = { tenant: "acme", user: "bob", room: "hall", messages: [] };
  const { connections, truncated } = await gather(ledger, { query, open }, breathe);
  assert.deepEqual([connections.at(-1)!.number, truncated], [129_999, true]);
});

/** A ledger of 1 MiB after 30,000 messages that one connection did not receive. */
async function afterLong(leaveOut: (ledger: Ledger, position: number) => void) {
  const ledger = new Ledger({ bytes_max: 1_048_576, kept_ms: 1e9, now: () => 1_000 });
  const hall = ledger.openRoom("acme", "hall");
  for (let index = 0; index < 30_000; index++) {
    const position = ledger.message(hall, envelopeOf(index), 0);
    leaveOut(ledger, position);
    ledger.sent();
  }
  assert.ok(ledger.segments[0]!.number > 1, "the oldest rows were dropped");
  const mark = { number: 1, connection: 7, since: 1, since_ms: 0, episode: undefined };
  const one = { number: 7, connection_id: "c7", user_id: "bob", remote_ip: "", began_ms: 0 };
  const open = [{ ...one, batch: false, subscription: () => mark }];
  const query = { tenant: "acme", user: "bob", room: "hall", since_ms: 0, messages: [] };
  const gathered = await gather(ledger, { query, open }, breathe);
  const [account] = await accountsOf(gathered, query, ledger.since_ms, breathe);
  return { room: account!.room!, refusals: gathered.refusals };
}

Deno.test("facts that last longer than the ledger are reported as far back as it goes", async () => {
  const run: (RunningRow | undefined)[] = [];
  const rows = await afterLong((ledger, position) => {
    const hall = ledger.openRoom("acme", "hall");
    run[0] = ledger.leftOut(hall, 7, position, "slow_reader", run[0]);
  });
  assert.ok(rows.room.due > 1_000);
  assert.equal(rows.room.sent, 0);
  const lists = await afterLong((ledger, position) => {
    const hall = ledger.openRoom("acme", "hall");
    run[1] = ledger.leftOutAlone(hall, 7, position, "conflated", run[1]);
  });
  assert.equal(lists.room.sent, 0);
  const of = { tenant_id: "acme", user_id: "bob", connection_id: "c7", remote_ip: "" };
  const refusal = { ...of, stage: "operation" as const, room_id: "", reason: "r", detail: "" };
  const { refusals } = await afterLong((ledger) => {
    run[2] = ledger.refused(7, refusal, run[2]);
  });
  assert.ok(refusals.length > 0, "the newest are kept");
});

Deno.test("of a connection with many subscriptions the last ones are compared", async () => {
  const clock = { now_ms: 1_000 };
  const ledger = new Ledger({ bytes_max: 1e9, kept_ms: 1e9, now: () => clock.now_ms });
  const hall = ledger.openRoom("acme", "hall");
  const times = 4_000;
  for (let index = 1; index <= times; index++) {
    const since_ms = clock.now_ms++;
    const since = ledger.message(hall, envelopeOf(index), 0);
    const end = { number: index, since, since_ms, why: "unsubscribed" as const, batch: false };
    ledger.left(hall, 7, { ...end, caught_up: undefined });
    ledger.sent();
  }
  const one = { number: 7, connection_id: "c7", user_id: "bob", remote_ip: "", began_ms: 0 };
  const open = [{ ...one, batch: false, subscription: () => undefined }];
  const query = { tenant: "acme", user: "bob", room: "hall", since_ms: 0, messages: [] };
  const gathered = await gather(ledger, { query, open }, breathe);
  assert.ok(
    gathered.connections[0]!.intervals.length <= 1_000,
    "each message is compared with all",
  );
  assert.equal(gathered.truncated, true);
  const [account] = await accountsOf(gathered, query, ledger.since_ms, breathe);
  const { due, sent, missed } = account!.room!;
  assert.equal(due, times, "unknown messages are not reported as not subscribed");
  assert.ok(sent >= 400 && sent <= 1_000, `${sent} are certain`);
  assert.deepEqual(new Set(missed.map(({ outcome }) => outcome.state)), new Set(["unknown"]));
});

Deno.test("a reference to a row retains only the newest segment", () => {
  const ledger = new Ledger({ bytes_max: 1_048_576, kept_ms: 1e9, now: () => 1_000 });
  const hall = ledger.openRoom("acme", "hall");
  const run = ledger.leftOut(hall, 7, 1, "slow_reader");
  const first = ledger.segments[0];
  assert.equal(run.place.segment, first);
  for (let index = 0; index < 10_000; index++) ledger.message(hall, envelopeOf(index), 0);
  assert.notEqual(ledger.segments.at(-1), first);
  assert.equal(run.place.segment, undefined);
});

Deno.test("a connection with ever different refusals gets few rows", () => {
  const ledger = new Ledger({ bytes_max: 1e9, kept_ms: 1e9, now: () => 1_000 });
  const identity = { tenant_id: "acme", user_id: "bob" };
  const connection = { id: "c1", number: 1, identity, caller: { remote_ip: "" } };
  let at_ms = 0;
  const { denied } = noting(ledger, { greeted() {} }, () => at_ms);
  const refuse = (room_id: string, now_ms: number) => {
    const refusal = new ArqonError("not-granted", room_id);
    at_ms = now_ms;
    denied?.(connection as Observed, room_id, refusal, refusal);
  };
  for (let count = 0; count < 10_000; count++) refuse(`room-${count}`, 1_000);
  assert.equal(ledger.counts.rows, 8);
  refuse("room-3", 1_000);
  assert.equal(ledger.counts.rows, 8, "a repetition extends its row");
  refuse("later", 20_000);
  assert.equal(ledger.counts.rows, 9);
});

Deno.test("a refusal of another action in the same room is reported separately", async () => {
  const ledger = new Ledger({ bytes_max: 1e9, kept_ms: 1e9, now: () => 1_000 });
  const identity = { tenant_id: "acme", user_id: "bob" };
  const connection = { id: "c1", number: 1, identity, caller: { remote_ip: "" } };
  const { denied } = noting(ledger, { greeted() {} }, () => 1_000);
  const refuse = (detail: string) => {
    const refusal = new ArqonError("not-granted", detail);
    denied?.(connection as Observed, "hall", refusal, refusal);
  };
  for (let count = 0; count < 10; count++) refuse(`subscribe; retry after ${count} ms`);
  for (let count = 0; count < 3; count++) refuse("publish");
  const query = { tenant: "acme", user: "bob", messages: [] };
  const { refusals } = await gather(ledger, { query, open: [] }, breathe);
  assert.deepEqual(refusals.map(({ count, detail }) => [count, detail.slice(-20)]), [
    [10, new ArqonError("not-granted", "subscribe; retry after 0 ms").message.slice(-20)],
    [3, new ArqonError("not-granted", "publish").message.slice(-20)],
  ]);
});

Deno.test("a request processes any number of rows and messages in pieces", async () => {
  const MESSAGES = 5_000;
  const now_ms = 1_700_000_000_000;
  const ledger = new Ledger({ bytes_max: 2 ** 24, kept_ms: 1e9, now: () => now_ms });
  const hall = ledger.openRoom("acme", "hall");
  for (let at = 0; at < MESSAGES; at++) {
    ledger.message(hall, envelopeOf(at), 0);
    ledger.sent();
  }
  let in_piece = 0;
  let most = 0;
  let rows = 0;
  await scan(ledger, () => {
    rows++;
    most = Math.max(most, ++in_piece);
  }, () => void (in_piece = 0));
  assert.equal(rows, MESSAGES);
  assert.ok(most <= 1_000, `${most} rows in one piece`);
  const query = { tenant: "acme", user: "ann", room: "hall", since_ms: now_ms, messages: [] };
  const mark = { number: 1, connection: 1, since: 0, since_ms: now_ms, episode: undefined };
  const open = {
    number: 1,
    connection_id: "c1",
    user_id: "ann",
    remote_ip: "::1",
    began_ms: now_ms,
    batch: false,
    subscription: () => mark,
  };
  const gathered = await gather(ledger, { query, open: [open] }, breathe);
  let pieces = 0;
  const [account] = await accountsOf(gathered, query, now_ms, () => void pieces++);
  assert.equal(account?.room?.due, MESSAGES);
  assert.ok(pieces >= MESSAGES / 64, `${MESSAGES} messages in ${pieces} pieces`);
});

Deno.test("outcomes of many subscriptions, gaps and reads are computed in pieces of bounded comparisons", async () => {
  const at_ms = 1_700_000_000_000;
  const subscriptions = 500;
  const messages = 200;
  const of = { room_id: "hall", batch: false, filters: [], why: "left" };
  const intervals = Array.from({ length: subscriptions }, (_, at) => ({
    ...of,
    number: at + 1,
    since: at,
    since_ms: at_ms,
    until: at + 1,
    until_ms: at_ms + 1,
    caught_up: { after: 0, first: 0, last: 0, live: 0 },
  }));
  const holes = intervals.map(({ number }) => ({
    room_id: "hall",
    number,
    from: 1_000,
    to: 1_000,
    at_ms,
    by_offset: true,
    why: "queued" as const,
  }));
  const one = { number: 1, connection_id: "c1", user_id: "ann", remote_ip: "", began_ms: at_ms };
  const none = { ended: undefined, listed: new Map(), filtered: new Map() };
  const received = { time_ms: at_ms + 5, twist_id: "", echo: 0 };
  const query = Array.from({ length: 50 }, () => ({
    room_id: "hall",
    offset: 1,
    twist_id: "",
    trace_id: "",
    message_id: "",
    time_ms: at_ms,
  }));
  const listed = Array.from({ length: 500 }, (_, at) => at + 2);
  const nothing = { requested: [], stored: [], gaps: [], refusals: [] };
  const gathered = {
    ...nothing,
    connections: [{ ...one, ...none, intervals, holes }],
    filtered: new Map(),
    truncated: false,
    room: Array.from({ length: messages }, (_, at) => ({
      ...received,
      position: at,
      offset: at + 1,
    })),
    reads: Array.from({ length: 1_000 }, () => ({
      user_id: "ann",
      connection_id: "",
      room_id: "hall",
      from: 2,
      to: 501,
      listed,
      at_ms,
      how: "history" as const,
    })),
  };
  const question = { tenant: "acme", user: "ann", room: "hall", since_ms: at_ms, messages: query };
  let pieces = 0;
  const count = () => void pieces++;
  const [account] = await accountsOf(gathered, question, at_ms, count);
  assert.equal(account?.room?.due, messages);
  // 50 requested messages, and 200 of the room with a thousand comparisons each.
  assert(pieces >= 50 + messages / 5, `${pieces} pieces`);
  pieces = 0;
  assert.deepEqual(await readsOf(gathered, question, count), []);
  // 50 messages, each compared with 1,000 reads of 500 messages.
  assert(pieces >= 50 * 5, `${pieces} pieces`);
});
