/**
 * The wall clock of a Shield and a Brain is set by 2 s, 20 s and 2 h, ahead and back, while they work: no message,
 * decision, version or ticket is lost, nothing comes twice, and nobody is taken for gone. Real processes; the
 * machine's own clock stays as it is.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { startBusWith } from "./harness/bus.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { DurableClient } from "./peers/durable_client.ts";
import { EventReader } from "./peers/event_reader.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { createWallClock, type WallClock } from "./wall_clock.ts";

const CONFIG = `
[journal]
journal = "all"
#constant journal.flush_ms = 50
[growing]
#constant growing.idle_ms = 100_000
[streams]
#constant streams.long_poll_ms = 1_000
[[rooms]]
room = "chat-*"
durable = true
`;
/** Each is followed by the way back. */
const STEPS_S = [2, -2, 20, -20, 7_200, -7_200];
/** For tokens that outlast the steps. */
const DAY_S = 86_400;
const MESSAGES = 3;
const ROOMS = ["a", "b", "c"];

/** A bus whose clock is set. */
interface Bus {
  readonly tenant: string;
  readonly url: string;
  readonly http_url: string;
  readonly admin_url: string;
  readonly tokenFor: (user: string, role?: "user" | "admin") => Promise<string>;
}

/** What clients do before and after each step, and what has to come of it. */
class Work {
  readonly #bus: Bus;
  readonly #writer: DurableClient;
  readonly #reader: DurableClient;
  readonly #peer: HttpPeer;
  readonly #sent: string[] = [];
  readonly #versions = new Map<string, { epoch: string; version: number }>();
  #pieces = 0;
  #ticket = "";
  #polled: Promise<number> | undefined;

  constructor(bus: Bus, [writer, reader]: readonly DurableClient[], token: string) {
    this.#bus = bus;
    this.#writer = writer as DurableClient;
    this.#reader = reader as DurableClient;
    this.#peer = new HttpPeer(bus.http_url, token);
  }

  get sent(): readonly string[] {
    return this.#sent;
  }

  async begin(): Promise<void> {
    await this.#reader.join("hall");
    await this.#growing("start", { id: "g1", type: "answer" });
    assert.equal((await this.#peer.call("PUT", "streams/chat-s")).status, 201);
  }

  async #growing(verb: string, data: object): Promise<void> {
    const frame = { op: "cmd", room: "chat-1", name: `growing.${verb}`, data };
    const answer = await this.#writer.ask(frame);
    assert.equal(answer.code, 0, JSON.stringify(answer));
  }

  /** Right before a step: what it must not end, and what must end in spite of it. */
  async before(): Promise<void> {
    this.#polled = this.#peer.call("GET", "streams/chat-s?offset=now&live=long-poll")
      .then(({ status }) => status);
    const { status, body } = await this.#peer.call("POST", "tickets", { rooms: ["hall"] });
    assert.equal(status, 200, JSON.stringify(body));
    this.#ticket = body.ticket;
  }

  /** Right after it. */
  async after(): Promise<void> {
    const url = `${this.#bus.http_url}/v1/rooms/hall/events?ticket=${this.#ticket}`;
    using events = await EventReader.open(url);
    await events.until("subscribed");
    // A client that had no answer to its last message sends it again.
    const again = this.#sent.at(-1);
    if (again !== undefined) await this.#publish(again);
    for (let at = 0; at < MESSAGES; at++) {
      const id = `m${this.#sent.length}`;
      this.#sent.push(id);
      await this.#publish(id);
      const told = await this.#reader.told();
      assert.deepEqual([told.data, told.signal], [id, undefined]);
    }
    await this.#growing("append", { id: "g1", seq: ++this.#pieces, text: "piece " });
    for (const room of ROOMS) await this.#set(room);
    assert.equal(await this.#polled, 204);
  }

  async #publish(message_id: string): Promise<void> {
    const answer = await this.#writer.pub("hall", message_id, { message_id });
    assert.equal(answer.code, 0, JSON.stringify(answer));
  }

  async #set(room: string): Promise<void> {
    const frame = { op: "cmd", room, name: "room.set", data: { key: "k", value: 1 } };
    let answer = await this.#writer.ask(frame);
    await until(`${room} is set`, async () => {
      if (answer.reason !== "brain-unavailable") return true;
      answer = await this.#writer.ask(frame);
      return false;
    });
    assert.equal(answer.code, 0, JSON.stringify(answer));
    const { epoch, version } = answer.result;
    const known = this.#versions.get(room);
    if (known !== undefined) {
      assert.deepEqual({ epoch, version }, { epoch: known.epoch, version: known.version + 1 });
    }
    this.#versions.set(room, { epoch, version });
  }

