/**
 * Rows through a fault: messages before, during and after it, with readers that reconnect by themselves; then
 * `fault_model.ts` judges what was received, stored, journaled and called.
 */
import { inspect } from "node:util";
import { pace } from "../../shared/testing/pace.ts";
import { becomes, insist } from "../../shared/testing/until.ts";
import { isHole, type JournalRecord } from "../../shared/journal/record.ts";
import type { Receiver } from "../hooks/receiver.ts";
import { readersOf, type Row } from "./factors.ts";
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
  SET_BACK,
} from "./fault_model.ts";
import { allReceive, isProbe, type LiveReader, openLate, openLive } from "./fault_readers.ts";
import { END, END_DATA, messagesOf, type Sent } from "./model.ts";
import { judgeProof } from "./proofs.ts";
import { isRoomUpdate, type Place, type Seat } from "./reading.ts";
import { appOf, sayRow, tenantOf } from "./run.ts";
import { type Ground, type Stage, stageOf } from "./stage.ts";
import { Publisher, saySomething, within } from "./fault_publisher.ts";

const INSIST_MS = 60_000;
const COUNTED_MS = 20_000;

/** Where the fault is injected. */
export interface FaultGround {
  /** Two addresses of the bus: rows take turns in which one publishes and which one reads. */
  readonly grounds: readonly Ground[];
  readonly harm: Harm;
  /** The number of the first row's tenant; absent: 0. */
  readonly first?: number;
  /** Injects the fault; resolves when all processes run again. */
  strike(): Promise<void>;
}

/** One row through the fault. */
class Passage {
  readonly row: Row;
  readonly #stage: Stage;
  readonly #harm: Harm;
  readonly #facts: Fact[] = [];
  readonly #live: { kind: Row["first"]; reader: LiveReader }[] = [];
  readonly #begun_ms = Date.now();
  readonly #publisher = new Publisher();
  #first: Place = { offset: 0, epoch: "" };

  constructor(stage: Stage, harm: Harm) {
    this.row = stage.row;
    this.#stage = stage;
    this.#harm = harm;
  }

  async open(): Promise<void> {
    for (const [at, kind] of readersOf(this.row).entries()) {
      const reader = await openLive(kind, this.#seat(at));
      if (reader !== undefined) this.#live.push({ kind, reader });
    }
  }

  #seat(at: number): Seat {
    const { row, bus, entry, admin, tenant, room } = this.#stage;
    const user = `reader-${at}`;
    const app_key = appOf(tenant).key;
    return { bus, entry, admin, tenant, room, user, row, own: undefined, app_key };
  }

