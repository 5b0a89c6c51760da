/** One room on a walk: performs its operations, and compares the results with the model. */
import { pace } from "../../shared/testing/pace.ts";
import { insist } from "../../shared/testing/until.ts";
import type { TestBus } from "../harness/test_bus.ts";
import type { Row } from "../model/factors.ts";
import {
  type Claim,
  type Fact,
  type Harm,
  isConflated,
  isGapRight,
  judgeFact,
  judgeItems,
  judgeLog,
  mayMiss,
  placesOf,
  timesOf,
} from "../model/fault_model.ts";
import { Publisher, saySomething } from "../model/fault_publisher.ts";
import { allReceive, type LiveReader, openLate, openLive } from "../model/fault_readers.ts";
import { compareHook, compareJournal, logOf } from "../model/fault_run.ts";
import { END_DATA, isLetThrough, messageOf, whyOf } from "../model/model.ts";
import { replayed, whyOutcome } from "../model/observers.ts";
import { judgeProof } from "../model/proofs.ts";
import type { Seat } from "../model/reading.ts";
import { appOf } from "../model/run.ts";
import { ban, type Ground, setClass, type Stage, stageOf, unban } from "../model/stage.ts";
import { openText } from "../peers/raw_client.ts";
import { eventSource, pusherJs } from "./foreign_readers.ts";
import { Growing } from "./growing.ts";
import { judgeFuel, judgeUse, type Kill, UseBook } from "./usage.ts";
import { People } from "./people/people.ts";
import { ProofReaders } from "./proof.ts";
import { type AskedOf, judgeWhy } from "./why.ts";
import { ANONYMOUS, LATE, type LiveKind, MESSAGES_MAX, type Op } from "./plan.ts";

/** Readers of a room at a time. */
const READERS_MAX = 5;
/** Between two messages during a fault. */
const PAUSE_MS = 120;
const INSIST_MS = 60_000;

/** docs/errors.md: an operation answered with 503 may be retried; on a busy machine that happens without a fault. */
const patiently = <T>(work: () => Promise<T>): Promise<T> =>
  insist(
    "the bus can do it",
    work,
    (error) => /\b50\d\b|unavailable|answer-timeout/.test(String(error)),
  );

interface WalkFact extends Fact {
  readonly step: number;
  readonly source: Row["source"];
}

interface Listener {
  readonly kind: LiveKind;
  readonly user: string;
  readonly reader: LiveReader;
  /** It receives what was accepted from this place on; after that offset, if the answers have offsets. */
  readonly from: number;
  readonly after?: number;
  /** Steps in which its connection was cut. */
  readonly cuts: Set<number>;
  /** Its number of items after each step. */
  readonly marks: number[];
  readonly first_step: number;
}

type Publish = Extract<Op, { name: "publish" }>;

/** The room's location. */
export interface RoomPlace {
  readonly sides: readonly Ground[];
  readonly balanced: TestBus | undefined;
  readonly row: Row;
  readonly tenant: string;
}

/** A room, its publisher and its readers. */
export class RoomWalk implements AsyncDisposable {
  readonly row: Row;
  readonly #stage: Stage;
  readonly #outsider: string;
  /** Where readers connect: one Shield or the other, or through a load balancer if there is one. */
  readonly #sides: readonly Ground[];
  readonly #balanced: TestBus | undefined;
  readonly #people: People;
  readonly #growing: Growing;
  readonly #proof: ProofReaders;
  readonly #publisher = new Publisher();
  readonly #facts: WalkFact[] = [];
  readonly #wrong: string[] = [];
  /** The harm of each step. */
  readonly #harms: Harm[] = [];
  readonly #begun_ms = Date.now();
  readonly #book = new UseBook();
  #listeners: Listener[] = [];
  #users = 0;
  #is_banned = false;
  #is_slowed = false;
  operations = 0;