  /** The growing message is there, and becomes one message of its room. */
  async end(): Promise<void> {
    await this.#growing("finish", { id: "g1", seq: this.#pieces });
    const { status, body } = await this.#peer.call("GET", "rooms/chat-1/messages");
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual(body.messages.map(({ data }: { data: unknown }) => data), [
      "piece ".repeat(this.#pieces),
    ]);
  }
}

/** The ids of messages that the journal has since then, and what it says of missing ones. */
async function journal({ tenant, admin_url, tokenFor }: Bus, since_ms: number) {
  const query = new URLSearchParams({ tenant, since_ms: String(since_ms) });
  const url = `${admin_url}/v1/journal?${query}&limit=10000&room=hall`;
  const token = await tokenFor("root", "admin");
  const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  const text = await answer.text();
  // Asked too often: there is a limit.
  if (answer.status === 429) return { ids: [], holes: [] };
  assert.equal(answer.status, 200, text);
  const lines = text.trimEnd().split("\n").slice(0, -1).map((line) => JSON.parse(line));
  const ids = lines.filter(({ hook }) => hook === "on_message").map(({ message_id }) => message_id);
  return { ids, holes: lines.flatMap(({ hole }) => hole === undefined ? [] : [hole.why]) };
}

async function check(clock: WallClock, bus: Bus): Promise<void> {
  const began_ms = Date.now() - 2 * 7_200_000;
  const token = await bus.tokenFor("ann");
  using writer = await DurableClient.open(bus.url, token);
  using reader = await DurableClient.open(bus.url, await bus.tokenFor("bob"));
  const work = new Work(bus, [writer, reader], token);
  await work.begin();
  let told = 0;
  for (const ahead_s of [0, ...STEPS_S.flatMap((step_s) => [step_s, 0])]) {
    await work.before();
    await clock.set(ahead_s);
    await work.after();
    let found = await journal(bus, began_ms);
    const missing = () => {
      const ids = new Set(found.ids);
      return work.sent.filter((id) => !ids.has(id));
    };
    await until(() => `${missing()} at ${ahead_s} s`, async () => {
      found = await journal(bus, began_ms);
      return missing().length === 0;
    });
    assert.deepEqual(found.holes.filter((why) => why !== "clock-set-back"), []);
    told = found.holes.length;
  }
  // Two ways back and two steps back that no pause hides: NATS stores by its own clock, which nobody set.
  assert.ok(told === 0 || told >= 4, `${told} steps are told`);
  await work.end();
}

Deno.test("embedded: a wall clock that is set by seconds and hours loses nothing and repeats nothing", async () => {
  const dir = await Deno.makeTempDir({ prefix: "arqon-clock-" });
  try {
    const clock = await createWallClock(dir);
    if (clock === undefined) return;
    const env = Object.entries(clock.env).map(([name, value]) => `${name}=${value}`);
    await using bus = await startBusWith(CONFIG, ["env", ...env]);
    const tokenFor = (user: string, role: "user" | "admin" = "user") =>
      bus.tokenFor({ user, role, ttl_seconds: DAY_S });
    await check(clock, { ...bus, tenant: "default", tokenFor });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("NATS: a Shield and a Brain whose wall clocks are set lose nothing and repeat nothing", async () => {
  await using issuer = await createIssuer();
  const clock = await createWallClock(issuer.dir);
  if (clock === undefined) return;
  await using nats = await startNats({ jetstream: true });
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n${CONFIG}`;
  const start = (part: "shield" | "brain", lines: string, env = {}) =>
    startServer(part, config, issuer.dir, lines, 0, [], "", "", env);
  await using brain = await start("brain", `node_id = "set"`, clock.env);
  await using _right = await start("brain", `node_id = "right"`);
  await using shield = await start("shield", "drain_ms = 0", clock.env);
  const exp = Math.floor(Date.now() / 1_000) + DAY_S;
  const http_url = shield.ready.url ?? "";
  const bus: Bus = {
    ...{ http_url, url: `${http_url.replace(/^http/, "ws")}/v1/socket` },
    ...{ tenant: "acme", admin_url: shield.ready.admin_url ?? "" },
    tokenFor: (sub, role: "user" | "admin" = "user") => issuer.tokenFor({ sub, role, exp }),
  };
  const term = async () => {
    const page = await (await fetch(`${brain.ready.ops_url}/metrics`)).text();
    return Number(/^brain_cluster_term(?:\{[^}]*\})? (\d+)$/m.exec(page)?.[1] ?? 0);
  };
  const brains = async () => {
    const page = await (await fetch(`${brain.ready.ops_url}/metrics`)).text();
    return Number(/^brain_cluster_brains(?:\{[^}]*\})? (\d+)$/m.exec(page)?.[1] ?? 0);
  };
  await until("both Brains serve", async () => await brains() === 2);
  const before = await term();
  await check(clock, bus);
  assert.equal(await term(), before, "the Brains never took each other for gone");
});
