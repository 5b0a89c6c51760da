/** Centrifugo's tokens with its own library: grants from claims, and subscription tokens. */
import assert from "node:assert/strict";
import type { Centrifuge, SubscriptionOptions } from "centrifuge";
import { connect } from "../sdk/typescript/mod.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus, TokenOptions } from "./harness/test_bus.ts";
import { opened } from "./peers/centrifugo_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const CONFIG = `
[centrifugo]
enabled = true
presence = ["*"]
`;

const open = (
  bus: TestBus,
  options: TokenOptions,
  getToken = () => bus.tokenFor(options),
): Promise<Centrifuge & Disposable> => opened(bus.url, { getToken });

/** The code with which the library gives up a channel; undefined if it subscribed. */
function outcome(client: Centrifuge, channel: string, options: Partial<SubscriptionOptions> = {}) {
  const sub = client.newSubscription(channel, options);
  const ended = new Promise<number | undefined>((resolve) => {
    sub.once("unsubscribed", ({ code }) => resolve(code));
    sub.once("subscribed", () => resolve(undefined));
  });
  sub.subscribe();
  return ended.then((code) => ({ sub, code }));
}

Deno.test("caps and channels of a token become its grants in each protocol", async () => {
  await using bus = await startLocalBus(CONFIG);
  const caps = [{ channels: ["news*"], match: "wildcard", allow: ["sub"] }];
  const claims = { caps, channels: ["mine", "$mine"] };
  using client = await open(bus, { user: "ann", claims });
  assert.equal((await outcome(client, "news:1")).code, undefined);
  const { sub, code } = await outcome(client, "$mine");
  assert.equal(code, undefined);
  await assert.rejects(sub.publish({}), { code: 103 });
  assert.equal((await outcome(client, "other")).code, 103);
  // A restricted token must not be unrestricted in another protocol.
  await using own = await connect({ url: bus.url, token: await bus.tokenFor({ claims }) });
  await assert.rejects(own.room("other").subscribe().ready, { reason: "not-granted" });
  await assert.rejects(own.room("mine").publish("t", 1), { reason: "not-granted" });
});

Deno.test("a subscription token admits its connection to one channel until it expires", async () => {
  await using bus = await startLocalBus(CONFIG);
  const ann = { user: "ann", claims: { grants: [] } };
  let requests = 0;
  // A client refreshes a tenth of this time before the end, which a busy machine may need.
  using client = await open(
    bus,
    ann,
    () => (requests++, bus.tokenFor({ ...ann, ttl_seconds: 10 })),
  );
  const tokenOf = (channel: string, more: TokenOptions = {}, claims = {}) =>
    bus.tokenFor({ user: "ann", ...more, claims: { channel, ...claims } });
  assert.equal((await outcome(client, "a")).code, 103);
  assert.equal((await outcome(client, "b", { token: await tokenOf("c") })).code, 103);
  const of_bob = await tokenOf("d", { user: "bob" });
  assert.equal((await outcome(client, "d", { token: of_bob })).code, 103);
  assert.equal((await outcome(client, "e", { token: "no.token.here" })).code, 103);
  const elsewhere = await tokenOf("i", { tenant: "other" });
  assert.equal((await outcome(client, "i", { token: elsewhere })).code, 103);
  const forever = { token: await tokenOf("$f", { ttl_seconds: 1 }, { expire_at: 0 }) };
  const { sub, code } = await outcome(client, "$f", forever);
  assert.equal(code, undefined);
  let renewed = 0;
  const getToken = () => (renewed++, tokenOf("g", { ttl_seconds: 2 }));
  const { sub: other } = await outcome(client, "g", { getToken });
  const ended: (number | undefined)[] = [];
  // This client never refreshes its token.
  const late = {
    token: await tokenOf("h", { ttl_seconds: 2 }),
    getToken: () => new Promise<string>(() => {}),
  };
  const refused = await outcome(client, "h", late);
  assert.equal(refused.code, undefined);
  refused.sub.on("unsubscribed", ({ code }) => void ended.push(code));
  refused.sub.on("subscribing", ({ code }) => void ended.push(code));
  await until("renewed tokens", () => requests >= 2 && renewed >= 3);
  await until("the end of one", () => ended.length > 0);
  assert.equal(ended[0], 2501);
  assert.equal(sub.state, "subscribed");
  // A client that refreshed too late subscribes again.
  await until("it is subscribed", () => other.state === "subscribed");
});

Deno.test("the journal of members says that a member's subscription token has ended", async () => {
  const config = `${CONFIG}[[rooms]]\nroom = "kept"\nmembership = "journal"\n`;
  await using bus = await startLocalBus(config);
  const grants = [{ room: "kept", actions: ["presence"] }];
  using client = await open(bus, { user: "ann", claims: { grants } });
  const options = {
    token: await bus.tokenFor({ user: "ann", ttl_seconds: 2, claims: { channel: "kept" } }),
    getToken: () => new Promise<string>(() => {}),
  };
  assert.equal((await outcome(client, "kept", options)).code, undefined);
  const peer = new HttpPeer(bus.http_url, bus.token);
  const left = async () =>
    (await peer.history("kept~members")).messages.filter(({ type }) => type === "left");
  await until("ann has left", async () => (await left()).length > 0);
  assert.deepEqual((await left()).map(({ data }) => data.cause), ["token-ended"]);
});

Deno.test("a revoked subscription token ends its subscription, and its connection stays", async () => {
  await using bus = await startLocalBus(CONFIG);
  using client = await open(bus, { user: "ann", claims: { grants: [] } });
  const tokenOf = (channel: string) =>
    bus.tokenFor({ user: "ann", claims: { channel, jti: `of-${channel}`, expire_at: 0 } });
  const { sub } = await outcome(client, "$a", { token: await tokenOf("$a") });
  const { sub: other } = await outcome(client, "$b", { token: await tokenOf("$b") });
  const ended: number[] = [];
  sub.once("unsubscribed", ({ code }) => void ended.push(code));
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const asked = { tenant: "default", token_id: "of-$a" };
  assert.equal((await admin.call("POST", "revocations", asked)).status, 200);
  await until("its end", () => ended.length > 0);
  assert.deepEqual(ended, [2000]);
  assert.equal((await outcome(client, "$a:again", { token: await tokenOf("$a") })).code, 103);
  assert.deepEqual([client.state, other.state], ["connected", "subscribed"]);
});

Deno.test("an expire_at has the same clock tolerance as an exp", async () => {
  await using bus = await startLocalBus(CONFIG);
  const ann = { user: "ann", claims: { grants: [] } };
  using client = await open(bus, ann);
  const now_seconds = Math.floor(Date.now() / 1_000);
  for (const [seconds_ago, code] of [[10, undefined], [60, 109]] as const) {
    const channel = `ago-${seconds_ago}`;
    const claims = { channel, expire_at: now_seconds - seconds_ago };
    const sub = client.newSubscription(channel, {
      token: await bus.tokenFor({ user: "ann", claims }),
      getToken: () => new Promise<string>(() => {}),
    });
    const closed_with = new Promise<number | undefined>((resolve) => {
      sub.once("error", ({ error }) => resolve(error.code));
      sub.once("subscribed", () => resolve(undefined));
    });
    sub.subscribe();
    assert.equal(await closed_with, code, channel);
  }
});

Deno.test("a subscription token as a connection token grants only its channel", async () => {
  await using bus = await startLocalBus(CONFIG);
  const claims = { channel: "a", info: { from: "token" } };
  using client = await open(bus, { user: "ann", claims });
  assert.equal((await outcome(client, "b")).code, 103);
  assert.equal((await outcome(client, "a")).code, undefined);
});
