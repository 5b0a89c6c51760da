/**
 * Rows through a fault: messages before it, while it lasts and when it is over, with readers that come back by themselves;
 * then what was heard, stored, journalled and called is judged by `fault_model.ts`.
 */
import { pace } from "../../shared/testing/pace.ts";
import { becomes, insist } from "../../shared/testing/until.ts";
import { isHole, type JournalRecord } from "../../shared/journal/record.ts";
import type { Receiver } from "../hooks/receiver.ts";
import type { Row } from "./factors.ts";
import {
  decisionsWithin,
  type Fact,
  type Harm,
  isHoleRight,
  type Item,
  judgeFacts,
  judgeHook,
  judgeLog,
  judgeReader,
  LATE_READERS,
  type Phase,
  phaseOf,
} from "./fault_model.ts";
import { allHear, type LiveReader, openLate, openLive, PROBE } from "./fault_readers.ts";
import { END, END_DATA, messagesOf, type Sent } from "./model.ts";
import type { Place, Seat } from "./readers.ts";
import { appOf, type Ground, sayRow, tenantOf } from "./run.ts";
import { type Stage, stageOf } from "./stage.ts";
import { openSource, type Source, type Way } from "./sources.ts";

/** What takes longer is not answered any more. */
const TRY_MS = 10_000;
const INSIST_MS = 60_000;
const COUNTED_MS = 20_000;

/** Where rows are struck. */
export interface FaultGround {
  /** Two ways in: rows take turns in who of them publishes and who hears. */
  readonly grounds: readonly Ground[];
  readonly harm: Harm;
  /** The number of the first row's tenant; absent: 0. */
  readonly first?: number;
  /** Strikes; resolves when it is over: all processes are there again. */
  strike(): Promise<void>;
}

