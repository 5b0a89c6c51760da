/**
 * A pattern with a position for each of its durable rooms, on both engines: a client that was away gets what it
 * missed of each, once and in order. On NATS it comes back at another Shield. From now on: `patterns_test.ts`.
 */
import assert from "node:assert/strict";
import { startBusWith } from "./harness/bus.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { joinRooms as join } from "./peers/room_listener.ts";
import type { Place, RoomListener } from "./peers/room_listener.ts";

const CONFIG = `
[limits]
pattern_positions = 20
[[rooms]]
room = "log-*"
durable = true
[[rooms]]
room = "short-*"
durable = true
history_size = 2
`;

type Outcomes = Record<string, { readonly recovered: boolean; readonly reason?: string }>;
type Vector = Record<string, Record<string, number>>;

/** What a client keeps of the rooms of a pattern. */
class Positions {
  readonly offsets: Record<string, number> = {};
  readonly heard: string[] = [];
  epoch = "";

  /** Subscribes from here on, and takes note of the epoch. */
  async sub(listener: RoomListener, pattern: string, more: object = {}): Promise<Outcomes> {
    const positions: Vector = this.epoch === "" ? {} : { [this.epoch]: this.offsets };
    const answer = await listener.ask({ op: "sub", room: pattern, positions, ...more });
    assert.equal(answer.code, 0, JSON.stringify(answer));
    this.epoch = answer.result.epoch;
    return answer.result.positions;
  }

  /** Takes what the listener has heard. */
  take({ heard }: RoomListener): void {
    for (const { room, data, offset } of heard.splice(0)) {
      this.offsets[room] = offset ?? 0;
      this.heard.push(`${room} ${data}`);
    }
  }

  async takeUntil(listener: RoomListener, count: number): Promise<void> {
    for (;;) {
      this.take(listener);
      if (this.heard.length >= count) return;
      await listener.ask({ op: "unsub", room: "nothing" });
    }
  }
}

async function missed(place: Place): Promise<void> {
  using bob = await join(place, "bob", 1);
  const positions = new Positions();
  {
    using ann = await join(place, "ann", 0);
    assert.deepEqual(await positions.sub(ann, "log-m*"), {});
    for (const room of ["log-m1", "log-m2", "log-m3"]) await bob.pub(room, 1);
    await positions.takeUntil(ann, 3);
  }
  for (const at of [2, 3]) for (const room of ["log-m1", "log-m2"]) await bob.pub(room, at);
  using ann = await join(place, "ann", 1);
  const outcome = await positions.sub(ann, "log-m*");
  assert.deepEqual(
    Object.entries(outcome).map(([room, { recovered }]) => [room, recovered]).toSorted(),
    [["log-m1", true], ["log-m2", true], ["log-m3", true]],
  );
  for (const room of ["log-m1", "log-m3", "log-m4"]) await bob.pub(room, 4);
  await positions.takeUntil(ann, 10);
  for (const [room, all] of [["log-m1", "1234"], ["log-m2", "123"], ["log-m3", "14"]]) {
    const own = positions.heard.filter((one) => one.startsWith(`${room} `));
    assert.deepEqual(own, [...all ?? ""].map((at) => `${room} ${at}`));
  }
  assert.ok(
    positions.heard.includes("log-m4 4"),
    "a room that has no position is heard from now on",
  );
}

/** Another pattern that matches the same rooms goes on where the first has come to. */
async function overlapping(place: Place): Promise<void> {
  using bob = await join(place, "bob", 1);
  const positions = new Positions();
  {
    using ann = await join(place, "ann", 0);
    await positions.sub(ann, "log-o*");
    await bob.pub("log-o1", 1);
    await positions.takeUntil(ann, 1);
  }
  for (const at of [2, 3]) await bob.pub("log-o1", at);
  using ann = await join(place, "ann", 0);
  const [before, after] = [{ ...positions.offsets }, positions.epoch];
  const both = [{ op: "sub", room: "log-o*" }, { op: "sub", room: "log-o1*" }];
  for (const sub of both) {
    assert.equal((await ann.ask({ ...sub, positions: { [after]: before } })).code, 0);
  }
  await ann.ask({ op: "unsub", room: "log-o1*" });
  await bob.pub("log-o1", 4);
  await positions.takeUntil(ann, 4);
  assert.deepEqual(positions.heard, [1, 2, 3, 4].map((at) => `log-o1 ${at}`));
}

async function filtered(place: Place): Promise<void> {
  using bob = await join(place, "bob", 1);
  const positions = new Positions();
  const filter = "data > 2";
  {
    using ann = await join(place, "ann", 0);
    await positions.sub(ann, "log-f*", { filter });
    for (const at of [2, 3]) await bob.pub("log-f1", at);
    await positions.takeUntil(ann, 1);
  }
  for (const at of [1, 4, 2, 5]) await bob.pub("log-f1", at);
  using ann = await join(place, "ann", 0);
  await positions.sub(ann, "log-f*", { filter });
  await positions.takeUntil(ann, 3);
  assert.deepEqual(positions.heard, [3, 4, 5].map((at) => `log-f1 ${at}`));
}

