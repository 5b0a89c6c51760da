// A client's position, without a socket: in every order of live and stored messages, answers, GAPs, lost connections,
// moves and slow loops nothing is lost or repeated without a GAP. `sdk/conformance/vectors/positions.json` has each
// single step.
import assert from "node:assert/strict";
import type { Ack } from "@arqon/proto";
import fc from "fast-check";
import { Reading } from "../subscription/replay.ts";
import { checkPosition, Place, type Position, readAnswer } from "./position.ts";

Deno.test("at most 4,096 own messages are remembered", () => {
  const place = new Place(undefined, true);
  for (let offset = 1; offset <= 5_000; offset += 1) place.published(offset);
  assert.equal(place.deliver(1), true);
  assert.equal(place.deliver(5_000), false);
});

Deno.test("an invalid position is a TypeError, and an answer that is not JSON 'malformed-frame'", () => {
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

/** A message of the log with a unique number. */
interface Stored {
  readonly offset: number;
  readonly number: number;
}

type ServerFrame =
  | { kind: "ack"; asked: Position | undefined; offset: number; answer: object }
  | { kind: "message"; offset: number; number: number }
  | { kind: "gap"; reason: string }
  | { kind: "page"; messages: Stored[]; offset: number; epoch: string; more: boolean };

/** A connection: the unread frames of each side. */
class Session {
  readonly asked: ({ sub: Position | undefined } | { after: number })[] = [];
  readonly frames: ServerFrame[] = [];
  /** Whether the room is subscribed: for the bus, and for the client. */
  subscribed = false;
  accepted = false;
}

const PAGE = 3;
const BUFFER = 6;
const RECOVERED = 8;

/** The log of one room on its bus. */
class Bus {
  log: Stored[] = [];
  /** How many messages were published: their numbers. */
  published = 0;
  /** Numbers that an older copy of the log does not have. */
  readonly lost = new Set<number>();
  /** The reported losses. */
  losses = 0;
  #offset = 0;
  #trimmed = 0;
  #epoch = 1;
  /** The offset up to which earlier epochs are the same log. */
  #lives = new Map<string, number>();

  publish(step: number, sessions: readonly Session[]): void {
    this.#offset += step;
    const stored = { offset: this.#offset, number: this.published++ };
    this.log.push(stored);
    for (const { subscribed, frames } of sessions) {
      if (subscribed) frames.push({ kind: "message", ...stored });
    }
  }

  trim(): void {
    this.#trimmed = this.log.shift()?.offset ?? this.#trimmed;
  }

  /** Another life begins, with an older copy of the log if some messages are not in it. */
  restart(missing: number): void {
    for (const { number } of missing ? this.log.splice(-missing) : []) this.lost.add(number);
    if (missing) this.#offset = this.log.at(-1)?.offset ?? this.#trimmed;
    for (const [epoch, last] of this.#lives) this.#lives.set(epoch, Math.min(last, this.#offset));
    this.#lives.set(`e${this.#epoch++}`, this.#offset);
  }

  /** Replaces the log during the subscription. */
  replace(sessions: readonly Session[]): void {
    this.#offset = this.#trimmed = 0;
    this.log = [];
    this.#lives.clear();
    this.#epoch++;
    this.losses++;
    for (const { subscribed, frames } of sessions) {
      if (subscribed) frames.push({ kind: "gap", reason: "epoch-changed" });
    }
  }

  /** Answers the next question of a session. */
  serve(session: Session): boolean {
    const asked = session.asked.shift();
    const offset = this.#offset;
    const epoch = `e${this.#epoch}`;
    if (asked && "after" in asked) {
      const behind = this.log.filter((stored) => stored.offset > asked.after);
      const page = { messages: behind.slice(0, PAGE), more: behind.length > PAGE };
      session.frames.push({ kind: "page", ...page, offset, epoch });
    } else if (asked) this.#subscribe(session, asked.sub, offset, epoch);
    return asked !== undefined;
  }

  #subscribe(session: Session, asked: Position | undefined, offset: number, epoch: string): void {
    session.subscribed = true;
    const ack = { kind: "ack", asked, offset } as const;
    if (!asked) return void session.frames.push({ ...ack, answer: { epoch } });
    const after = Number(asked.offset);
    const missed = this.log.filter((stored) => stored.offset > after);
    const reason = asked.epoch !== epoch && after > (this.#lives.get(asked.epoch ?? "") ?? -1)
      ? "epoch-changed"
      : after > offset
      ? "offset-ahead"
      : after < this.#trimmed
      ? "history-trimmed"
      : missed.length > RECOVERED
      ? "too-many"
      : undefined;
    session.frames.push({ ...ack, answer: { epoch, recovered: reason === undefined, reason } });
    if (reason) this.losses++;
    else session.frames.push(...missed.map((stored) => ({ kind: "message", ...stored }) as const));
  }
}

/** One client with one loop that reads on request. */
class Client {
  readonly bus: Bus;
  readonly place = new Place(undefined, false);
  present = new Session();
  next: Session | undefined;
  /** The loop's items: numbers of messages, and "gap". */
  readonly received: (number | "gap")[] = [];
  overflows = 0;
  #buffer: (number | "gap")[] = [];
  #full = false;
  #reading: Reading | undefined;
  #page: (ServerFrame & { kind: "page" }) | "asked" | undefined;
  #due = true;

  constructor(bus: Bus, from_start: boolean) {
    this.bus = bus;
    this.place.reading = from_start;
    if (from_start) this.#reading = new Reading(this.place, 0, false);
    this.send(this.present);
  }

  get sessions(): Session[] {
    return this.next ? [this.present, this.next] : [this.present];
  }

  send(session: Session): void {
    session.asked.push({ sub: this.place.asked(session) });
  }

  drop(): void {
    this.present = new Session();
    this.next = undefined;
    if (this.#page === "asked") this.#page = undefined;
    this.send(this.present);
  }

  move(): void {
    if (this.next) return this.cross();
    this.next = new Session();
    this.send(this.next);
  }

  cross(): void {
    if (!this.next) return;
    // Unanswered requests of the old session are repeated on the new one.
    if (this.#page === "asked") this.#page = undefined;
    this.present = this.next;
    this.next = undefined;
    this.#complete(this.present);
  }

  /** Handles the next frame of a session. */
  arrive(session: Session): boolean {
    const frame = session.frames.shift();
    if (frame?.kind === "ack") {
      session.accepted = true;
      const lost = this.place.accepted(session, frame.asked, frame, frame.answer);
      if (lost !== undefined) this.#push("gap");
      this.#complete(session);
    } else if (frame?.kind === "message") {
      const counts = this.place.follows(session) && this.place.deliver(frame.offset);
      if (counts) this.#push(frame.number);
    } else if (frame?.kind === "gap") {
      if (this.place.gap(session, frame.reason)) this.#push("gap");
      this.#complete(session);
    } else if (frame?.kind === "page" && session === this.present) this.#take(frame);
    return frame !== undefined;
  }

  /** Continues the history: requests a page, or delivers one message of it. */
  read(): boolean {
    if (!this.#reading || this.#page === "asked") return false;
    if (this.#page === undefined) {
      this.present.asked.push({ after: this.#reading.after });
      this.#page = "asked";
      return true;
    }
    const { messages, offset, epoch } = this.#page;
    const [stored] = messages;
    if (stored && this.#buffer.length * 2 >= BUFFER) {
      this.#due = true;
      return false;
    }
    messages.shift();
    if (stored && this.place.deliver(stored.offset)) this.#push(stored.number);
    if (messages.length > 0) return true;
    this.#page = undefined;
    if (!this.#due) this.#end(() => this.place.read(offset, epoch, false));
    return true;
  }

  /** The loop reads one item. */
  take(): boolean {
    const item = this.#buffer.shift() ?? (this.#full ? "gap" : undefined);
    if (this.#buffer.length === 0 && item === "gap") this.#full = false;
    if (item !== undefined) this.received.push(item);
    return item !== undefined;
  }

  #take(page: ServerFrame & { kind: "page" }): void {
    const messages = page.messages.map((stored) => ({ ...stored, id: `m${stored.number}` }));
    this.#page = page;
    this.#due = page.more;
    if (!this.#reading?.take({ ...page, messages })) this.#end(() => {});
  }

  #end(leave: () => void): void {
    leave();
    this.#reading = this.#page = undefined;
    for (const session of this.sessions) this.#complete(session);
  }

  #complete(session: Session): void {
    if (session.accepted && this.place.asked(session)) this.send(session);
  }

  #push(item: number | "gap"): void {
    if (this.#buffer.length >= BUFFER) {
      this.#full = true;
      this.overflows++;
      return;
    }
    if (this.#full) this.#buffer.push("gap");
    this.#full = false;
    this.#buffer.push(item);
  }
}

/** Delivers everything, with a loop that keeps up. */
function settle(client: Client): void {
  const turn = () => {
    while (client.take());
    const moved = client.sessions.map((one) => [client.bus.serve(one), client.arrive(one)]);
    return [client.read(), ...moved.flat(), client.take()].includes(true);
  };
  while (turn());
}

const STEPS = fc.oneof(
  { weight: 60, arbitrary: fc.constantFrom("publish", "serve", "arrive", "arrive") },
  { weight: 40, arbitrary: fc.constantFrom("read", "take", "take") },
  { weight: 12, arbitrary: fc.constantFrom("drop", "drop", "move", "sub") },
  { weight: 1, arbitrary: fc.constantFrom("trim", "trim", "restart", "put back", "replace") },
);

function play(client: Client, what: string, number: number): void {
  const { bus, sessions } = client;
  const session = sessions[number % sessions.length]!;
  if (what === "publish") bus.publish(number, sessions);
  if (what === "serve") bus.serve(session);
  if (what === "arrive") client.arrive(session);
  if (what === "read") client.read();
  if (what === "take") client.take();
  if (what === "drop") client.drop();
  if (what === "move") client.move();
  if (what === "sub" && client.present.accepted) client.send(client.present);
  if (what === "trim") bus.trim();
  if (what === "replace") bus.replace(sessions);
  if (what !== "restart" && what !== "put back") return;
  bus.restart(what === "restart" ? 0 : number);
  client.drop();
}

Deno.test("in any order, without a GAP nothing is lost or repeated", () => {
  const outcomes = { recovered: 0, read: 0, gap: 0, clean: 0 };
  const steps = fc.array(fc.tuple(STEPS, fc.integer({ min: 1, max: 3 })), {
    maxLength: 150,
    size: "max",
  });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 8 }), fc.boolean(), steps, (stored, reads, steps) => {
      const bus = new Bus();
      if (reads) { for (let count = 0; count < stored; count++) bus.publish(1, []); }
      const client = new Client(bus, reads);
      if (!reads) settle(client);
      for (const [what, number] of steps) play(client, what, number);
      settle(client);
      bus.publish(1, client.sessions);
      settle(client);
      const { received } = client;
      outcomes.recovered += client.place.recovered ? 1 : 0;
      outcomes[received.includes("gap") ? "gap" : reads ? "read" : "clean"] += received.length > 8
        ? 1
        : 0;
      // The history begins with the oldest stored message.
      const is_cut = steps.some(([what]) => what === "trim" || what === "replace");
      let next = 0;
      let gap = reads && is_cut;
      for (const item of received) {
        if (item !== "gap") {
          assert.ok(item >= next, `${item} after ${next - 1}`);
          while (next < item && bus.lost.has(next)) next++;
          assert.ok(gap || item === next, `${item} without ${next}`);
          next = item + 1;
        }
        gap = item === "gap";
      }
      assert.equal(next, bus.published);
      if (bus.losses + client.overflows === 0) {
        assert.ok(!received.includes("gap"), "nothing was lost");
      }
    }),
    { numRuns: 3_000 },
  );
  assert.ok(Object.values(outcomes).every((count) => count > 100), JSON.stringify(outcomes));
});
