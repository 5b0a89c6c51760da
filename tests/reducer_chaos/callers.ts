/**
 * Clients that call counters without a pause. Each call is retried, with the same id, until it is answered: so the
 * outcome of every call is known in the end. `judge.ts` judges their records.
 */
import { connect, type Connection } from "../../sdk/typescript/mod.ts";
import { type Called, reduced } from "../../sdk/typescript/reducers.ts";
import { pace } from "../../shared/testing/pace.ts";
import type { Random } from "../../shared/testing/seeded.ts";

/** An answered call; times in ns of the run's clock. */
export interface MadeCall {
  readonly amount: number;
  readonly total: number;
  readonly from: number;
  readonly to: number;
  /** The log entry that applied it. */
  readonly entry: number;
}

/** The inputs of callers. */
export interface CallersOptions {
  readonly urls: readonly string[];
  readonly tokenFor: (user: string) => Promise<string>;
  readonly rooms: readonly string[];
  /** Number of concurrent callers per room. */
  readonly callers_per_room: number;
  readonly random: Random;
  readonly onSurprise: (text: string) => void;
}

const CONNECTIONS = 8;
/** A Brain that was killed answers nobody: a short timeout means a fast retry. */
const ATTEMPT_MS = 3_000;
const PAUSE_MS = 50;
/**
 * Calls of a room that may follow an unanswered one: a room remembers 1,000 ids, and a retry with an id that it has
 * forgotten is a new call.
 */
const AHEAD_MAX = 400;
/** A share of calls adds nothing: they read. */
const READS = 0.2;
const AMOUNT_MAX = 9;
const nowNs = () => Math.round(performance.now() * 1e6);

/** The calls of one room. */
class RoomCalls {
  readonly made: MadeCall[] = [];
  /** The numbers of unanswered calls. */
  readonly open = new Set<number>();
  started = 0;

  /** The oldest is the first: a set keeps insertion order. */
  get is_ahead(): boolean {
    const [oldest = this.started] = this.open;
    return this.started - oldest > AHEAD_MAX;
  }
}

/** Made by `Callers.open`. */
export class Callers implements AsyncDisposable {
  readonly calls: ReadonlyMap<string, RoomCalls>;
  /** Attempts that were refused or unanswered, by reason. */
  readonly refusals = new Map<string, number>();
  repeated = 0;
  readonly #options: CallersOptions;
  readonly #connections: readonly Connection[];
  #is_ending = false;

  private constructor(options: CallersOptions, connections: readonly Connection[]) {
    this.#options = options;
    this.#connections = connections;
    this.calls = new Map(options.rooms.map((room) => [room, new RoomCalls()]));
  }

  static async open(options: CallersOptions): Promise<Callers> {
    const { urls, tokenFor } = options;
    const connections = await Promise.all(Array.from({ length: CONNECTIONS }, async (_, at) => {
      const token = await tokenFor(`caller-${at}`);
      return await connect({ url: urls[at % urls.length]!, token });
    }));
    return new Callers(options, connections);
  }

  /** Answered calls of all rooms. */
  get count(): number {
    return this.calls.values().reduce((sum, { made }) => sum + made.length, 0);
  }

  /** Calls until `end` is called, and then until the last call is answered. */
  async run(): Promise<void> {
    const { rooms, callers_per_room, random } = this.#options;
    await Promise.all(
      rooms.flatMap((room, at) =>
        Array.from({ length: callers_per_room }, async (_, caller) => {
          const number = at * callers_per_room + caller;
          const connection = this.#connections[number % CONNECTIONS]!;
          await this.#callOn(connection, room, random.fork(number));
        })
      ),
    );
  }

  end(): void {
    this.#is_ending = true;
  }

  async #callOn(connection: Connection, room: string, random: Random): Promise<void> {
    const calls = this.calls.get(room)!;
    const counter = reduced<{ add: [number, number] }>(connection.room(room));
    while (!this.#is_ending) {
      if (calls.is_ahead) {
        await pace(PAUSE_MS);
        continue;
      }
      const number = calls.started++;
      calls.open.add(number);
      const amount = random.chance(READS) ? 0 : random.int(1, AMOUNT_MAX);
      const call_id = `${number}`;
      const from = nowNs();
      const answer = await this.#answered(() =>
        counter.call("add", amount, { call_id, timeout_ms: ATTEMPT_MS })
      );
      const to = nowNs();
      calls.open.delete(number);
      if (answer.repeats !== undefined) this.repeated++;
      const entry = answer.repeats ?? answer.entry;
      calls.made.push({ amount, total: answer.answer, from, to, entry });
    }
  }

  async #answered(call: () => Promise<Called<number>>): Promise<Called<number>> {
    for (;;) {
      try {
        return await call();
      } catch (error) {
        const { reason = String(error) } = error as { readonly reason?: string };
        this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1);
        if (["call-rejected", "invalid-command", "internal"].includes(reason)) {
          this.#options.onSurprise(`a call was refused: ${error}`);
        }
        await pace(PAUSE_MS);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) await connection.close();
  }
}
