// Durable rooms over real sockets, with a scripted peer: the positions in SUBs, the effect of answers, the items of
// loops, the history, and own messages.
import assert from "node:assert/strict";
import { encodePong, plainEnvelope, readHistoryQuery, writeEnvelope } from "@arqon/proto";
import { type ClientOperation, type PlainEnvelope, writeHistory } from "@arqon/proto";
import { history } from "../history.ts";
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

/** Receives publishes and commands, and the UNSUB of an ended loop. */
const requests =
  (hear: (line: Line, request: PlainEnvelope) => void) =>
  (line: Line, operation: ClientOperation) => {
    if (operation.kind !== "publish") return;
    hear(line, plainEnvelope(operation.envelope));
  };

Deno.test("history requests Protobuf and returns messages with their exact bytes and offsets", async () => {
  const data = new Uint8Array([0, 255, 10]);
  const stored = [7, 9].map((offset) =>
    writeEnvelope({ room_id: ROOM, sender_id: "ann", offset, event: { type: "x", data } })
  );
  const answers = [
    writeHistory({ messages: stored, offset: 12, epoch: "e1", more: true }),
    writeHistory({ messages: [], offset: 0, epoch: "e1", more: false }),
    new Uint8Array([0x0a, 9]),
  ];
  const questions: unknown[] = [];
  await using room = startRoom(
    () => {},
    requests((line, { command, request_id }) => {
      assert.deepEqual([command?.name, command?.content_type], [
        ...["history.get", "application/protobuf"],
      ]);
      line.answer(request_id, answers[questions.length] as Uint8Array);
      questions.push(readHistoryQuery(command?.data as Uint8Array));
    }),
  );
  await using connection = await connect(quick(room.url).options);
  const orders = connection.room(ROOM);
  const query = { after: 5, before: 2 ** 40, limit: 2, reverse: true, filter: "" };
  const page = await history(orders, query);
  assert.deepEqual(page.messages.map(({ offset, epoch, sender }) => [offset, epoch, sender]), [
    ...[[7, "e1", "ann"], [9, "e1", "ann"]],
  ]);
  assert.deepEqual([...page.messages[1]!.data], [...data]);
  assert.deepEqual([page.offset, page.epoch, page.more], [12, "e1", true]);
  assert.deepEqual((await history(orders)).messages, []);
  assert.deepEqual(questions, [query, readHistoryQuery(new Uint8Array())]);
  await assert.rejects(history(orders), refusedWith("malformed-frame"));
  await assert.rejects(history(orders, { limit: -1 }), TypeError);
});

Deno.test("with no_echo own messages of the previous connection are not recovered", async () => {
  await using room = startRoom(
    (line, sub, count) => {
      if (count === 1) return line.accept(sub, { offset: 5, epoch: "e1" });
      line.accept(sub, { offset: 7, epoch: "e1", recovered: true });
      line.message(6, "mine");
      line.message(7, "theirs");
    },
    requests((line, { request_id }) => {
      line.answer(request_id, new Uint8Array(), 6);
      line.drop();
    }),
  );
  await using connection = await connect(quick(room.url).options);
  const orders = connection.room(ROOM);
  using messages = orders.subscribe({ no_echo: true });
  await messages.ready;
  await orders.publish("x", "mine");
  assert.equal((await messages.next()).value?.text(), "theirs");
});
