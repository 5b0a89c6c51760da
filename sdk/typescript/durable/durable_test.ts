// Loops on a durable room over real sockets, with a scripted peer: the positions in SUBs, the effect of answers, and
// the items of loops.
import assert from "node:assert/strict";
import { encodePong } from "@arqon/proto";
import { connect, type Connection, type Message, type Subscription } from "../mod.ts";
import { type Line, placesOf, quick, refusedWith, ROOM } from "../testing/scripted_peer.ts";
import { type Room, startRoom } from "../testing/scripted_peer.ts";

const open = ({ url }: Room): Promise<Connection> => connect(quick(url).options);

/** A message as these tests see it. */
function shown(message: Message): string {
  if (message.signal !== undefined) return `GAP ${message.signal.reason}`;
  return message.offset === 0 ? message.text() : `${message.offset} ${message.text()}`;
}

async function take(messages: Subscription, count: number): Promise<string[]> {
  const taken: string[] = [];
  while (taken.length < count) {
    const { value } = await messages.next();
    assert.ok(value !== undefined, `the loop ended after ${taken.join(", ")}`);
    taken.push(shown(value));
  }
  return taken;
}

/** Answers SUBs in order. */
const script = (...steps: ((line: Line, sub: Parameters<Line["accept"]>[0]) => void)[]) =>
  startRoom((line, sub, count) => steps[count - 1]?.(line, sub));

Deno.test("a loss reported by the next session during a move is at the position of the missing messages", async () => {
  const reason = "history-trimmed";
  await using room = startRoom((line, sub, count) => {
    line.accept(sub, { offset: 5, epoch: "e1", ...(count === 2 && { recovered: true }) });
    if (count === 1) {
      line.drain();
    } else if (count === 2) {
      line.gap(reason);
      line.message(9, "a");
    }
  }, (line, operation) => {
    if (operation.kind === "ping") line.send(encodePong(operation.body));
  });
  await using connection = await connect({ ...quick(room.url).options, random: () => 0 });
  using messages = connection.room(ROOM).subscribe();
  assert.deepEqual(await take(messages, 2), [`GAP ${reason}`, "9 a"]);
});

Deno.test("the program may begin at a known position, with the first loop on the room", async () => {
  await using room = script((line, sub) => {
    line.accept(sub, { offset: 9, epoch: "e1", recovered: true });
    line.message(8, "a");
  });
  await using connection = await open(room);
  const orders = connection.room(ROOM);
  for (const position of [{ offset: 0 }, { offset: -1, epoch: "e1" }]) {
    assert.throws(() => orders.subscribe({ position }), TypeError);
  }
  const position = { offset: 0, epoch: "e1" };
  using messages = orders.subscribe({ position });
  assert.equal(messages.position, undefined);
  assert.throws(() => orders.subscribe({ position }), /it has begun/);
  using other = orders.subscribe();
  assert.deepEqual([await take(messages, 1), await take(other, 1)], [["8 a"], ["8 a"]]);
  assert.deepEqual(placesOf(room.subs), [[0, "e1"]]);
});

Deno.test("a new loop ignores late answers for the previous one", async () => {
  await using room = startRoom(
    (line, sub, count) => {
      if (count === 1) return line.accept(sub, { offset: 5, epoch: "e1" });
      line.message(9, "late");
      line.accept(sub, { offset: 9, epoch: "e1", recovered: true });
      line.message(7, "a");
      line.message(9, "late");
    },
  );
  await using connection = await open(room);
  const before = connection.room(ROOM).subscribe();
  await before.ready;
  before.close();
  using messages = connection.room(ROOM).subscribe({ position: { offset: 5, epoch: "e1" } });
  assert.deepEqual(await take(messages, 2), ["7 a", "9 late"]);
});

Deno.test("a slow loop loses its own newest messages, and nothing is fetched again for it", async () => {
  await using room = script((line, sub) => {
    line.accept(sub, { offset: 0, epoch: "e1" });
    for (let offset = 1; offset <= 5; offset += 1) line.message(offset, "x");
  });
  await using connection = await open(room);
  using slow = connection.room(ROOM).subscribe({ buffer: 2 });
  using quickly = connection.room(ROOM).subscribe();
  await take(quickly, 5);
  assert.deepEqual(await take(slow, 3), ["1 x", "2 x", "GAP 3 messages dropped here"]);
  assert.deepEqual([slow.offset, room.subs.length], [5, 1]);
});

Deno.test("an answer to SUB that is not JSON ends the subscription: 'malformed-frame'", async () => {
  await using room = script((line, { request_id }) => {
    line.answer(request_id, new Uint8Array([0xff]));
  });
  await using connection = await open(room);
  const messages = connection.room(ROOM).subscribe();
  await assert.rejects(messages.ready, refusedWith("malformed-frame"));
});
