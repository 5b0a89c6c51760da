/**
 * What `GET /v1/why` says of each message for each connection, beside what the clients have got, while they subscribe
 * with and without positions, filters and echo, by room and by pattern, leave, read history and come back.
 */
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { openText } from "./peers/raw_client.ts";
import type { RawClient } from "./peers/raw_client.ts";
import { createRandom } from "./presence_simulation/random.ts";
import type { Random } from "./presence_simulation/random.ts";
import type { TestBus } from "./harness/test_bus.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[admin]
operator_tenants = ["default"]
[limits]
messages_per_second = 1_000_000
admin_changes_per_second = 1_000_000
[[rooms]]
room = "log-*"
durable = true
`;
/** One of them is of a subscription that ends where it began. */
const SEEDS = [1, 2, 8, 13, 21];
const STEPS = 60;
const CHECK_STEPS = 10;
const ROOMS = ["log-1", "log-2", "live-1"];
const USERS = ["ann", "bob"];
const GIVEN = ["sent", "caught_up"];

/** A client that writes down what it got. */
class Listener {
  readonly got = new Set<string>();
  readonly #client: RawClient;
  readonly #answers = new Map<number, (answer: { result?: unknown }) => void>();
  #request = 0;

  constructor(client: RawClient) {
    this.#client = client;
    void this.#read();
  }

  /** Resolves with the epoch of the answer, if it has one. */
  async ask(frame: object): Promise<string | undefined> {
    const { promise, resolve } = Promise.withResolvers<{ result?: unknown }>();
    const id = ++this.#request;
    this.#answers.set(id, resolve);
    this.#client.send({ ...frame, id });
    const { result } = await promise;
    const { messages = [], epoch } = (result ?? {}) as {
      messages?: { message_id: string }[];
      epoch?: string;
    };
    for (const { message_id } of messages) this.got.add(message_id);
    return epoch;
  }

  close(): void {
    this.#client.socket.close(1000);
  }

  async #read(): Promise<void> {
    for (;;) {
      const frame = await this.#client.json().catch(() => undefined);
      // Nothing may have come for a while.
      if (frame === undefined && this.#client.socket.readyState !== WebSocket.OPEN) return;
      if (frame === undefined) continue;
      if (frame.op === "ack" || frame.op === "err") this.#answers.get(frame.id)?.(frame);
      else if (frame.message_id !== undefined) this.got.add(frame.message_id);
    }
  }
}

/** A bus, its clients, and what was said; the seed decides what happens. */
class World {
  readonly open = new Map<string, Listener>();
  readonly #said: string[] = [];
  readonly #epochs = new Map<string, string>();
  readonly #random: Random;
  readonly #bus: TestBus;
  readonly #backend: HttpPeer;
  readonly #admin: AdminClient;

  constructor(bus: TestBus, random: Random, tokens: { admin: string; backend: string }) {
    this.#bus = bus;
    this.#random = random;
    this.#backend = new HttpPeer(bus.http_url, tokens.backend);
    this.#admin = new AdminClient(bus.admin_url, tokens.admin);
  }

  /** One of the users does something; resolves with what. */
  async act(): Promise<string> {
    const random = this.#random;
    const user = random.pick(USERS);
    const room = random.pick(ROOMS);
    const client = this.open.get(user) ?? await this.#connect(user);
    const turn = random.next();
    if (turn < 0.5) return await this.#publish(user, client, room);
    if (turn < 0.55) {
      this.open.delete(user);
      client.close();
      return `${user} goes`;
    }
    const frame = this.#frame(turn, room);
    const epoch = await client.ask(frame);
    if (epoch !== undefined) this.#epochs.set(room, epoch);
    return `${user} ${JSON.stringify(frame)}`;
  }

  /** The messages of which something else is said than what a client has got. */
  async wrongs(user: string, got: ReadonlySet<string>): Promise<string[]> {
    const wrong: string[] = [];
    for (const id of this.#said) {
      const { messages, connections } = await this.#admin.read(
        `/v1/why?message_id=${id}&user=${user}`,
      );
      const [newest] = connections.toSorted((a: Row, b: Row) => b.began_ms - a.began_ms);
      const outcome = newest?.outcomes[0];
      // A message that is not known is of a room that is not durable, and nobody has got it.
      if (GIVEN.includes(outcome?.state) !== got.has(id)) {
        wrong.push(`${id} for ${user}: ${JSON.stringify({ outcome, messages })}`);
      }
    }
    return wrong;
  }

  async #connect(user: string): Promise<Listener> {
    const client = new Listener(
      await openText(this.#bus.url, await this.#bus.tokenFor({ user })),
    );
    this.open.set(user, client);
    return client;
  }

  async #publish(user: string, client: Listener, room: string): Promise<string> {
    const random = this.#random;
    const message_id = `m${this.#said.length}`;
    const message = { type: "t", data: { n: random.int(0, 9) }, message_id };
    this.#said.push(message_id);
    if (random.chance(0.5)) await client.ask({ op: "pub", room, ...message });
    else await this.#backend.call("POST", `rooms/${room}/messages`, message);
    return `${user} ${room} ${JSON.stringify(message)}`;
  }

  #frame(turn: number, room: string): object {
    const is_durable = room.startsWith("log");
    if (turn < 0.75) return this.#sub(room, is_durable);
    if (turn < 0.8) return this.#sub("lo*", false);
    if (turn < 0.85) return { op: "unsub", room: "lo*" };
    if (turn < 0.93 || !is_durable) return { op: "unsub", room };
    const data = { limit: 2, after: this.#random.int(0, 5) };
    return { op: "cmd", room, name: "history.get", data };
  }

  #sub(room: string, has_positions: boolean): object {
    const random = this.#random;
    return {
      ...{ op: "sub", room, no_echo: random.chance(0.3) },
      ...(random.chance(0.3) ? { filter: `data.n > ${random.int(0, 9)}` } : {}),
      ...(has_positions && random.chance(0.5)
        ? { after_offset: random.int(1, 8), epoch: this.#epochs.get(room) }
        : {}),
    };
  }
}

for (const seed of SEEDS) {
  Deno.test(`why is right of everything that clients get, late or not: seed ${seed}`, async () => {
    await using bus = await startLocalBus(CONFIG);
    const world = new World(bus, createRandom(seed), {
      admin: await bus.tokenFor({ role: "admin" }),
      backend: await bus.tokenFor({ user: "backend" }),
    });
    const story: string[] = [];
    for (let step = 1; step <= STEPS; step++) {
      story.push(await world.act());
      if (step % CHECK_STEPS !== 0) continue;
      for (const [user, { got }] of world.open) {
        let wrong: string[] = [];
        // What a client is sent takes a moment.
        await until(
          () => [...wrong, ...story].join("\n"),
          async () => (wrong = await world.wrongs(user, got)).length === 0,
        );
      }
    }
    for (const client of world.open.values()) client.close();
  });
}

interface Row {
  readonly began_ms: number;
}
