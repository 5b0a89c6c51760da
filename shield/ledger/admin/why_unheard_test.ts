/** Messages of a room that only other Shields have received, and those due to a Shield's connections. */
import assert from "node:assert/strict";
import type { WhyRoom } from "../../../shared/cluster/cluster_why.ts";
import { Clocks, missingAt, withLogged, withMissing } from "./why_ask.ts";

type Rows = WhyRoom["rows"];

const NOW_MS = 1_000_000;

/** The messages received by two Shields; the clock of `two` is ahead. */
function roomOf(one: Rows, two: Rows, { ahead_ms = 0, truncated = false } = {}) {
  const of = (node_id: string, rows: Rows, more: object, now_ms: number) => ({
    node_id,
    kind: "shield" as const,
    value: { since_ms: 0, now_ms, rows, ...more },
  });
  const rooms = {
    answers: [of("one", one, {}, NOW_MS), of("two", two, { truncated }, NOW_MS + ahead_ms)],
    nodes: { answered: ["one", "two"], silent: [] },
    asked_ms: NOW_MS,
    received_ms: new Map([["one", NOW_MS], ["two", NOW_MS]]),
  };
  const clocks = new Clocks("one");
  clocks.note(rooms);
  return { rooms, clocks };
}

function found(one: Rows, two: Rows, options: { ahead_ms?: number; truncated?: boolean } = {}) {
  const { rooms, clocks } = roomOf(one, two, options);
  const query = { room: "hall", since_ms: 10_000 };
  const [missing] = missingAt(rooms.answers.slice(1), query, rooms.answers, clocks);
  return missing?.messages.map(({ twist_id, time_ms }) => `${twist_id} ${time_ms}`) ?? [];
}

Deno.test("messages that only one Shield has received are found, by the other's clock", () => {
  const one: Rows = [[20_000, 0, "a", false], [30_000, 0, "b", false], [40_000, 0, "c", false]];
  assert.deepEqual(found(one, [[20_010, 0, "a", false]]), ["b 30000", "c 40000"]);
  assert.deepEqual(found(one, [[120_010, 0, "a", false]], { ahead_ms: 100_000 }), [
    "b 130000",
    "c 140000",
  ]);
  assert.deepEqual(found(one, [...one]), []);
  // A duplicate that it dropped for all counts as received; a message dropped on the other Shield was due to nobody.
  assert.deepEqual(found(one.slice(0, 1), [[20_000, 0, "a", true]]), []);
  assert.deepEqual(found([[20_000, 0, "a", true]], []), []);
});

Deno.test("messages before the requested time, in transit or beyond a truncated list are not reported", () => {
  const rows: Rows = [
    [10_500, 0, "early", false],
    [20_000, 0, "a", false],
    [NOW_MS - 500, 0, "under way", false],
  ];
  assert.deepEqual(found(rows, []), ["a 20000"]);
  assert.deepEqual(found(rows, [[15_000, 0, "x", false]], { truncated: true }), []);
});

Deno.test("at most fifty are requested, and the truncation is reported", () => {
  const rows: Rows = Array.from({ length: 60 }, (_, at) => [20_000 + at, 0, `t${at}`, false]);
  const { rooms, clocks } = roomOf(rows, []);
  const { answers } = rooms;
  const hall = { room: "hall", since_ms: 0 };
  const [missing] = missingAt(answers.slice(1), hall, answers, clocks);
  assert.deepEqual([missing?.messages.length, missing?.truncated], [50, true]);
  assert.deepEqual(missingAt(answers.slice(0, 1), hall, answers, clocks), []);
});