async function refused(place: Place): Promise<void> {
  using ann = await join(place, "ann", 0);
  using bob = await join(place, "bob", 1);
  const reason = async (room: string, positions: unknown) =>
    (await ann.ask({ op: "sub", room, positions })).reason;
  for (
    const wrong of [[], 1, { e: 1 }, { "": {} }, { e: { "log-1": -1 } }, { e: { "log-1": "1" } }]
  ) {
    assert.equal(await reason("log-*", wrong), "invalid-field", JSON.stringify(wrong));
  }
  assert.equal(await reason("log-*", { e: { "log-1": 1 }, f: { "log-1": 1 } }), "invalid-field");
  assert.equal(await reason("log-*", { e: { "other-1": 1 } }), "invalid-room");
  assert.equal(await reason("log-1", {}), "invalid-field", "of a pattern only");
  const many = Object.fromEntries(Array.from({ length: 21 }, (_, at) => [`log-${at}`, 1]));
  assert.equal(await reason("log-*", { e: many }), "too-many-rooms");
  for (let at = 1; at <= 5; at++) await bob.pub("short-1", at);
  const positions = { gone: { "short-2": 1, "plain": 1 } };
  const { result } = await ann.ask({ op: "sub", room: "*", positions });
  assert.deepEqual(result.positions["plain"], { recovered: false, reason: "not-durable" });
  assert.equal(result.positions["short-2"].reason, "epoch-changed");
  await ann.ask({ op: "unsub", room: "*" });
  const trimmed = { [result.epoch]: { "short-1": 0 } };
  const answer = await ann.ask({ op: "sub", room: "short-*", positions: trimmed });
  assert.equal(answer.result.positions["short-1"].reason, "history-trimmed");
  await bob.pub("short-1", "next");
  assert.deepEqual(await ann.take(1), ["short-1 next"], "from now on");
}

/** The connection drops again and again while messages come: each is heard once, and those of a room in order. */
async function drops(place: Place): Promise<void> {
  using bob = await join(place, "bob", 1);
  const rooms = Array.from({ length: 8 }, (_, at) => `log-d${at}`);
  const positions = new Positions();
  {
    using ann = await join(place, "ann", 0);
    await positions.sub(ann, "log-d*");
    for (const room of rooms) await bob.pub(room, 0);
    await positions.takeUntil(ann, rooms.length);
  }
  const turns = 12;
  const [each, total] = [10, rooms.length * (1 + 12 * 10)];
  for (let turn = 0; turn < turns; turn++) {
    using ann = await join(place, "ann", turn % 2 === 0 ? 0 : 1);
    const subscribed = positions.sub(ann, "log-d*");
    for (let at = 1; at <= each; at++) {
      for (const room of rooms) {
        bob.raw.send({ op: "pub", room, type: "t", data: turn * each + at });
      }
    }
    const outcome = await subscribed;
    for (const room of rooms) assert.equal(outcome[room]?.recovered, true, JSON.stringify(outcome));
    // Wherever the messages are just now.
    positions.take(ann);
  }
  await bob.ask({ op: "unsub", room: "nothing" });
  using ann = await join(place, "ann", 0);
  await positions.sub(ann, "log-d*");
  await positions.takeUntil(ann, total);
  for (const room of rooms) {
    const own = positions.heard.filter((one) => one.startsWith(`${room} `));
    assert.deepEqual(own, Array.from({ length: 1 + turns * each }, (_, at) => `${room} ${at}`));
  }
}

async function scenarios(t: Deno.TestContext, place: Place): Promise<void> {
  for (const run of [missed, overlapping, filtered, refused, drops]) {
    await t.step(run.name, () => run(place));
  }
}

Deno.test("positions of patterns on the embedded engine", async (t) => {
  await using bus = await startBusWith(CONFIG);
  const { url, ops_url } = bus;
  await scenarios(t, { urls: [url, url], ops_url, tokenFor: (user) => bus.tokenFor({ user }) });
});

Deno.test("positions of patterns on NATS, across two Shields", async (t) => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}${CONFIG}`;
  await using _brain = await startServer("brain", config, issuer.dir);
  await using one = await startServer("shield", config, issuer.dir);
  await using two = await startServer("shield", config, issuer.dir);
  const url = ({ ready }: typeof one) => `${ready.url?.replace(/^http/, "ws")}/v1/socket`;
  await scenarios(t, {
    urls: [url(one), url(two)],
    ops_url: one.ready.ops_url ?? "",
    tokenFor: (sub) => issuer.tokenFor({ sub }),
  });
});
