// Where a client stands, without a socket: what it asks for, what it drops, and that whatever happens
// to room and connection nothing is lost or repeated without a GAP.
import assert from "node:assert/strict";
import type { Ack } from "@arqon/proto";
import fc from "fast-check";
import { checkPosition, Place, type Position, readAnswer } from "./position.ts";

interface Standing {
  offset: number;
  epoch: string;
  recovered?: boolean;
  reason?: string;
}

function accept(place: Place, asked: Position | undefined, standing: Standing | undefined) {
  const result = new TextEncoder().encode(standing === undefined ? "" : JSON.stringify(standing));
  const none = { request_id: 1, code: 0, reason: "", message: "", retry_after_ms: 0 };
  const ack: Ack = { ...none, offset: standing?.offset ?? 0, result };
  return place.accepted(asked, ack, readAnswer(ack));
}

/** A place after a SUB without a position. */
function placeAt(offset: number, epoch = "e1", no_echo = false): Place {
  const place = new Place(undefined, no_echo);
  assert.equal(accept(place, undefined, { offset, epoch }), undefined);
  return place;
}

Deno.test("the position is the ACK's, then follows what is delivered", () => {
  const place = placeAt(7);
  assert.deepEqual(place.position, { offset: 7, epoch: "e1" });
  assert.equal(place.recovered, undefined);
  assert.deepEqual([9, 12, 12, 9, 0, 13].map((offset) => place.deliver(offset)), [
    ...[true, true, false, false, true, true],
  ]);
  assert.deepEqual(place.asked, { offset: 13, epoch: "e1" });
});

Deno.test("after a recovery the position stays until the missed messages come", () => {
  const place = placeAt(7);
  const { asked } = place;
  const standing = { offset: 20, epoch: "e1", recovered: true };
  assert.equal(accept(place, asked, standing), undefined);
  assert.deepEqual([place.recovered, place.position?.offset], [true, 7]);
  assert.equal(place.deliver(10), true);
  assert.deepEqual(place.asked, { offset: 10, epoch: "e1" });
  assert.equal(accept(place, place.asked, standing), undefined);
  assert.deepEqual([10, 15, 20, 21].map((offset) => place.deliver(offset)), [
    ...[false, true, true, true],
  ]);
});

Deno.test("what could not be recovered is told with its reason, and the position is the ACK's", () => {
  for (const reason of ["epoch-changed", "history-trimmed", "too-many", "offset-ahead"]) {
    const place = placeAt(7);
    place.deliver(8);
    const epoch = reason === "epoch-changed" ? "e2" : "e1";
    // A new log may stand at the very offset that was heard of the old one.
    const offset = reason === "offset-ahead" ? 3 : reason === "epoch-changed" ? 8 : 30;
    const standing = { offset, epoch, recovered: false, reason };
    assert.equal(accept(place, place.asked, standing), reason);
    assert.deepEqual([place.recovered, place.position], [false, { offset, epoch }]);
    assert.equal(place.deliver(offset), true, `${reason}: the last message, by cache_last`);
    assert.equal(place.deliver(offset + 1), true);
    assert.equal(place.position?.offset, offset + 1);
  }
});

Deno.test("the last message that cache_last brings is delivered, unless it was heard", () => {
  const place = placeAt(7);
  assert.equal(place.deliver(7), true);
  assert.equal(accept(place, place.asked, { offset: 7, epoch: "e1", recovered: true }), undefined);
  assert.equal(place.deliver(7), false);
  const from = new Place({ offset: 7, epoch: "e1" }, false);
  assert.equal(accept(from, from.asked, { offset: 7, epoch: "e1", recovered: true }), undefined);
  assert.equal(from.deliver(7), false, "the program has it from before");
});

Deno.test("a SUB that changes options says nothing of the position", () => {
  const place = placeAt(7);
  assert.equal(accept(place, place.asked, { offset: 20, epoch: "e1", recovered: true }), undefined);
  assert.equal(accept(place, undefined, { offset: 25, epoch: "e1" }), undefined);
  assert.equal(place.position?.offset, 7);
});