  private constructor(
    stage: Stage,
    outsider: string,
    { sides, balanced }: Pick<RoomPlace, "sides" | "balanced">,
  ) {
    this.row = stage.row;
    this.#stage = stage;
    this.#outsider = outsider;
    this.#sides = sides;
    this.#balanced = balanced;
    const buses = [...sides.map(({ bus }) => bus), ...(balanced === undefined ? [] : [balanced])];
    this.#growing = new Growing(stage, buses);
    this.#proof = new ProofReaders(stage, buses);
    this.#people = new People(stage, buses, balanced !== undefined);
  }

  static async open({ sides, balanced, row, tenant }: RoomPlace): Promise<RoomWalk> {
    const [ground] = sides as [Ground];
    // With a signing key.
    const stage = await stageOf(ground, { ...row, source: "signed" }, tenant);
    const grants = [{ room: stage.room, actions: ["subscribe", "command"] }];
    const claims = { grants };
    const outsider = await ground.entry.tokenFor({ tenant, user: "publisher", claims });
    return new RoomWalk({ ...stage, row }, outsider, { sides, balanced });
  }

  get messages(): number {
    return this.#facts.length;
  }

  /** Performs a step's operations, one after another. */
  async run(ops: readonly Op[], harm: Harm): Promise<void> {
    this.#harms.push(harm);
    this.#is_slowed = Object.keys(harm).length > 0;
    for (const op of ops) {
      this.operations++;
      await (op.name === "publish" ? this.#publish(op) : patiently(() => this.#do(op)));
    }
  }

  async #say(data: object, message_id?: string): Promise<boolean> {
    const sent_ms = Date.now();
    const is_taken = await saySomething(this.#stage, data, message_id);
    this.#book.note(sent_ms, is_taken);
    return is_taken;
  }

  /** The problems of the ledger of use, before clients send other requests. */
  async judgeUse(kills: readonly Kill[]): Promise<string[]> {
    for (const { reader } of this.#listeners) {
      this.#book.received_ms.push(...reader.record.times_ms);
    }
    const wrong = await judgeUse(this.#stage, this.#book, kills);
    const was_killed = this.#harms.some(({ kills_shield }) => kills_shield === true);
    return was_killed ? wrong : [...wrong, ...await judgeFuel(this.#stage)];
  }

  /** All readers receive new messages; then what they received is judged. */
  async settle(): Promise<string[]> {
    const listeners = this.#listeners;
    await allReceive(listeners.map(({ reader }) => reader), (data) => this.#say(data));
    for (const one of listeners) one.marks.push(one.reader.record.items.length);
    const people = await this.#people.settle(this.#harms[this.#step] ?? {});
    const growing = await this.#growing.settle();
    const others = [...people, ...growing, ...this.#proof.settle()];
    return [...this.#wrong, ...others, ...listeners.flatMap((one) => this.#judge(one))];
  }

  get #step(): number {
    return this.#harms.length - 1;
  }

  async #do(op: Exclude<Op, Publish>): Promise<void> {
    switch (op.name) {
      case "grow":
        return await this.#growing.run(op);
      case "verify":
        return this.#proof.begin();
      case "join":
      case "change":
      case "part":
      case "contest":
        return await this.#people.run(op);
      case "ask":
        return await this.#ask(op.pick, op.of);
      case "rush":
        return await this.#rush(op.count);
      case "crowd":
        return await this.#crowd(op.count);
      case "open":
        return await this.#open(op.kind, op.side);
      case "after":
        return await this.#after(op.pick, op.side);
      case "close":
        return await this.#close(op.pick);
      case "cut":
        return this.#cut(op.pick);
      case "ban":
        if (!this.#is_banned) await ban(this.#stage);
        return void (this.#is_banned = true);
      case "unban":
        return await this.#unban();
      case "again":
        return await setClass(this.#stage);
      case "why":
        return await this.#why(op.pick);
      case "log": {
        const { stored } = await logOf(this.#stage);
        return void this.#wrong.push(...judgeLog(this.row, this.#ordered, stored));
      }
    }
  }

  async #publish({ source, count, is_twice, insists, is_ungranted }: Publish): Promise<void> {
    // docs/pusher.md: a backend has its own user.
    const is_banned = this.#is_banned && source !== "pusher";
    const gate = is_ungranted ? "ungranted" : is_banned ? "banned" : this.row.gate;
    const row = { ...this.row, source, gate };
    const size = source === "batch" ? count : 1;
    for (let left = count; left > 0; left -= size) {
      if (this.#facts.length + size > MESSAGES_MAX) return;
      await this.#send(row, size, is_ungranted, insists && !ANONYMOUS.includes(source));
      if (is_twice) await this.#again(row, size, is_ungranted);
      if (this.#is_slowed) await pace(PAUSE_MS);
    }
  }

  /** One attempt to send the messages from that place on. */
  async #try(
    row: Row,
    place: number,
    size: number,
    is_ungranted: boolean,
    { publisher, bus } = { publisher: this.#publisher, bus: this.#stage.entry },
  ) {
    const { tenant, token, ...stage } = this.#stage;
    const more = { token: is_ungranted ? this.#outsider : token, app: appOf(tenant) };
    // The data match the room's own gate, whoever is banned.
    const messages = Array.from({ length: size }, (_, at) => ({
      ...messageOf(this.row, place + at),
      message_id: messageOf(row, place + at).message_id,
    }));
    const sent_ms = Date.now();
    // An SDK retries an unanswered operation automatically.
    const times_max = row.source === "binary" || row.source === "session" ? Infinity : 1;
    const outcomes = await publisher.try(
      { ...stage, row: { ...row, gate: this.row.gate }, bus, tenant, own: undefined, ...more },
      messages,
    );
    for (const one of outcomes) {
      if (one === undefined || one.refusal === "") {
        this.#book.note(sent_ms, one !== undefined, this.#is_slowed ? times_max : 1);
      }
    }
    return outcomes;
  }

  async #send(row: Row, size: number, is_ungranted: boolean, insists: boolean): Promise<void> {
    const first = this.#facts.length;
    const begun_ms = performance.now();
    for (let tries = 1;; tries++) {
      const outcomes = await this.#try(row, first, size, is_ungranted);
      const is_late = performance.now() - begun_ms > INSIST_MS;
      if (insists && !is_late && outcomes.includes(undefined)) {
        await pace(50);
        continue;
      }
      for (const [at, one] of outcomes.entries()) {
        const { refusal: outcome, offset } = one ?? { refusal: undefined, offset: undefined };
        const fact = { place: first + at, tries, outcome, offset };
        this.#facts.push({ ...fact, step: this.#step, source: row.source });
        this.#wrong.push(...judgeFact(row, fact));
        if (insists && outcome === undefined) this.#wrong.push(`message ${first + at}: no answer`);
      }
      return;
    }
  }

  /** Sends them a second time. docs/protocol.md: a duplicate's ACK has the offset of the first. */
  async #again(row: Row, size: number, is_ungranted: boolean): Promise<void> {
    const place = this.#facts.length - size;
    const outcomes = await this.#try(row, place, size, is_ungranted);
    outcomes.forEach((one, at) => {
      const fact = this.#facts[place + at]!;
      this.#facts[place + at] = { ...fact, tries: fact.tries + 1 };
      const { refusal: outcome, offset } = one ?? { refusal: undefined, offset: undefined };
      this.#wrong.push(...judgeFact(row, { ...fact, outcome }));
      if (outcome !== "" || !offset || !fact.offset || offset === fact.offset) return;
      this.#wrong.push(`message ${fact.place} again: offset ${offset}, the model: ${fact.offset}`);
    });
  }

  /** Many at once, at both Shields; each message is retried until it is answered. */
  async #crowd(count: number): Promise<void> {
    const first = this.#facts.length;
    if (first + count > MESSAGES_MAX || this.#is_banned) return;
    const buses = this.#sides.map(({ bus }) => bus);
    const row = { ...this.row, source: "http" } as const;
    const facts = await Promise.all(Array.from({ length: count }, async (_, at) => {
      await using publisher = new Publisher();
      const by = { publisher, bus: buses[at % buses.length]! };
      for (let tries = 1;; tries++) {
        const [one] = await this.#try(row, first + at, 1, false, by);
        if (one === undefined && tries * PAUSE_MS < INSIST_MS) {
          await pace(PAUSE_MS);
          continue;
        }
        const more = { step: this.#step, source: row.source, offset: one?.offset };
        return { place: first + at, tries, outcome: one?.refusal, ...more };
      }
    }));
    this.#facts.push(...facts);
    this.#wrong.push(...facts.flatMap((fact) => judgeFact(row, fact)));
    const offsets = facts.flatMap(({ outcome, offset }) => outcome === "" ? offset ?? 0 : []);
    if (new Set(offsets).size === offsets.length) return;
    this.#wrong.push(`an offset was acknowledged twice: ${offsets.join(" ")}`);
  }

  /** Its leftovers are found by the check that all is idle. */
  async #rush(count: number): Promise<void> {
    const { bus, room, user, tenant } = this.#seat(count);
    using client = await openText(bus.url, await bus.tokenFor({ tenant, user }));
    for (let id = 1; id <= count; id++) {
      client.send({ op: id % 3 === 0 ? "unsub" : "sub", room, presence: id % 2 === 0, id });
    }
    if (count % 2 === 0) return;
    for (let id = 1; id <= count;) if ((await client.json()).id !== undefined) id++;
  }

  /** In the order of the log, as far as that is known. */
  get #ordered(): readonly WalkFact[] {
    if (this.row.log === "plain") return this.#facts;
    let last = 0;
    const keys = this.#facts.map(({ offset }) => {
      last = Math.max(last, offset || 0);
      // Some sources get no offset, and run alone.
      return offset || last;
    });
    return this.#facts.map((fact, at) => [fact, keys[at]!] as const)
      .toSorted(([one, first], [other, second]) => first - second || one.place - other.place)
      .map(([fact]) => fact);
  }

  #seat(side: number): Seat {
    const { admin, tenant, room, row } = this.#stage;
    const { bus } = this.#sides[side % this.#sides.length]!;
    const app_key = appOf(tenant).key;
    const user = `reader-${this.#users++}`;
    return { bus, entry: bus, admin, tenant, room, user, row, own: undefined, app_key };
  }

  async #open(kind: LiveKind, side: number): Promise<void> {
    if (this.#listeners.length === READERS_MAX) return;
    const seat = this.#seat(side);
    const reader =
      await (kind === "eventsource"
        ? eventSource(seat)
        : kind === "pusher_js"
        ? pusherJs(seat)
        : kind === "moved"
        ? openLive("binary", { ...seat, bus: this.#balanced ?? seat.bus })!
        : openLive(kind, seat)!);
    this.#listen(kind, seat.user, reader, this.#facts.length);
  }

  #listen(kind: LiveKind, user: string, reader: LiveReader, from: number, after?: number): void {
    const more = { cuts: new Set<number>(), marks: [], first_step: this.#step };
    const place = after === undefined ? {} : { after };
    this.#listeners.push({ kind, user, reader, from, ...place, ...more });
  }

  async #after(pick: number, side: number): Promise<void> {
    const known = this.#facts.filter(({ outcome, offset }) => outcome === "" && (offset ?? 0) > 0);
    const fact = known[pick % known.length];
    if (fact?.offset === undefined || this.#listeners.length === READERS_MAX) return;
    const { first: { epoch } } = await logOf(this.#stage);
    const seat = this.#seat(side);
    const place = { after_offset: fact.offset, epoch };
    this.#listen(
      "text",
      seat.user,
      await openLive("text", seat, place)!,
      fact.place + 1,
      fact.offset,
    );
  }

  async #close(pick: number): Promise<void> {
    const one = this.#listeners[pick % this.#listeners.length];
    if (one === undefined) return;
    await allReceive([one.reader], (data) => this.#say(data));
    this.#book.received_ms.push(...one.reader.record.times_ms);
    one.marks.push(one.reader.record.items.length);
    this.#wrong.push(...this.#judge(one));
    this.#listeners = this.#listeners.filter((other) => other !== one);
    await one.reader[Symbol.asyncDispose]();
  }

  #cut(pick: number): void {
    const all = this.#listeners.filter(({ reader }) => reader.cut !== undefined);
    const one = all[pick % all.length];
    one?.cuts.add(this.#step);
    one?.reader.cut?.();
  }

  async #unban(): Promise<void> {
    if (!this.#is_banned) return;
    await unban(this.#stage);
    this.#is_banned = false;
  }

  /** Of the latest message, if no fault hit it or the reader. */
  async #why(pick: number): Promise<void> {
    const listeners = this.#listeners.filter(({ kind, cuts }) =>
      kind !== "poll" && kind !== "eventsource" && kind !== "pusher_js" && cuts.size === 0
    );
    const one = listeners[pick % listeners.length];
    const fact = this.#facts.findLast(({ outcome, source }) =>
      outcome === "" && !ANONYMOUS.includes(source)
    );
    if (one === undefined || fact === undefined || fact.place < one.from) return;
    if (fact.step < one.first_step || fact.step !== this.#step || fact.tries > 1) return;
    const wanted = one.kind === "filter" && !isLetThrough(fact.place)
      ? "left_out filter"
      : whyOf(this.row, "text", fact.place);
    const { is_known, outcome } = await whyOutcome(this.#stage, `m-${fact.place}`, one.user);
    if (is_known && outcome === wanted) return;
    this.#wrong.push(
      `why of message ${fact.place} for ${one.kind}: ${outcome}, the model: ${wanted}`,
    );
  }

  /** Of any message, and any reader that the bus knows by its connections. */
  async #ask(pick: number, of: number): Promise<void> {
    const listeners = this.#listeners.filter(({ kind }) =>
      !["poll", "eventsource", "pusher_js", "pattern"].includes(kind)
    );
    const one = listeners[pick % listeners.length];
    const fact = this.#facts[of % this.#facts.length];
    if (one === undefined || fact === undefined || ANONYMOUS.includes(fact.source)) return;
    // Messages of this step may be in flight, and so may those that a reader of this step catches up with.
    if (fact.step === this.#step || one.first_step === this.#step) return;
    const { kind, user, from, after, first_step, reader: { record: { items } } } = one;
    const placeOf = placesOf(this.row, "text", this.#facts);
    const steps = Array.from({ length: this.#step + 1 - fact.step }, (_, at) => fact.step + at);
    const since = steps.reduce((all, step) => ({ ...all, ...this.#harmOf(one, step) }), {} as Harm);
    const more = { user, harm: this.#harmOf(one, fact.step), since };
    const is_there = first_step < fact.step;
    const is_caught = after !== undefined || fact.step === first_step || fact.place >= from;
    const asked: AskedOf = {
      ...more,
      fact,
      has_received: items.some((item) => "text" in item && placeOf(item.text) === fact.place),
      lay: is_there ? "there" : is_caught ? "caught up" : "later",
      is_wanted: kind !== "filter" || isLetThrough(fact.place),
    };
    this.#wrong.push(...await judgeWhy(this.#stage, asked));
  }

  /** A step's effect on a reader. */
  #harmOf({ kind, cuts }: Listener, step: number): Harm {
    const facts = this.#harms[step] ?? {};
    // docs/outages.md: before a process ends, clients "move within `[server] drain_ms`", and miss nothing.
    const harm = facts.moves === true && kind === "moved" ? {} : facts;
    return cuts.has(step) ? { ...harm, cuts_clients: true } : harm;
  }

  #judge(one: Listener): string[] {
    const { kind, user, from, after, marks, first_step, reader: { record: { items } } } = one;
    const isThere = (place: number) => {
      const { offset } = this.#facts[place]!;
      return after === undefined || !offset ? place >= from : offset > after;
    };
    // docs/pusher.md: its clients have no positions.
    const row = kind === "pusher_js" ? { ...this.row, log: "plain" } as const : this.row;
    const harmAt = (place: number) => this.#harmOf(one, this.#facts[place]!.step);
    const claim: Claim = {
      kind: `${kind} of ${user}`,
      placeOf: placesOf(this.row, "text", this.#facts),
      offsetOf: (place) => this.#facts[place]!.offset || undefined,
      isDue: (place) => isThere(place) && (kind !== "filter" || isLetThrough(place)),
      // docs/protocol.md, "Requests and their answers": "What another Shield took just before may still come".
      isOnItsWay: (place) =>
        after === undefined && this.#sides.length > 1 && !isThere(place) &&
        this.#facts[place]!.step === first_step && (kind !== "filter" || isLetThrough(place)),
      isHole: (place, item) => mayMiss(row, harmAt(place)) || isConflated(row, item),
      timesOf: (place, tries) =>
        timesOf({ ...row, source: this.#facts[place]!.source }, harmAt(place), tries),
      isGapRight: (at, item) => {
        if (isConflated(row, item)) return true;
        const mark = marks.findIndex((count) => at < count);
        return isGapRight(row, kind, this.#harmOf(one, first_step + mark), item);
      },
    };
    return judgeItems(claim, this.#ordered, items).map((fact) => this.#with(fact, one));
  }

  #with(fact: string, { from, marks, first_step, reader }: Listener): string {
    const place = Number(/message (\d+)/.exec(fact)?.[1]);
    const sent = this.#facts.filter((one) => Math.abs(one.place - place) < 4).map((one) => {
      const outcome = one.outcome === "" ? "taken" : one.outcome ?? "?";
      const offset = one.offset ? ` at ${one.offset}` : "";
      return `${one.place}:${outcome}/${one.tries}${offset} by ${one.source} in step ${one.step}`;
    });
    const placeOf = placesOf(this.row, "text", this.#facts);
    const received = reader.record.items.map((item, at) => {
      const step = marks.includes(at) ? `|${first_step + marks.indexOf(at)}| ` : "";
      return `${step}${"text" in item ? placeOf(item.text) ?? "?" : JSON.stringify(item)}`;
    });
    return `${fact}; there from message ${from} on; sent ${sent.join(" ")}; heard ${
      received.join(" ")
    }`;
  }

  /** The end: judges late readers, the log, the journal and the hook. */
  async end(): Promise<string[]> {
    const { row } = this;
    await using stack = new AsyncDisposableStack();
    const others = [...await this.#people.end(), ...await this.#growing.end()];
    const first = { offset: 0, epoch: "" };
    const kinds = row.log === "plain" ? [] : LATE;
    const late = await Promise.all(kinds.map(async (kind, side) => {
      const reader = await patiently(() => openLate(kind, this.#seat(side), first));
      return [kind, stack.use(reader)] as const;
    }));
    await insist("the end is taken", async () => {
      if (!await this.#say(END_DATA, "m-end")) throw new Error("it is not");
    });
    const wrong = row.log === "plain"
      ? []
      : judgeLog(row, this.#ordered, (await patiently(() => logOf(this.#stage))).stored);
    for (const [kind, reader] of late) {
      const items = await patiently(() => reader.received());
      wrong.push(...judgeLog(row, this.#ordered, items).map((fact) => `${kind}: ${fact}`));
    }
    const harm = this.#harms.reduce((all, one) => ({ ...all, ...one }), {});
    const named = this.#facts.filter(({ source }) => !ANONYMOUS.includes(source));
    wrong.push(...await compareJournal(this.#stage, harm, named, this.#begun_ms));
    wrong.push(...await compareHook(this.#stage, harm, this.#ordered));
    wrong.push(...await judgeProof(this.#stage), ...await this.#proof.end());
    const { tenant } = this.#stage;
    await replayed(this.#stage, [{ row, tenant }], true)
      .catch(({ message }) => void wrong.push(message));
    return [...others, ...wrong];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#people[Symbol.asyncDispose]();
    await this.#growing[Symbol.asyncDispose]();
    await this.#proof[Symbol.asyncDispose]();
    await this.#publisher[Symbol.asyncDispose]();
    for (const { reader } of this.#listeners) await reader[Symbol.asyncDispose]();
  }
}
