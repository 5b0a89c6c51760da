/**
 * Clients of a production setup: for each durable room a publisher of consecutive numbers and a subscriber, each
 * through the Ingress with TLS, during everything that happens to the site.
 */
import { ArqonError, connect, type Connection, type Room } from "../../sdk/typescript/mod.ts";
import { history, type RoomHistory } from "@arqon/sdk/history";
import { pace } from "../../shared/testing/pace.ts";
import { insist, until } from "../../shared/testing/until.ts";
import type { RoomLedger, SentMessage, Sight } from "./ledger.ts";

/** The address, user and volume. */
export interface TrafficOptions {
  readonly url: string;
  /** PEM of the CA of the Ingress's certificate. */
  readonly authority: string;
  readonly tokenFor: (sub: string) => Promise<string>;
  readonly rooms: number;
  /** Maximum messages per second of each room. */
  readonly rate: number;
  readonly message_bytes: number;
}

/** How long a message is retried while a site is being restored. */
const PATIENCE_MS = 300_000;
const PAGE = 1_000;

/** Sockets that trust one additional CA, like those of a user who has it in the system's store. */
function trusting(authority: string) {
  const client = Deno.createHttpClient({ caCerts: [authority] });
  const webSocket = class extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, { protocols, client });
    }
  };
  return { client, webSocket };
}

interface Talk extends RoomLedger {
  readonly sent: SentMessage[];
  readonly sights: Sight[];
  readonly publisher: Room;
}

/** All clients, until the end of its scope. */
export class Traffic implements AsyncDisposable {
  /** Sends HTTPS requests to the Ingress. */
  readonly client: Deno.HttpClient;
  readonly #options: TrafficOptions;
  readonly #webSocket: ReturnType<typeof trusting>["webSocket"];
  readonly #connections: Connection[] = [];
  readonly #talks: Talk[] = [];
  readonly #stopping = new AbortController();
  readonly #errors: string[] = [];
  readonly #loops: Promise<void>[] = [];
  #longest_ms = 0;

  private constructor(options: TrafficOptions) {
    this.#options = options;
    const { client, webSocket } = trusting(options.authority);
    this.client = client;
    this.#webSocket = webSocket;
  }

  /** Connects everybody; resolves when all are subscribed and publishing. */
  static async open(options: TrafficOptions): Promise<Traffic> {
    const traffic = new Traffic(options);
    for (let at = 0; at < options.rooms; at++) {
      const room = `orders-${at}`;
      const receives = await traffic.connect(`hears-${at}`);
      const says = await traffic.connect(`says-${at}`);
      const talk: Talk = { room, sent: [], sights: [], publisher: says.room(room) };
      const messages = receives.room(room).subscribe();
      await messages.ready;
      traffic.#talks.push(talk);
      traffic.#loops.push(traffic.#listen(messages, talk.sights));
    }
    for (const talk of traffic.#talks) traffic.#loops.push(traffic.#talk(talk));
    return traffic;
  }

  /** One additional client. */
  async connect(sub: string): Promise<Connection> {
    const connection = await connect({
      url: this.#options.url.replace("https:", "wss:"),
      token: await this.#options.tokenFor(sub),
      webSocket: this.#webSocket,
      initial_attempts: 20,
      onStatus: (status) => {
        if (status.state === "closed" && status.error) this.#errors.push(`${sub}: ${status.error}`);
      },
    });
    this.#connections.push(connection);
    return connection;
  }

  /** The ledgers of each publisher and subscriber, updated live. */
  get ledgers(): readonly RoomLedger[] {
    return this.#talks;
  }

  /** Connections that ended, and refused publishes. */
  get errors(): readonly string[] {
    return this.#errors;
  }

  get acknowledged(): number {
    return this.#talks.reduce(
      (sum, { sent }) => sum + sent.filter(({ acked_ms }) => acked_ms !== undefined).length,
      0,
    );
  }

  /** The longest wait for an ACK since the last call, in ms. */
  takeLongest(): number {
    const longest_ms = this.#longest_ms;
    this.#longest_ms = 0;
    return longest_ms;
  }

