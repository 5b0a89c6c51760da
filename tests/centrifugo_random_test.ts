/**
 * Clients of Centrifugo's protocol that send random commands, while a backend subscribes and unsubscribes them and
 * classes change: each command gets one answer, and the client's list of its subscriptions is correct.
 */
import assert from "node:assert/strict";
import { seeded } from "../shared/testing/seeded.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { samplesOf } from "./harness/server_state.ts";
import { AdminClient } from "./peers/admin_client.ts";
import {
  apiKey,
  type CentrifugoPeer,
  openRaw,
  order,
  type Reply,
} from "./peers/centrifugo_peer.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[centrifugo]
enabled = true
presence = ["log:*"]
join_leave = ["join:*"]
server_side = ["own:*"]
${apiKey()}${durableRooms("log:*", 'delta = "fossil"')}
${durableRooms("own:*")}
`;
const CHANNELS = ["a", "log:1", "join:1", "own:1", "own:2", "$x", "#tester", "#other", "", "ünï"];
const NAMES = [...CHANNELS, "x".repeat(70), "__proto__", "constructor"];
const COMMANDS = 60;

type Pick = <T>(from: readonly T[]) => T;

/** Subscription tokens, valid and invalid. */
type Tokens = Readonly<Record<"good" | "narrow" | "other" | "late", string>>;

function commandOf(pick: Pick, tokens: Tokens, ofChannel: ReadonlyMap<string, string>): object {
  const channel = pick(NAMES);
  const recover = { recover: true, epoch: "x", offset: 1 };
  const asked = [{}, recover, { ...recover, flag: 2 }, { join_leave: true }, { delta: "fossil" }];
  const token = pick([
    ofChannel.get(channel),
    ofChannel.get("a"),
    tokens.other,
    tokens.late,
    "x.y",
  ]);
  const since = { offset: Number.MAX_SAFE_INTEGER, epoch: "x" };
  const method = pick(["", "/", "a", `${channel}/room.get`, `${channel}/none`]);
  return pick<object>([
    { subscribe: { channel, ...pick<object>([...asked, { tf: { op: "or" } }, { type: 1 }]) } },
    { subscribe: { channel, token } },
    { subscribe: { channel: pick(CHANNELS) } },
    { unsubscribe: { channel } },
    { unsubscribe: { channel: pick(CHANNELS) } },
    { publish: { channel, data: pick<unknown>([1, { a: 1 }, null]) } },
    { [pick(["presence", "presence_stats"])]: { channel } },
    { history: { channel, ...pick<object>([{}, { limit: -1, reverse: true }, { since }]) } },
    { sub_refresh: { channel, token } },
    { refresh: { token: pick([tokens.good, tokens.narrow]) } },
    { rpc: { method, data: pick<unknown>([null, {}, "x"]) } },
    pick<object>([{ ping: {} }, {}]),
  ]);
}

/** A random action of a backend, or of an admin that sets classes. */
async function meddle(bus: TestBus, admin: AdminClient, pick: Pick): Promise<void> {
  const whom = { user: "tester", channel: pick(["own:1", "own:2", "log:1"]) };
  const subscribe = { subscribe: whom };
  const unsubscribe = { unsubscribe: whom };
  const commands = pick([[subscribe], [unsubscribe], [unsubscribe, subscribe, unsubscribe]]);
  const room_class = { room: pick(["log:*", "own:*"]), durable: pick([true, false]) };
  if (pick([true, false])) {
    return void await admin.ask("PUT", "/v1/tenants/default/rooms", room_class);
  }
  const { replies } = await order(bus.http_url, "batch", { commands });
  assert.equal(replies.length, commands.length);
}

/** The channels of a client, according to the replies and pushes that it received. */
function believed({ received }: CentrifugoPeer, sent: readonly Reply[]): ReadonlySet<string> {
  const all = new Set<string>();
  for (const { id = 0, connect, subscribe, unsubscribe, push = {} } of received) {
    for (const name of Object.keys(connect?.subs ?? {})) all.add(name);
    if (subscribe !== undefined) all.add(sent[id].subscribe.channel);
    if (unsubscribe !== undefined) all.delete(sent[id].unsubscribe.channel);
    if (push.unsubscribe !== undefined) all.delete(push.channel);
    if (push.subscribe !== undefined) all.add(push.channel);
  }
  return all;
}

async function anyClient(bus: TestBus, seed: number): Promise<void> {
  const random = seeded(seed);
  const pick: Pick = (from) => from[Math.floor(random() * from.length)]!;
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const grants = [{ room: "log:*", actions: ["subscribe"] }];
  const tokens = {
    good: await bus.tokenFor(),
    narrow: await bus.tokenFor({ claims: { grants } }),
    other: await bus.tokenFor({ user: "eve" }),
    late: await bus.tokenFor({ ttl_seconds: -3_600 }),
  };
  const ofChannel = new Map<string, string>();
  for (const channel of NAMES) {
    ofChannel.set(channel, await bus.tokenFor({ claims: { channel } }));
  }
  const client = await openRaw(bus);
  const subs = { "own:1": { recover: true, epoch: "x", offset: 3 } };
  const channels = pick([["own:1", "own:2", "a", "log:1", "$x", "#tester"], undefined]);
  const claims = channels === undefined ? {} : { channels };
  const sent: Reply[] = [{}, { id: 1, connect: { token: await bus.tokenFor({ claims }), subs } }];
  client.send(sent[1]);
  for (let id = 2; id < COMMANDS; id++) {
    sent.push({ id, ...commandOf(pick, tokens, ofChannel) });
    client.send(sent[id]);
    if (pick([true, ...Array(7).fill(false)])) await meddle(bus, admin, pick);
  }
  const answered = () => client.received.flatMap(({ id }) => id ?? []);
  const missing = () => sent.slice(1).filter(({ id }) => !answered().includes(id));
  await until(
    () => `seed ${seed}: ${JSON.stringify(missing())}, ${client.closed?.code}`,
    () => missing().length === 0,
  );
  assert.equal(answered().length, new Set(answered()).size, `seed ${seed}: one answer each`);
  const has = async () => (await samplesOf(bus.ops_url)).get("shield_subscriptions");
  const names = () => [...believed(client, sent)];
  await until(() => `seed ${seed}: in ${names()}`, async () => await has() === names().length);
  client.close();
  await until("all are out", async () => await has() === 0);
}

for (const rate of [undefined, 20]) {
  const beyond = rate === undefined ? "" : ", also over its rate";
  Deno.test(`each command has one answer, and a client knows its channels${beyond}`, async () => {
    const limits = rate === undefined ? "" : `[limits]\nuser_messages_per_second = ${rate}\n`;
    await using bus = await startLocalBus(CONFIG + limits);
    for (let seed = 1; seed <= 8; seed++) await anyClient(bus, seed);
  });
}