  /** Publishes the messages of a phase, one after another. */
  async publish(phase: Phase): Promise<void> {
    const messages = messagesOf(this.row).filter(({ place }) => phaseOf(place) === phase);
    for (const message of messages) {
      this.#facts.push(await this.#send(message, phase !== 1 || this.row.twice === "yes"));
      // The messages take as long as the fault does.
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

  async #try(message: Sent): Promise<string | undefined> {
    const { entry: bus, ...stage } = this.#stage;
    const way = { ...stage, bus, app: appOf(stage.tenant), own: undefined };
    const [tried] = await this.#publisher.try(way, [message]);
    return tried?.refusal;
  }

  /** Waits until all readers receive new messages. */
  async settle(): Promise<void> {
    await allReceive(
      this.#live.map(({ reader }) => reader),
      (data) => saySomething(this.#stage, data),
    );
  }

  /** Publishes the end, and returns the problems. */
  async judge(): Promise<string[]> {
    const { row } = this.#stage;
    const harm = this.#harm;
    const late: { kind: Row["first"]; reader: Awaited<ReturnType<typeof openLate>> }[] = [];
    await using stack = new AsyncDisposableStack();
    if (row.log !== "plain") this.#first = (await logOf(this.#stage)).first;
    for (const [at, kind] of readersOf(this.row).entries()) {
      if (!LATE_READERS.includes(kind)) continue;
      const reader = stack.use(await openLate(kind, this.#seat(at), this.#first));
      late.push({ kind, reader });
    }
    await this.publish(2);
    await insist("the end is taken", async () => {
      if (!await saySomething(this.#stage, END_DATA, `m-${END}`)) throw new Error("it is not");
    });
    const wrong = judgeFacts(row, this.#facts);
    for (const { kind, reader } of [...this.#live, ...late]) {
      const items = await within(Promise.resolve(reader.received()), INSIST_MS) as Item[];
      wrong.push(
        ...judgeReader(row, kind, harm, this.#facts, items).map((one) => this.#with(one, items)),
      );
    }
    wrong.push(...await this.#judgeLog());
    wrong.push(...await compareJournal(this.#stage, harm, this.#facts, this.#begun_ms));
    const calls = await compareHook(this.#stage, harm, this.#facts);
    wrong.push(...calls.map((one) => this.#with(one, [])));
    return [...wrong, ...await judgeProof(this.#stage)];
  }

  #with(fact: string, items: readonly Item[]): string {
    const facts = this.#facts.map(({ place, tries, outcome }) =>
      `${place}:${outcome === "" ? "taken" : outcome ?? "?"}${tries > 1 ? `/${tries}` : ""}`
    );
    const received = items.map((item) =>
      "text" in item ? item.text.slice(0, 12) : JSON.stringify(item)
    );
    return `${fact}; sent ${facts.join(" ")}; heard ${received.join(" ")}`;
  }

  async #judgeLog(): Promise<string[]> {
    if (this.row.log === "plain") return [];
    const { stored } = await logOf(this.#stage);
    return judgeLog(this.row, this.#facts, stored).map((one) => this.#with(one, []));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#publisher[Symbol.asyncDispose]();
    for (const { reader } of this.#live) await reader[Symbol.asyncDispose]();
  }
}

/** The row's messages in the room's log, and the place of the first one. */
export async function logOf({ backend, room }: Stage): Promise<{ stored: Item[]; first: Place }> {
  const { messages, epoch } = await backend.history(room);
  const own = messages.filter(({ type }) => type !== "end" && !isRoomUpdate(type));
  const stored = own.map(({ data, offset }) => ({ text: JSON.stringify(data), offset }));
  return { stored, first: { offset: own[0]?.offset ?? 0, epoch } };
}

/** Whether one of the decisions about a message matches the sender's answer. */
const isAsAnswered = (outcome: string, decided: readonly JournalRecord[]): boolean =>
  decided.some(({ allowed, code, reason }) => outcome === (allowed ? "" : `${code} ${reason}`));

/** Compares the journal's decisions with the model. */
export async function compareJournal(
  { admin, tenant, row }: Stage,
  harm: Harm,
  facts: readonly Fact[],
  since_ms: number,
): Promise<string[]> {
  let wrong: string[] = [];
  await becomes(async () => {
    const lines = await admin.journal(tenant);
    // Without `since_ms` the answer has all holes since the beginning.
    const holes = lines.filter(isHole).filter(({ hole }) => hole.to_ms >= since_ms)
      .map(({ hole }) => hole.why);
    const records = lines.filter((line): line is JournalRecord => !isHole(line));
    const counts = Map.groupBy(records, ({ message_id }) => message_id);
    const has_hole = holes.some((why) => why !== SET_BACK);
    wrong = holes.filter((why) => !isHoleRight(harm, why))
      .map((why) => `the journal has a hole: ${why}`);
    if (new Set(records.map(({ id }) => id)).size < records.length) {
      wrong.push("the journal has a record twice");
    }
    for (const fact of facts) {
      const { place, outcome } = fact;
      const decided = counts.get(`m-${place}`) ?? [];
      const { least, most } = decisionsWithin(row, fact, has_hole);
      if (decided.length < least || decided.length > most) {
        wrong.push(
          `the journal has ${decided.length} decisions of message ${place}, the model: ${least} to ${most}`,
        );
      }
      if (
        outcome === undefined || has_hole || decided.length === 0 || isAsAnswered(outcome, decided)
      ) continue;
      wrong.push(
        `the journal has of message ${place} nothing that was answered: ${outcome || "taken"}`,
      );
    }
    return wrong.length === 0;
  }, COUNTED_MS);
  return wrong;
}

/** Compares the calls of the row's hook with the model, after the end was published. */
export async function compareHook(
  { row, receiver, tenant }: Stage,
  harm: Harm,
  facts: readonly Fact[],
): Promise<string[]> {
  if (row.hook === "no") return [];
  const called = () => calledFor(receiver, tenant);
  await becomes(() => called().includes(JSON.stringify(END_DATA)), COUNTED_MS);
  const texts = called().filter((text) => text !== JSON.stringify(END_DATA) && !isProbe(text));
  return judgeHook(row, harm, facts, texts);
}

const calledFor = (receiver: Receiver, tenant: string): string[] =>
  receiver.taken.map(({ body }) => body.data).filter((data) =>
    data.tenant === tenant && data.message !== undefined
  ).map(({ message }) => JSON.stringify(message.data));

/** Runs the rows in parallel through one fault. Rejects with the problems of each. */
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
    const found = await one.judge().catch((error: unknown) => [inspect(error)]);
    return found.length === 0 ? [] : [`row ${at}, ${sayRow(one.row)}\n  ${found.join("\n  ")}`];
  }));
  const problems = wrong.flat();
  if (problems.length > 0) {
    throw new Error(`${problems.length} of ${rows.length} rows:\n${problems.join("\n")}`);
  }
}