  /** Resolves with the Unix ms at which every room had received `count` more ACKs. */
  async acknowledgedIn(count = 1): Promise<number> {
    const wanted = this.#talks.map((talk) => ackedOf(talk) + count);
    const isAll = () => this.#talks.every((talk, at) => ackedOf(talk) >= (wanted[at] ?? 0));
    await until(() => `more ACKs: ${this.#errors.join("; ")}`, isAll, PATIENCE_MS);
    return Date.now();
  }

  /**
   * Resolves when every subscriber has received a message that was published after the call. One that reconnects late,
   * and whose log lost its position, gets a GAP and nothing of what was published before.
   */
  async receiving(): Promise<void> {
    const first = this.#talks.map(({ sent }) => sent.length);
    const missing = () =>
      this.#talks.filter(({ sights }, at) =>
        !sights.some((sight) => sight.kind === "message" && sight.n >= (first[at] ?? 0))
      );
    const what = () =>
      `a new message in ${missing().map(({ room }) => room)}: ${this.#errors.join("; ")}`;
    await until(what, () => missing().length === 0, PATIENCE_MS);
  }

  /** Stops publishing; resolves when everything is answered. */
  async hush(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#loops.slice(this.#talks.length));
  }

  /** Resolves when every subscriber has received the last message, or rejects. */
  async received(): Promise<void> {
    const behind = () =>
      this.#talks.filter(({ sent, sights }) => {
        const last = sent.findLast(({ acked_ms }) => acked_ms !== undefined)?.n ?? -1;
        return !sights.some((sight) => sight.kind === "message" && sight.n === last);
      });
    const missing = () => {
      const rooms = behind().map(({ room, sights }) =>
        `the last message in ${room}, whose last sights are ${JSON.stringify(sights.slice(-5))}`
      );
      return [...rooms, ...this.#errors].join("; ");
    };
    await until(missing, () => behind().length === 0, PATIENCE_MS);
  }

  /** The numbers in a room's log, in order. */
  async kept(room: string): Promise<number[]> {
    const talk = this.#talks.find((one) => one.room === room);
    if (talk === undefined) throw new RangeError(`nobody is in ${room}`);
    const found: number[] = [];
    for (let after: number | bigint = 0;;) {
      const page = await this.#page(talk.publisher, after);
      found.push(...page.messages.map((message) => (message.json() as { n: number }).n));
      if (!page.more) return found;
      after = page.messages.at(-1)?.offset ?? page.offset;
    }
  }

  /** Retries while a log or a bucket has no up-to-date leader (503), as programs do. */
  #page(room: Room, after: number | bigint): Promise<RoomHistory> {
    const isLater = (error: unknown) => error instanceof ArqonError && error.code === 503;
    const read = () => history(room, { limit: PAGE, after }, { timeout_ms: PATIENCE_MS });
    return insist(`a page of ${room.id}`, read, isLater, PATIENCE_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#connections.map((connection) => connection.close()));
    await Promise.all(this.#loops);
    this.client.close();
  }

  async #listen(
    messages: ReturnType<Room["subscribe"]>,
    sights: Sight[],
  ): Promise<void> {
    try {
      for await (const message of messages) {
        const { signal } = message;
        if (signal?.kind === "GAP") sights.push({ kind: "gap", reason: signal.reason });
        else sights.push({ kind: "message", n: (message.json() as { n: number }).n });
      }
    } catch (error) {
      this.#errors.push(String(error));
    }
  }

  async #talk({ publisher, sent }: Talk): Promise<void> {
    const { rate, message_bytes } = this.#options;
    const text = "x".repeat(message_bytes);
    const { signal } = this.#stopping;
    for (let n = 0; !signal.aborted; n++) {
      const one: SentMessage = { n };
      sent.push(one);
      const began_ms = performance.now();
      try {
        await publisher.publish("order", { n, text }, {
          message_id: String(n),
          timeout_ms: PATIENCE_MS,
        });
        one.acked_ms = Date.now();
      } catch (error) {
        if (!signal.aborted) this.#errors.push(`${publisher.id}/${n}: ${error}`);
      }
      const took_ms = performance.now() - began_ms;
      this.#longest_ms = Math.max(this.#longest_ms, took_ms);
      await pace(Math.max(0, 1_000 / rate - took_ms));
    }
  }
}

const ackedOf = ({ sent }: Talk): number =>
  sent.reduce((count, { acked_ms }) => acked_ms === undefined ? count : count + 1, 0);