Deno.test("a change of the log that the bus tells: the position stays until an ACK has the epoch", () => {
  const place = placeAt(1);
  const { asked } = place;
  place.changed();
  assert.deepEqual(place.asked, asked, "to be told what was lost, should the connection drop now");
  assert.equal(accept(place, undefined, { offset: 2, epoch: "e2" }), undefined);
  assert.deepEqual(place.asked, asked, "the ACK of a SUB that asked before");
  assert.equal(place.deliver(2), true);
  assert.deepEqual([place.asked, place.epoch], [asked, ""], "as long as no ACK has told the epoch");
  const standing = { offset: 3, epoch: "e2", recovered: false, reason: "epoch-changed" };
  assert.equal(accept(place, asked, standing), "epoch-changed");
  assert.equal(place.deliver(2), false, "it came before the answer");
  assert.deepEqual(place.position, { offset: 3, epoch: "e2" });
});

Deno.test("a room that is not durable has no position; one that becomes durable has no epoch at first", () => {
  const place = new Place(undefined, false);
  assert.equal(accept(place, undefined, undefined), undefined);
  assert.equal(place.asked, undefined);
  assert.equal(place.deliver(0), true);
  assert.equal(place.deliver(5), true);
  assert.deepEqual(place.asked, { offset: 5 });
  assert.equal(accept(place, place.asked, { offset: 6, epoch: "e1", recovered: true }), undefined);
  assert.deepEqual(place.asked, { offset: 5, epoch: "e1" });
  assert.equal(accept(place, place.asked, undefined), "reconnect", "a Shield that did not mind");
  assert.equal(place.asked, undefined);
});

Deno.test("own messages that come back by a recovery are known by their offsets, if there is no_echo", () => {
  for (const no_echo of [true, false]) {
    const place = placeAt(7, "e1", no_echo);
    for (const offset of [0, 8, 10]) place.published(offset);
    const standing = { offset: 11, epoch: "e1", recovered: true };
    assert.equal(accept(place, place.asked, standing), undefined);
    const heard = [8, 9, 10, 11].filter((offset) => place.deliver(offset));
    assert.deepEqual(heard, no_echo ? [9, 11] : [8, 9, 10, 11]);
    assert.equal(place.position?.offset, 11);
  }
  const busy = placeAt(0, "e1", true);
  for (let offset = 1; offset <= 5_000; offset += 1) busy.published(offset);
  assert.equal(busy.deliver(1), true, "no more than 4,096 are remembered");
  assert.equal(busy.deliver(5_000), false);
});

Deno.test("a position that no SUB can say is a TypeError, and an answer that is no JSON 'malformed-frame'", () => {
  for (const offset of [-1, 0.5, NaN, 2 ** 53, -1n]) {
    assert.throws(() => checkPosition({ offset, epoch: "e" }), /expected an integer/);
  }
  assert.throws(() => checkPosition({ offset: 0 }), /at least 1/);
  assert.throws(() => checkPosition({ offset: 0n, epoch: "" }), /at least 1/);
  for (const position of [{ offset: 0, epoch: "e" }, { offset: 3 }, { offset: 2n ** 60n }]) {
    checkPosition(position);
  }
  for (const result of [new Uint8Array([0xff]), new TextEncoder().encode("{")]) {
    assert.throws(() => readAnswer({ result } as Ack), { reason: "malformed-frame" });
  }
});

type Said =
  | { kind: "ack"; asked: Position | undefined; standing: Standing }
  | { kind: "message"; offset: number; text: number }
  | { kind: "gap" };

/** A room and one client of it; all that the room says goes through a pipe that may break anywhere. */
class World {
  readonly place = new Place(undefined, false);
  /** What the program gets: numbers of messages, and "gap". */
  readonly heard: (number | "gap")[] = [];
  #pipe: Said[] = [];
  #log: { offset: number; text: number }[] = [];
  #epoch = 1;
  #offset = 0;
  #trimmed = 0;
  #told = false;
  published = 0;

