/**
 * Scenarios 33 to 42: clients that are refused, that speak nonsense, that never answer or never read,
 * and subscriptions that come and go faster than they can be answered.
 */
import assert from "node:assert/strict";
import { pace } from "../../shared/testing/pace.ts";
import { until } from "../../shared/testing/until.ts";
import { SETTLE_MS } from "./peer.ts";
import type { Peer } from "./peer.ts";
import { range } from "./scenario.ts";
import type { Scenario, Stage } from "./scenario.ts";

async function errorPaths(stage: Stage): Promise<void> {
  const [open, shut] = [stage.name("open"), stage.name("shut")];
  const actions = ["publish", "subscribe", "presence", "command"];
  const peer = await stage.peer(stage.nodes.main, { grants: [{ room: open, actions }] });
  const refusals: [object, number, string][] = [
    [{ op: "sub", room: shut }, 403, "not-granted"],
    [{ op: "pub", room: shut, type: "t", data: 1 }, 403, "not-granted"],
    [{ op: "cmd", room: shut, name: "room.get", data: { key: "k" } }, 403, "not-granted"],
    [{ op: "cmd", room: shut, name: "presence.count" }, 403, "not-granted"],
    [{ op: "cmd", room: shut, name: "presence.list" }, 403, "not-granted"],
    [
      { op: "cmd", room: open, name: "room.kick", data: { user_id: "x" } },
      403,
      "command-forbidden",
    ],
    [{ op: "cmd", room: open, name: "no.such" }, 400, "invalid-command"],
    [{ op: "unsub", room: open }, 404, "not-subscribed"],
    [{ op: "sub", room: "a.b" }, 400, "invalid-room"],
    [{ op: "pub", room: open, type: "ROOM_X", data: 1 }, 403, "reserved-type"],
  ];
  for (const [frame, code, reason] of refusals) {
    const answer = await peer.ask(frame);
    assert.deepEqual([answer.code, answer.reason], [code, reason], JSON.stringify(frame));
  }
  const inbox = await peer.sub(open);
  await peer.pub(open, "still here");
  await inbox.count(1);
}

/** What is answered with ERR and counts against the connection. */
const NONSENSE: readonly string[] = [
  "garbage",
  "[]",
  "{}",
  '{"op":"dance"}',
  '{"op":"sub"',
  '{"op":"sub","room":"a","room":"b"}',
];

/** `[limits] protocol_errors` of the strict node. */
const STRICT_ERRORS = 3;

async function malformed(stage: Stage): Promise<void> {
  const { strict } = stage.nodes;
  const room = stage.name("plain");
  const [control, publisher] = [await stage.peer(strict), await stage.peer(strict)];
  const inbox = await control.sub(room);
  for (const text of NONSENSE) {
    const bad = await stage.peer(strict);
    // One after the other: what lies unread when the other side closes would cut off its last words.
    while (bad.is_open) {
      const before = bad.errors.length;
      bad.send(text);
      await until("its refusal", () => bad.errors.length > before || !bad.is_open);
      if (bad.errors.length > STRICT_ERRORS) break;
    }
    const { code, reason } = await bad.closed;
    assert.deepEqual([code, reason], [1008, "too-many-protocol-errors"], text);
    assert.ok(bad.errors.every((error) => error.code === 400 || error.code === 429), text);
  }
  const careful = await stage.peer(strict);
  assert.equal((await careful.ask({ op: "unsub", room: "never" })).reason, "not-subscribed");
  assert.equal((await careful.ask({ op: "sub", room: "" })).reason, "invalid-room");
  const again = await careful.sub(room).then(() => careful.ask({ op: "sub", room }));
  assert.equal(again.code, 0, "a second SUB changes the first");
  const highest = 2 ** 53 - 1;
  careful.send({ op: "pub", room, type: "t", data: "first", id: highest });
  await until(
    "its ACK",
    () => careful.errors.some(({ reason }) => reason.includes(String(highest))),
  );
  await publisher.fill(room, range(20), 1);
  await inbox.count(21);
  assert.ok(control.is_open, "the healthy one never noticed");
}

async function oversized(stage: Stage): Promise<void> {
  const { strict } = stage.nodes;
  const room = stage.name("plain");
  const peer = await stage.peer(strict);
  peer.send({ op: "pub", room, type: "t", data: "x".repeat(5_000) });
  await until("a refusal", () => peer.errors.length > 0);
  assert.equal(peer.errors[0]?.code, 413);
  assert.ok(peer.is_open, "a frame that is a little too large is refused, no more");
  const big = await stage.peer(strict);
  big.send({ op: "pub", room, type: "t", data: "x".repeat(70_000) });
  const { code } = await big.closed;
  assert.ok(code === 4413 || code === 1006, String(code));
}

