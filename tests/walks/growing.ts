/**
 * Growing answers in a durable room of a walk, during faults: at any moment, subscribers that stay and those that join
 * in the middle have a prefix of the source's text, and at the end all of it, once; so does the log.
 */
import { connect, type Connection } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { growing, stream } from "@arqon/sdk/streams";
import { pace } from "../../shared/testing/pace.ts";
import { becomes } from "../../shared/testing/until.ts";
import { PARTS } from "../../policies/testing/phrases.ts";
import type { TestBus } from "../harness/test_bus.ts";
import { adminOf, type Stage } from "../model/stage.ts";
import { createRandom } from "../../shared/testing/seeded.ts";

/** The number of answers that grow at once. */
export interface GrowOp {
  readonly name: "grow";
  readonly count: number;
}

/** Matched by no pattern of the walk. */
const ROOM = "growing-1";
const TIMES = { backoff: { base_ms: 10, max_ms: 200 }, initial_attempts: Infinity };
/** Between two pieces of a source, in ms. */
const PIECE_MS = 10;
const ENDS_MS = 60_000;

/** The pieces of an answer, derived from its id: characters of one to four bytes, cut anywhere. */
function piecesOf(id: string): string[] {
  let seed = 0;
  for (const letter of id) seed = seed * 31 + letter.charCodeAt(0) >>> 0;
  const random = createRandom(seed);
  const count = random.int(60, 140);
  const text = `${id}: ${Array.from({ length: count }, () => random.pick(PARTS)).join("")}`;
  const pieces: string[] = [];
  for (let at = 0; at < text.length;) {
    const size = random.int(1, 9);
    pieces.push(text.slice(at, at + size));
    at += size;
  }
  return pieces;
}

const textOf = (id: string) => piecesOf(id).join("");

async function* pieces(id: string): AsyncGenerator<string, void> {
  for (const piece of piecesOf(id)) {
    yield piece;
    await pace(PIECE_MS);
  }
}

/** The answers of one room. */
export class Growing implements AsyncDisposable {
  readonly #stage: Stage;
  readonly #buses: readonly TestBus[];
  readonly #wrong: string[] = [];
  readonly #ids: string[] = [];
  /** What permanent readers have received of answers that have not ended. */
  readonly #open = new Set<string>();
  readonly #over = new AbortController();
  readonly #connections: Connection[] = [];
  readonly #reading: Promise<void>[] = [];

  constructor(stage: Stage, buses: readonly TestBus[]) {
    [this.#stage, this.#buses] = [stage, buses];
  }

  async #connect(user: string, at: number): Promise<Connection> {
    const { url, tokenFor } = this.#buses[at % this.#buses.length]!;
    const token = await tokenFor({ tenant: this.#stage.tenant, user });
    return await connect({ ...TIMES, url, token });
  }

  /** Publishes growing answers; meanwhile a reader joins in the middle and leaves. */
  async run({ count }: GrowOp): Promise<void> {
    if (this.#connections.length === 0) await this.#begin();
    const tab = new AbortController();
    await using reloaded = await this.#connect("tab", this.#ids.length);
    const writing = Array.from({ length: count }, async (_, at) => {
      const id = `${this.#stage.tenant}-${this.#ids.length}`;
      this.#ids.push(id);
      await using source = await this.#connect(`model-${at}`, at);
      const growing = stream(source.room(ROOM), pieces(id), { id });
      const outcome = await growing.then((one) => one.outcome, String);
      if (outcome !== "finished") this.#wrong.push(`answer ${id}: ${outcome}`);
    });
    const reading = this.#read(reloaded, "who came in the middle", tab.signal, new Set());
    try {
      await Promise.all(writing);
    } finally {
      tab.abort();
      await reading;
    }
  }

  /** Permanent readers subscribe before anything grows, one at each address. */
  async #begin(): Promise<void> {
    const { bus, entry, tenant } = this.#stage;
    for (const one of new Set([bus, entry])) {
      const admin = await adminOf(one);
      const room = { room: ROOM, durable: true };
      const { status, body } = await admin.ask("PUT", `/v1/tenants/${tenant}/rooms`, room);
      if (status !== 200) throw new Error(`the class: ${status} ${JSON.stringify(body)}`);
    }
    for (const at of this.#buses.keys()) {
      const connection = await this.#connect(`stays-${at}`, at);
      this.#connections.push(connection);
      // A notification about ended answers is about all of them together.
      const open = at === 0 ? this.#open : new Set<string>();
      this.#reading.push(this.#read(connection, `who stays at ${at}`, this.#over.signal, open));
    }
  }

  async #read(bus: Connection, who: string, signal: AbortSignal, open: Set<string>): Promise<void> {
    const texts = new Map<string, string>();
    const ended = new Set<string>();
    try {
      for await (const { id, text, piece, state } of growing(bus.room(ROOM), { signal })) {
        const wrong = (what: string) => void this.#wrong.push(`${who}: ${id}: ${what}`);
        const whole = textOf(id);
        if (!whole.startsWith(text)) wrong(`${JSON.stringify(text)} is no beginning of it`);
        else if ((texts.get(id) ?? "") + piece !== text) wrong("the pieces are not the text");
        texts.set(id, text);
        open.add(id);
        if (state === "growing") continue;
        if (state !== "finished" || text !== whole) {
          wrong(`${state} with ${text.length} of ${whole.length}`);
        }
        if (ended.has(id)) wrong("ended twice");
        ended.add(id);
        open.delete(id);
      }
    } catch (error) {
      if (!signal.aborted) this.#wrong.push(`${who}: ${error}`);
    }
  }

  /** The problems so far; everybody has received the end of each answer whose beginning it received. */
  async settle(): Promise<string[]> {
    await becomes(() => this.#open.size === 0, ENDS_MS);
    const late = [...this.#open].map((id) => `who stays has not heard the end of ${id}`);
    return [...this.#wrong.splice(0), ...late];
  }

  /** The problems of the room's log: each answer is there once, with the source's text. */
  async end(): Promise<string[]> {
    const [reader] = this.#connections;
    if (reader === undefined) return [];
    const wrong = await this.settle();
    const stored = new Map<string, string[]>();
    for (let after = 0, is_more = true; is_more;) {
      const { messages, more } = await history(reader.room(ROOM), { after, limit: 1_000 });
      for (const message of messages) {
        const id = message.message_id.split(":")[1]!;
        stored.set(id, [...stored.get(id) ?? [], message.text()]);
      }
      after = Number(messages.at(-1)?.offset ?? after);
      is_more = more;
    }
    for (const id of this.#ids) {
      const [text, ...again] = stored.get(id) ?? [];
      if (text === undefined) wrong.push(`answer ${id} is not in its room`);
      else if (again.length > 0) {
        wrong.push(`answer ${id} is in its room ${again.length + 1} times`);
      } else if (text !== textOf(id)) wrong.push(`answer ${id} is stored with another text`);
    }
    return wrong;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#reading);
    for (const one of this.#connections) await one.close();
  }
}