  constructor() {
    this.subscribe();
  }

  publish(step: number): void {
    this.#offset += step;
    const entry = { offset: this.#offset, text: this.published++ };
    this.#log.push(entry);
    this.#pipe.push({ kind: "message", ...entry });
  }

  trim(): void {
    this.#trimmed = this.#log.shift()?.offset ?? this.#trimmed;
  }

  /** Another log, and what is said from now on is of it. */
  restart(): void {
    this.#epoch += 1;
    this.#offset = this.#trimmed = 0;
    this.#log = [];
    this.#pipe.push({ kind: "gap" });
  }

  drop(): void {
    this.#pipe = [];
    this.subscribe();
  }

  subscribe(): void {
    const { asked } = this.place;
    const offset = this.#offset;
    const standing: Standing = { offset, epoch: `e${this.#epoch}` };
    if (asked === undefined) return void this.#pipe.push({ kind: "ack", asked, standing });
    const reason = asked.epoch !== undefined && asked.epoch !== standing.epoch
      ? "epoch-changed"
      : asked.offset > offset
      ? "offset-ahead"
      : asked.offset < this.#trimmed
      ? "history-trimmed"
      : "";
    const outcome = reason === "" ? { recovered: true } : { recovered: false, reason };
    this.#pipe.push({ kind: "ack", asked, standing: { ...standing, ...outcome } });
    if (reason !== "") return;
    for (const entry of this.#log) {
      if (entry.offset > asked.offset) this.#pipe.push({ kind: "message", ...entry });
    }
  }

  /** One thing that the room said arrives; false: there is nothing more. */
  arrive(): boolean {
    const said = this.#pipe.shift();
    if (said?.kind === "gap") {
      this.heard.push("gap");
      this.place.changed();
      this.#told = true;
      this.subscribe();
    } else if (said?.kind === "message") {
      if (this.place.deliver(said.offset)) this.heard.push(said.text);
      this.#told = false;
    } else if (said !== undefined) {
      const missing = accept(this.place, said.asked, said.standing);
      if (missing !== undefined && !this.#told) this.heard.push("gap");
    }
    return said !== undefined;
  }
}

Deno.test("whatever happens to room and connection, without a GAP nothing is lost or repeated", () => {
  const step = fc.oneof(
    { weight: 80, arbitrary: fc.constantFrom("publish", "arrive", "arrive") },
    { weight: 20, arbitrary: fc.constantFrom("drop", "drop", "sub") },
    { weight: 1, arbitrary: fc.constantFrom("trim", "trim", "restart") },
  );
  const outcomes = { recovered: 0, gap: 0, clean: 0 };
  fc.assert(
    fc.property(
      fc.array(fc.tuple(step, fc.integer({ min: 1, max: 3 })), { maxLength: 120, size: "max" }),
      (steps) => {
        const world = new World();
        while (world.arrive());
        for (const [what, number] of steps) {
          if (what === "publish") world.publish(number);
          if (what === "arrive") world.arrive();
          if (what === "drop") world.drop();
          if (what === "trim") world.trim();
          if (what === "sub") world.subscribe();
          if (what === "restart") world.restart();
        }
        world.drop();
        world.publish(1);
        while (world.arrive());
        outcomes.recovered += world.place.recovered ? 1 : 0;
        outcomes[world.heard.includes("gap") ? "gap" : "clean"] += world.published > 10 ? 1 : 0;
        let next = 0;
        let gap = false;
        for (const item of world.heard) {
          if (item === "gap") gap = true;
          else {
            assert.ok(gap ? item >= next : item === next, `${item} after ${next - 1}`);
            next = item + 1;
            gap = false;
          }
        }
        assert.equal(next, world.published);
      },
    ),
    { numRuns: 2_000 },
  );
  assert.ok(Object.values(outcomes).every((count) => count > 100), JSON.stringify(outcomes));
});
