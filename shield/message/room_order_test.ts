/** The order of a room's messages under all faults of servers. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { PublishedOrder, ReceivedOrder } from "./room_order.ts";

const LOBBY = roomSubject("in", "acme", "lobby");
function published(order: PublishedOrder, subject = LOBBY): string {
  const text = order.next(subject);
  order.sent(subject);
  return text;
}

Deno.test("no message passes twice or after a later one, and every gap is reported at its position", () => {
  const count = 30;
  const delivered = fc.array(fc.nat(count - 1), { maxLength: 100 });
  fc.assert(fc.property(delivered, (places) => {
    const order = new PublishedOrder("s1");
    const texts = Array.from({ length: count }, () => published(order));
    const received = new ReceivedOrder();
    let last = -1;
    for (const place of places) {
      const verdict = received.receive(texts[place]!);
      const expected = last >= 0 && place <= last
        ? "repeated"
        : last >= 0 && place > last + 1
        ? "hole"
        : "next";
      assert.equal(verdict, expected);
      last = Math.max(last, place);
    }
  }));
});

Deno.test("an unsent message leaves no gap", () => {
  const order = new PublishedOrder("s1");
  const received = new ReceivedOrder();
  assert.equal(received.receive(published(order)), "next");
  order.next(LOBBY);
  assert.equal(received.receive(published(order)), "next");
});

Deno.test("messages lost with a connection leave no gap either, and nothing is repeated", () => {
  const order = new PublishedOrder("s1");
  const received = new ReceivedOrder();
  const first = published(order);
  assert.equal(received.receive(first), "next");
  published(order);
  order.forget();
  assert.equal(received.receive(published(order)), "next");
  assert.equal(received.receive(first), "repeated");
});

Deno.test("after a reported gap the next message reports none, and an old one is still a repetition", () => {
  const order = new PublishedOrder("s1");
  const received = new ReceivedOrder();
  const first = published(order);
  received.receive(first);
  published(order);
  received.gapReported();
  assert.equal(received.receive(first), "repeated");
  assert.equal(received.receive(published(order)), "next");
});

Deno.test("a gap directly after a reported one is reported, too", () => {
  const order = new PublishedOrder("s1");
  const received = new ReceivedOrder();
  const texts = Array.from({ length: 8 }, () => published(order));
  const receive = (place: number) => {
    const verdict = received.receive(texts[place]!);
    if (verdict === "hole") received.gapReported();
    return verdict;
  };
  assert.deepEqual([0, 2, 4, 5, 7].map(receive), ["next", "hole", "hole", "next", "hole"]);
});

Deno.test("a late message is a repetition, for any number of gaps reported meanwhile", () => {
  const order = new PublishedOrder("s1");
  const received = new ReceivedOrder();
  const late = published(order);
  assert.equal(received.receive(published(order)), "next");
  for (let gap = 0; gap < 3; gap++) received.gapReported();
  assert.equal(received.receive(late), "repeated");
});

Deno.test("interleaved publishers are tracked separately, for any names", () => {
  const names = ["s", "s1", "s12", "t1"];
  const message = fc.tuple(fc.constantFrom(...names), fc.nat(9), fc.nat(9));
  fc.assert(fc.property(fc.array(message, { maxLength: 40 }), (all) => {
    const together = new ReceivedOrder();
    const alone = new Map(names.map((name) => [name, new ReceivedOrder()]));
    for (const [name, before, number] of all) {
      const text = `${name} ${before} ${number}`;
      assert.equal(together.receive(text), alone.get(name)!.receive(text), text);
    }
  }));
});

Deno.test("a room that its publisher has evicted reports no gap, and no repetition", () => {
  const order = new PublishedOrder("s1");
  const received = new ReceivedOrder();
  const first = published(order);
  assert.equal(received.receive(first), "next");
  for (let room = 0; room < 20_000; room++) {
    published(order, roomSubject("in", "acme", `r${room}`));
  }
  assert.equal(received.receive(published(order)), "next");
  assert.equal(received.receive(first), "repeated");
});

Deno.test("a text that no Shield has written is ignored", () => {
  const received = new ReceivedOrder();
  received.receive("s1 0 5");
  fc.assert(fc.property(fc.string(), (text) => {
    assert.ok(["next", "repeated", "hole"].includes(received.receive(text)));
  }));
  const strange = ["", " ", "s1", "s1 6", "s1 6 ", "s1 -1 5", "s1 1 2x", "s1 1e0 5", "s1 0x1 5"];
  for (const text of [...strange, "s1  5", " 1 5", "s1 1 5 9", "s1 x 7", "s1 9 7", "s1 5 NaN"]) {
    assert.equal(received.receive(text), "next", JSON.stringify(text));
  }
  assert.equal(received.receive("s1 5 6"), "next");
  assert.equal(received.receive("s1 5 6"), "repeated");
});
