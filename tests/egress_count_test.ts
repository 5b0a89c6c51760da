/**
 * What a Shield says it has handed to subscribers against what they have got: messages, and what the bus
 * itself says. Real sockets.
 */
import assert from "node:assert/strict";
import { seen } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { parsePage } from "./peers/metrics_page.ts";
import { RawClient } from "./peers/raw_client.ts";

const CONFIG = '[[rooms]]\nroom = "orders"\ndurable = true\n';
const MESSAGES = 20;

/** A text client that keeps count of what it is handed. */
interface Counting extends Disposable {
  messages: number;
  events: number;
  send(operation: Record<string, unknown>): void;
  /** Resolves with the answer to the operation with this id. */
  answer(id: number): Promise<Record<string, unknown>>;
}

// deno-lint-ignore no-explicit-any
const isOfBus = ({ type = "", signal }: any) =>
  signal !== undefined || /^(PRESENCE|ROOM|SYSTEM)_/.test(type);

async function connect(bus: TestBus, user: string): Promise<Counting> {
  const token = await bus.tokenFor({ user, role: "service" });
  const client = new RawClient(bus.url, { token, subprotocols: ["arqon.v1.json"] });
  const answers = new Map<number, PromiseWithResolvers<Record<string, unknown>>>();
  const answerOf = (id: number) => {
    const known = answers.get(id) ?? Promise.withResolvers<Record<string, unknown>>();
    answers.set(id, known);
    return known;
  };
  const counting: Counting = {
    messages: 0,
    events: 0,
    send: (operation) => client.send(operation),
    answer: (id) => answerOf(id).promise,
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
  client.socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.op === "msg") counting[isOfBus(frame) ? "events" : "messages"]++;
    else if (frame.id !== undefined) answerOf(frame.id).resolve(frame);
  };
  await new Promise<void>((resolve) => client.socket.onopen = () => resolve());
  return counting;
}

async function ask(client: Counting, id: number, operation: Record<string, unknown>) {
  client.send({ ...operation, id });
  const answer = await client.answer(id);
  assert.equal(answer.code, 0, JSON.stringify(answer));
  return answer;
}

async function counted(bus: TestBus): Promise<{ messages: number; events: number; own: number }> {
  const page = parsePage(await (await fetch(`${bus.ops_url}/metrics`)).text());
  const sum = (name: string) =>
    (page.get(name)?.samples ?? []).reduce((total, { value }) => total + value, 0);
  return {
    messages: sum("shield_egress_messages_total"),
    events: sum("shield_egress_events_total"),
    own: sum("shield_tenant_egress_messages_total"),
  };
}

Deno.test("messages handed out are counted one for one, and presence, rooms and GAPs apart", async () => {
  await using bus = await startLocalBus(CONFIG);
  using writer = await connect(bus, "writer");
  using ann = await connect(bus, "ann");
  using bob = await connect(bus, "bob");
  await ask(ann, 1, { op: "sub", room: "lobby", presence: true });
  await ask(bob, 1, { op: "sub", room: "lobby", presence: true });
  const { result } = await ask(bob, 2, { op: "sub", room: "orders" });
  const { epoch } = result as { epoch: string };
  for (let index = 0; index < MESSAGES; index++) {
    await ask(writer, 10 + index, { op: "pub", room: "lobby", type: "chat", data: index });
    await ask(writer, 100 + index, { op: "pub", room: "orders", type: "order", data: index });
  }
  await ask(writer, 200, {
    op: "cmd",
    room: "lobby",
    name: "room.set",
    data: { key: "a", value: 1 },
  });
  // Comes later, and is given what it has missed.
  using late = await connect(bus, "late");
  await ask(late, 1, { op: "sub", room: "orders", after_offset: 0, epoch });
  await ask(bob, 3, { op: "unsub", room: "lobby" });
  const everybody = [writer, ann, bob, late];
  const total = (what: "messages" | "events") =>
    everybody.reduce((sum, client) => sum + client[what], 0);
  const look = async () => {
    const there = await counted(bus);
    return { there, here: { messages: total("messages"), events: total("events") } };
  };
  // Of the lobby to two, of the orders to one who is there and to one who comes later.
  const { there } = await seen(
    "everything is counted",
    look,
    ({ there, here }) =>
      here.messages === 4 * MESSAGES && here.events > 0 &&
      there.messages === here.messages && there.events === here.events,
  );
  assert.equal(there.own, there.messages);
});
