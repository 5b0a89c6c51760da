/**
 * The clients of the script: each says one message after the other on one Shield, keeps a few under way, and
 * notes what it was told of each. It judges nothing.
 */
import { ArqonError, connect } from "../../sdk/typescript/mod.ts";
import type { Connection, Status } from "../../sdk/typescript/mod.ts";
import { createRandom } from "../presence_simulation/random.ts";
import { LONGEST, PLANTED_WORD, REFUSED_WORD } from "./ledger.ts";
import type { Said } from "./ledger.ts";

/** What a crowd needs. */
export interface CrowdOptions {
  /** `ws://…` of each Shield; a Shield that comes back has the address that it had. */
  readonly urls: readonly string[];
  readonly tokenFor: (claims: Record<string, unknown>) => Promise<string>;
  /** Clients of each Shield. */
  readonly clients: number;
  /** Messages that a client has under way. */
  readonly window: number;
}

const ROOMS = 10;
/** A message that waits for a Shield waits no longer. */
const PATIENCE_MS = 30_000;
const WORDS = ["the", "bus", "carries", "ein", "straße", "short", "longer", "naïve", "word", "42"];
const LONG_BY = 60;

/** A text: some words, at times the refused one, the planted one, or too many. */
function textOf(next: () => number, number: number): string {
  const words = Array.from(
    { length: 4 + Math.floor(next() * 20) },
    () => WORDS[Math.floor(next() * WORDS.length)]!,
  );
  const place = Math.floor(next() * words.length);
  const special = next();
  if (special < 0.02) words[place] = REFUSED_WORD;
  else if (special < 0.04) words[place] = PLANTED_WORD;
  // A few say the same twice in a row.
  const text = next() < 0.03 ? "once more" : `${number} ${words.join(" ")}`;
  return next() < 0.01 ? text.padEnd(LONGEST + LONG_BY, ".") : text;
}

/** All clients, and what they have said. */
export class Crowd implements AsyncDisposable {
  readonly said = new Map<string, Said>();
  readonly #talkers: { readonly connection: Connection; readonly shield: number }[] = [];
  readonly #options: CrowdOptions;
  #answered = 0;
  /** Why a connection has ended for good. */
  #ended: unknown;

  private constructor(options: CrowdOptions) {
    this.#options = options;
  }

  /** Connects everybody. */
  static async open(options: CrowdOptions): Promise<Crowd> {
    const crowd = new Crowd(options);
    for (const [shield, url] of options.urls.entries()) {
      for (let client = 0; client < options.clients; client++) {
        const token = await options.tokenFor({ sub: `user-${shield}-${client}` });
        const onStatus = (status: Status) => {
          if (status.state === "closed" && status.error !== undefined) crowd.#ended = status.error;
        };
        crowd.#talkers.push({ shield, connection: await connect({ url, token, onStatus }) });
      }
    }
    return crowd;
  }

  /** Messages that have an answer. */
  get answered(): number {
    return this.#answered;
  }

  /** Everybody talks until there are so many answers. Rejects when a connection has ended for good. */
  async talk(answers: number, seed: number): Promise<void> {
    const { window } = this.#options;
    const until = this.#answered + answers;
    await Promise.all(this.#talkers.flatMap(({ connection, shield }, client) => {
      const next = createRandom(seed * 1_000 + client).next;
      let number = 0;
      const talk = async () => {
        while (this.#answered < until) {
          if (this.#ended !== undefined) throw this.#ended;
          const id = `m-${seed}-${client}-${number}`;
          await this.#say(connection, shield, id, textOf(next, number++));
        }
      };
      return Array.from({ length: window }, talk);
    }));
  }

  async #say(connection: Connection, shield: number, id: string, text: string): Promise<void> {
    const said: Said = { id, text, shield, code: undefined, answered_ms: 0 };
    this.said.set(id, said);
    const room = connection.room(`chat-${this.said.size % ROOMS}`);
    try {
      await room.publish("chat", text, { message_id: id, timeout_ms: PATIENCE_MS });
      said.code = 0;
    } catch (error) {
      if (!(error instanceof ArqonError)) throw error;
      if (error.reason === "policy-rejected") said.code = error.code;
    }
    said.answered_ms = Date.now();
    if (said.code !== undefined) this.#answered++;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#talkers.map(({ connection }) => connection.close()));
  }
}