async function within<T>(work: Promise<T>, limit_ms: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer in ${limit_ms} ms`)), limit_ms);
  work.catch(() => {});
  return await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function closed(source: Source | undefined): Promise<void> {
  try {
    await source?.[Symbol.asyncDispose]();
  } catch {
    // Its connection is gone already.
  }
}

/** One row on its way through the fault. */
class Passage {
  readonly row: Row;
  readonly #stage: Stage;
  readonly #harm: Harm;
  readonly #facts: Fact[] = [];
  readonly #live: { kind: Row["first"]; reader: LiveReader }[] = [];
  readonly #begun_ms = Date.now();
  readonly #opened_all: Promise<Source | undefined>[] = [];
  #source: Source | undefined;
  #first: Place = { offset: 0, epoch: "" };

  constructor(stage: Stage, harm: Harm) {
    this.row = stage.row;
    this.#stage = stage;
    this.#harm = harm;
  }

  get #kinds(): Row["first"][] {
    return [this.row.first, this.row.second];
  }

  async open(): Promise<void> {
    for (const [at, kind] of this.#kinds.entries()) {
      const reader = await openLive(kind, this.#seat(at));
      if (reader !== undefined) this.#live.push({ kind, reader });
    }
  }

  #seat(at: number): Seat {
    const { row, bus, admin, tenant, room } = this.#stage;
    const app_key = appOf(tenant).key;
    return { bus, admin, tenant, room, user: `reader-${at}`, row, own: undefined, app_key };
  }

  /** Publishes the messages of a phase, one after the other. */
  async publish(phase: Phase): Promise<void> {
    const messages = messagesOf(this.row).filter(({ place }) => phaseOf(place) === phase);
    for (const message of messages) {
      this.#facts.push(await this.#send(message, phase !== 1 || this.row.twice === "yes"));
      // While it lasts, so do the messages.
      if (phase === 1) await pace(50);
    }
  }

  async #send(message: Sent, insists: boolean): Promise<Fact> {
    const begun_ms = performance.now();
    for (let tries = 1;; tries++) {
      const outcome = await this.#try(message);
      const { place } = message;
      const is_late = performance.now() - begun_ms > INSIST_MS;
      if (outcome !== undefined || !insists || is_late) return { place, tries, outcome };
      await pace(50);
    }
  }

  /** undefined: nobody answered, or the bus cannot take it now. */
  async #try(message: Sent): Promise<string | undefined> {
    const { entry: bus, ...stage } = this.#stage;
    const way = { ...stage, bus, app: appOf(stage.tenant), own: undefined };
    try {
      this.#source ??= await within(this.#opened(way), TRY_MS);
      const [{ refusal: outcome } = { refusal: "" }] = await within(
        this.#source.publish([message]),
        TRY_MS,
      );
      // The SDK says 408 itself of what nobody answered.
      return /^5|^408 answer-timeout/.test(outcome) ? undefined : outcome;
    } catch {
      await this.#drop();
      return undefined;
    }
  }

  /** A source; one that comes too late is closed at the end. */
  async #opened(way: Way): Promise<Source> {
    const opening = openSource(way);
    this.#opened_all.push(opening.catch(() => undefined));
    return await opening;
  }

  async #drop(): Promise<void> {
    await closed(this.#source);
    this.#source = undefined;
  }

  /** All readers hear what is published now. */
  async settle(): Promise<void> {
    await allHear(this.#live.map(({ reader }) => reader), () => this.#say(PROBE));
  }

  async #say(data: object, message_id?: string): Promise<boolean> {
    const message = { type: "end", data, ...(message_id === undefined ? {} : { message_id }) };
    try {
      const said = this.#stage.backend.call("POST", `rooms/${this.#stage.room}/messages`, message);
      return (await within(said, TRY_MS)).status === 200;
    } catch {
      return false;
    }
  }

  /** The end, and what is wrong. */
  async judge(): Promise<string[]> {
    const { row } = this.#stage;
    const harm = this.#harm;
    const late: { kind: Row["first"]; reader: Awaited<ReturnType<typeof openLate>> }[] = [];
    await using stack = new AsyncDisposableStack();
    if (row.log !== "plain") this.#first = (await this.#history()).first;
    for (const [at, kind] of this.#kinds.entries()) {
      if (!LATE_READERS.includes(kind)) continue;
      const reader = stack.use(await openLate(kind, this.#seat(at), this.#first));
      late.push({ kind, reader });
    }
    await this.publish(2);
    await insist("the end is taken", async () => {
      if (!await this.#say(END_DATA, `m-${END}`)) throw new Error("it is not");
    });
    const wrong = judgeFacts(row, this.#facts);
    for (const { kind, reader } of [...this.#live, ...late]) {
      const items = await within(Promise.resolve(reader.heard()), INSIST_MS) as Item[];
      wrong.push(
        ...judgeReader(row, kind, harm, this.#facts, items).map((one) => this.#with(one, items)),
      );
    }
    wrong.push(...await this.#judgeLog());
    wrong.push(...await this.#judgeJournal());
    wrong.push(...await this.#judgeHook());
    return wrong;
  }

  #with(fact: string, items: readonly Item[]): string {
    const facts = this.#facts.map(({ place, tries, outcome }) =>
      `${place}:${outcome === "" ? "taken" : outcome ?? "?"}${tries > 1 ? `/${tries}` : ""}`
    );
    const heard = items.map((item) =>
      "text" in item ? item.text.slice(0, 12) : JSON.stringify(item)
    );
    return `${fact}; sent ${facts.join(" ")}; heard ${heard.join(" ")}`;
  }

  async #history(): Promise<{ texts: string[]; first: Place }> {
    const { body } = await this.#stage.backend.call(
      "GET",
      `rooms/${this.#stage.room}/messages?limit=1000`,
    );
    const { messages, epoch } = body.result ?? body;
    const own = messages.filter(({ type }: { type: string }) => type !== "end");
    const texts = own.map(({ data }: { data: unknown }) => JSON.stringify(data));
    return { texts, first: { offset: own[0]?.offset ?? 0, epoch } };
  }

  async #judgeLog(): Promise<string[]> {
    if (this.row.log === "plain") return [];
    const { texts } = await this.#history();
    return judgeLog(this.row, this.#facts, texts).map((one) => this.#with(one, []));
  }

  async #judgeJournal(): Promise<string[]> {
    const { admin, tenant, row } = this.#stage;
    let wrong: string[] = [];
    await becomes(async () => {
      const lines = await admin.journal(tenant);
      // A question without `since_ms` is told of all that ever was.
      const holes = lines.filter(isHole).filter(({ hole }) => hole.to_ms >= this.#begun_ms)
        .map(({ hole }) => hole.why);
      const records = lines.filter((line): line is JournalRecord => !isHole(line));
      wrong = holes.filter((why) => !isHoleRight(this.#harm, why))
        .map((why) => `the journal has a hole: ${why}`);
      for (const fact of this.#facts) {
        const count = records.filter(({ message_id }) => message_id === `m-${fact.place}`).length;
        const { least, most } = decisionsWithin(row, fact, holes.length > 0);
        if (count >= least && count <= most) continue;
        wrong.push(
          `the journal has ${count} decisions of message ${fact.place}, the model: ${least} to ${most}`,
        );
      }
      return wrong.length === 0;
    }, COUNTED_MS);
    return wrong;
  }

  async #judgeHook(): Promise<string[]> {
    const { row, receiver, tenant } = this.#stage;
    if (row.hook === "no") return [];
    const called = () => calledFor(receiver, tenant);
    await becomes(() => called().includes(JSON.stringify(END_DATA)), COUNTED_MS);
    const texts = called().filter((text) =>
      text !== JSON.stringify(END_DATA) && text !== JSON.stringify(PROBE)
    );
    return judgeHook(row, this.#harm, this.#facts, texts).map((one) => this.#with(one, []));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#opened_all) await closed(await opened);
    for (const { reader } of this.#live) await reader[Symbol.asyncDispose]();
  }
}

const calledFor = (receiver: Receiver, tenant: string): string[] =>
  receiver.taken.map(({ body }) => body.data).filter((data) =>
    data.tenant === tenant && data.message !== undefined
  ).map(({ message }) => JSON.stringify(message.data));

/** Runs the rows through one strike of the fault, side by side. Rejects with what was wrong about each. */
export async function runThrough(
  { grounds, harm, strike, first = 0 }: FaultGround,
  rows: readonly Row[],
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const passages = await Promise.all(rows.map(async (row, at) => {
    const stage = await stageOf(grounds[at % grounds.length]!, row, tenantOf(first + at));
    return stack.use(new Passage(stage, harm));
  }));
  const all = (step: (one: Passage) => Promise<unknown>) => Promise.all(passages.map(step));
  await all((one) => one.open());
  await all((one) => one.publish(0));
  await all((one) => one.settle());
  await Promise.all([strike(), all((one) => one.publish(1))]);
  await all((one) => one.settle());
  const wrong = await Promise.all(passages.map(async (one, at) => {
    const found = await one.judge().catch((error: Error) => [`${error.stack}`]);
    return found.length === 0 ? [] : [`row ${at}, ${sayRow(one.row)}\n  ${found.join("\n  ")}`];
  }));
  const said = wrong.flat();
  if (said.length > 0) {
    throw new Error(`${said.length} of ${rows.length} rows:\n${said.join("\n")}`);
  }
}