async function slowClient(stage: Stage): Promise<void> {
  const { strict } = stage.nodes;
  const room = stage.name("plain");
  const [slow, publisher] = [await stage.peer(strict), await stage.peer(strict)];
  const inbox = await slow.sub(room);
  const quick = await stage.peer(strict);
  const heard = await quick.sub(room);
  slow.socket.pause();
  const text = "x".repeat(3_800);
  const sent = 3_000;
  await publisher.fill(room, range(sent).map(() => text), 16);
  slow.socket.resume();
  const { code } = await slow.closed;
  assert.ok(code === 4429 || code === 1006, String(code));
  assert.ok(inbox.messages.length < sent, "it was cut off before the end");
  await heard.count(sent);
}

async function noPong(stage: Stage): Promise<void> {
  const peer = await stage.peer(stage.nodes.strict);
  peer.mute();
  const { code } = await peer.closed;
  // A native socket may notice first, and says that it goes away.
  assert.ok(code === 4408 || code === 1001 || code === 1006, String(code));
}

async function roomLimit(stage: Stage): Promise<void> {
  const peer = await stage.peer(stage.nodes.strict);
  const rooms = range(8).map((index) => stage.name("plain", index));
  await Promise.all(rooms.map((room) => peer.sub(room)));
  const ninth = await peer.ask({ op: "sub", room: stage.name("plain", "ninth") });
  assert.deepEqual([ninth.code, ninth.reason], [429, "too-many-rooms"]);
  await peer.must({ op: "unsub", room: rooms[0] });
  await peer.sub(stage.name("plain", "ninth"));
}

async function expired(stage: Stage): Promise<void> {
  const peer = await stage.peer(stage.nodes.strict, { ttl_seconds: 2 });
  for (let count = 0; count < 3; count++) {
    assert.equal((await peer.closed).code, 4401);
    await peer.open();
  }
}

/** Works for a connection that may be in any state. */
async function isUsable(peer: Peer, room: string): Promise<void> {
  const inbox = await peer.sub(room);
  const before = inbox.messages.length;
  await peer.pub(room, "usable");
  await until("its own message", () => inbox.messages.length > before);
}

async function subscribeRace(stage: Stage): Promise<void> {
  const { main } = stage.nodes;
  const room = stage.name("plain");
  const [peer, boss] = [await stage.peer(main), await stage.peer(main, { role: "service" })];
  const rounds = stage.count(500, 60);
  const { user } = peer.claims;
  await Promise.all([
    (async () => {
      for (let count = 0; count < rounds; count++) {
        await peer.ask({ op: stage.random.chance(0.5) ? "sub" : "unsub", room });
      }
    })(),
    (async () => {
      for (let count = 0; count < rounds / 4; count++) {
        await boss.command(room, "room.kick", { user_id: user });
      }
    })(),
    (async () => {
      for (let count = 0; count < rounds; count++) await boss.pub(room, count);
    })(),
  ]);
  await pace(SETTLE_MS);
  assert.ok(peer.is_open);
  await peer.ask({ op: "unsub", room });
  const inbox = peer.inbox(room);
  const before = inbox.messages.length;
  await boss.pub(room, "unheard");
  await pace(SETTLE_MS);
  assert.equal(inbox.messages.length, before, "after UNSUB nothing comes");
  await isUsable(peer, room);
}

async function disconnectDuringSubscribe(stage: Stage): Promise<void> {
  const { main } = stage.nodes;
  for (let round = 0; round < stage.count(120, 12); round++) {
    const user = stage.name("u", `gone${round}`);
    const peer = await stage.peer(main, { user });
    const asked = range(30).map((index) => (
      peer.ask({ op: "sub", room: stage.name("plain", `${round}-${index}`) })
    ));
    const all = Promise.allSettled(asked);
    if (round % 2 === 0) await peer.drop();
    else await peer.close();
    await all;
  }
}

/** The scenarios of this file. */
export const LIMITS: readonly Scenario[] = [
  { number: 33, name: "error_paths", run: errorPaths },
  { number: 34, name: "malformed_protocol", run: malformed },
  { number: 36, name: "oversized_frame", run: oversized },
  { number: 37, name: "slow_client", run: slowClient },
  { number: 38, name: "no_pong", run: noPong },
  { number: 39, name: "channel_limit", run: roomLimit },
  { number: 40, name: "expired_connection", run: expired },
  { number: 41, name: "subscribe_unsubscribe_race", run: subscribeRace },
  { number: 42, name: "disconnect_during_subscribe", run: disconnectDuringSubscribe },
];
