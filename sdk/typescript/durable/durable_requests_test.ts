// Requests about durable rooms, over real sockets with a scripted peer: history, the result of a publish, changed
// options, and many lost connections.
import assert from "node:assert/strict";
import fc from "fast-check";
import { plainEnvelope, readHistoryQuery, writeEnvelope, writeHistory } from "@arqon/proto";
import type { ClientOperation, PlainEnvelope } from "@arqon/proto";
import { connect } from "../mod.ts";
import { history } from "../history.ts";
import { type Line, placesOf, quick, refusedWith } from "../testing/scripted_peer.ts";
import { listOf, ROOM, startRoom } from "../testing/scripted_peer.ts";

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

Deno.test("a publish returns its offset, and is retried after 'log-unavailable' only with a message_id", async () => {
  const came: string[] = [];
  await using room = startRoom(
    () => {},
    requests((line, { message_id, request_id }) => {
      came.push(message_id);
      if (came.length !== 2) return line.refuse({ request_id }, 503, "log-unavailable");
      line.answer(request_id, new Uint8Array(), 41);
    }),
  );
  await using connection = await connect(quick(room.url).options);
  const orders = connection.room(ROOM);
  assert.equal((await orders.publish("x", 1, { message_id: "m1" })).offset, 41);
  await assert.rejects(orders.publish("x", 2), refusedWith("log-unavailable"));
  assert.deepEqual(came, ["m1", "m1", ""]);
});

Deno.test("a SUB that only changes metadata has no position, and keeps the present one", async () => {
  await using room = startRoom((line, sub, count) => {
    if (count === 3) return line.drop();
    line.accept(sub, { ...listOf([]), offset: 5 * count, epoch: "e1" });
  });
  await using connection = await connect(quick(room.url).options);
  using messages = connection.room(ROOM).subscribe({ presence: true, member_meta: 1 });
  await messages.ready;
  await messages.update(2);
  assert.deepEqual(messages.position, { offset: 5, epoch: "e1" });
  await messages.update(3);
  await messages.update(4);
  assert.deepEqual(placesOf(room.subs), [[0, ""], [0, ""], [0, ""], [5, "e1"], [0, ""]]);
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

/** The course of one connection: it ends without an answer, or after this many messages. */
const fate = fc.record({
  missed: fc.integer({ min: 0, max: 4 }),
  live: fc.integer({ min: 0, max: 3 }),
  cut: fc.integer({ min: -1, max: 8 }),
});

Deno.test("however often the connection is lost, also during a recovery, nothing is lost or repeated", async () => {
  const property = fc.asyncProperty(fc.array(fate, { maxLength: 10 }), async (all) => {
    const fates = [...all];
    const log: { offset: number; text: string }[] = [];
    const publish = () => {
      const offset = (log.at(-1)?.offset ?? 0) + 1 + log.length % 3;
      return log[log.push({ offset, text: String(log.length) }) - 1]!;
    };
    const serve = (after: number, first: boolean) => {
      const { missed, live, cut } = fates.shift() ?? { missed: 0, live: 1, cut: Infinity };
      if (!first) { for (let count = 0; count < missed; count += 1) publish(); }
      if (cut < 0) return null;
      const offset = log.at(-1)?.offset ?? 0;
      const messages = first ? [] : log.filter((entry) => entry.offset > after);
      for (let count = 0; count < live; count += 1) messages.push(publish());
      return { offset, messages: messages.slice(0, cut), cut };
    };
    let accepted = false;
    await using room = startRoom((line, sub) => {
      const served = serve(Number(sub.after_offset), !accepted);
      if (served === null) return line.drop();
      const recovered = sub.epoch === "" ? {} : { recovered: true };
      line.accept(sub, { offset: served.offset, epoch: "e1", ...recovered });
      accepted = true;
      for (const { offset, text } of served.messages) line.message(offset, text);
      if (served.cut < Infinity) line.drop();
    });
    await using connection = await connect(quick(room.url).options);
    using messages = connection.room(ROOM).subscribe();
    const received: string[] = [];
    while (fates.length > 0 || received.length < log.length || log.length === 0) {
      const { value } = await messages.next();
      assert.equal(value?.signal, undefined, value?.signal?.reason);
      received.push(value?.text() ?? "the end");
    }
    assert.deepEqual(received, log.map(({ text }) => text));
  });
  await fc.assert(property, { numRuns: 60 });
});