Deno.test("the Shield's answer is added to the messages due to its connections", () => {
  const room = {
    subscriptions: [],
    due: 2,
    sent: 1,
    missed: [{ time_ms: 50_000, offset: 0, twist_id: "m", outcome: { state: "queued" as const } }],
    missed_count: 1,
    gaps: [],
  };
  const of = (node_id: string, connection_id: string) => ({
    node_id,
    connection_id,
    user_id: "bob",
    remote_ip: "",
    began_ms: 0,
    outcomes: [],
    room,
  });
  const ids = { room_id: "hall", offset: 0, trace_id: "", message_id: "" };
  const messages = ["lost", "log", "edge", "away"].map((twist_id, at) => ({
    ...ids,
    twist_id,
    time_ms: 20_000 + at,
  }));
  const outcomes = [
    { state: "not_heard" as const, from_ms: 5_000 },
    { state: "caught_up" as const, from_ms: 5_000 },
    { state: "not_heard" as const, from_ms: 5_000, until_ms: 20_100 },
    { state: "not_subscribed" as const, why: "never" },
  ];
  const [account, other] = withMissing(
    [of("two", "c1"), of("one", "c2")],
    { node_id: "two", messages, truncated: false },
    [{ ...of("two", "c1"), outcomes }, { ...of("two", "c2"), outcomes }],
  );
  assert.deepEqual([account?.room?.due, account?.room?.sent, account?.room?.missed_count], [
    4,
    2,
    2,
  ]);
  assert.deepEqual(account?.room?.missed.map(({ twist_id }) => twist_id), ["lost", "m"]);
  assert.deepEqual(other?.room, room, "another Shield's connection has received it");
});

Deno.test("messages in the unwritten seconds of a lost Shield are due to subscriptions in its last record", () => {
  const lost = { from_ms: 5_000, until_ms: 50_000, why: "killed" };
  const of = (connection_id: string, subscription: { until_ms: number; why: string }) => ({
    node_id: "two",
    connection_id,
    user_id: "bob",
    remote_ip: "",
    began_ms: 0,
    outcomes: [],
    room: {
      subscriptions: [{ from_ms: 1_000, ...subscription }],
      due: 0,
      sent: 0,
      missed: [],
      missed_count: 0,
      gaps: [],
    },
  });
  const messages = [3_000, 20_000, 60_000].map((time_ms) => ({
    room_id: "hall",
    offset: 0,
    trace_id: "",
    message_id: "",
    time_ms,
    twist_id: `t${time_ms}`,
  }));
  const unknown = { state: "unknown" as const, ...lost };
  const there = of("c1", { until_ms: 5_000, why: "killed" });
  const gone = of("c2", { until_ms: 4_000, why: "unsubscribed" });
  const outcomes = messages.map(() => unknown);
  const accounts = withMissing(
    [there, gone],
    { node_id: "two", messages, truncated: false },
    [{ ...there, outcomes }, { ...gone, outcomes }],
  );
  assert.deepEqual(accounts.map(({ room }) => [room?.due, room?.missed_count]), [[1, 1], [0, 0]]);
  assert.deepEqual(accounts[0]?.room?.missed.map(({ twist_id }) => twist_id), ["t20000"]);
});

Deno.test("messages only in the room's log count as not received by a Shield, even if older than its ledger", () => {
  const { rooms: { answers }, clocks } = roomOf([[20_000, 1, "a", false]], []);
  const young = answers.slice(1).map((one) => ({
    ...one,
    value: { ...one.value, since_ms: 35_000 },
  }));
  const logged: Rows = [
    [10, 1, "a", false],
    [30_000, 2, "b", false],
    [40_000, 3, "c", false],
    [41_000, 4, "", false],
  ];
  const all = withLogged([answers[0]!, ...young], logged);
  const [missing] = missingAt(young, { room: "hall", since_ms: 10_000 }, all, clocks);
  const messages = missing?.messages.map(({ twist_id, time_ms }) => `${twist_id} ${time_ms}`);
  assert.deepEqual(
    messages,
    ["a 20000", "b 30000", "c 40000"],
    "a Shield that received it reports the time",
  );
  assert.equal(withLogged(answers, logged.slice(0, 1)), answers);
});
