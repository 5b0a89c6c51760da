/**
 * Erasure on two Shields and one real NATS. Messages that disappear while a Shield is cut off, or by limits that are
 * lowered for a moment: a returning subscriber gets everything it missed or is refused; `nats_log_test.ts` has purges
 * and single messages by an operator, the factor `removed` of `tests/model` the admin API. A tenant that is erased
 * beside clients of other protocols, running operations, and faults of the Shields: none of its data is served or
 * returns.
 */
import assert from "node:assert/strict";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { atEnd } from "../shared/testing/at_end.ts";
import { seen, until } from "../shared/testing/until.ts";
import { startLocalBus, startLocalShield } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { DurableClient, numbers } from "./peers/durable_client.ts";
import { startTcpProxy, type TcpProxy } from "./harness/tcp_proxy.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { createIssuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { startShadowConsumer } from "./model/shadow_consumer.ts";
import { AdminClient } from "./peers/admin_client.ts";
import {
  asker,
  BAD_RULE,
  GOOD_RULE,
  OLD_RULE,
  putPolicy,
  rolloutBody,
  upload,
} from "./rollout_traffic.ts";
import { guest } from "./peers/hostile_bytes.ts";
import { secretFile } from "../shared/config/testing/secret_file.ts";
import { openWith } from "./peers/centrifugo_peer.ts";
import { send } from "./peers/own_connections.ts";

const KEPT = 20;
/** Logs words of a message, and would refuse it. */
const TELLS = guest({
  hook: "(call $log (i32.const 1) (i32.const 64) (i32.const 8)) (i32.const 1)",
  more: '(data (i32.const 64) "ann said")',
});
const ROOMS = `
[limits]
messages_per_second = 10_000
${durableRooms("*", `history_size = ${KEPT}`)}
`;

interface Stage {
  readonly manager: JetStreamManager;
  readonly stream: string;
  /** A client of the first Shield, which opens each room before it has messages, or of the second. */
  open(shield: 0 | 1): Promise<DurableClient>;
  readonly token: string;
  readonly urls: readonly [string, string];
  /** Between the first Shield and NATS. */
  readonly link: TcpProxy;
  subjectOf(room: string): string;
}

async function onStage(run: (stage: Stage) => Promise<void>): Promise<void> {
  await using nats = await startNats({ jetstream: true });
  await using link = startTcpProxy(nats.port);
  const configOf = (url: string) => `[nats]\nurls = ["${url}"]\n${ROOMS}`;
  await using two = await startLocalBus(configOf(nats.url));
  await using one = await startLocalBus(configOf(`nats://127.0.0.1:${link.port}`));
  const shields = [one, two] as const;
  const tenant = "acme";
  const token = await two.tokenFor({ tenant, user: "ann" });
  const open = (at: 0 | 1) => DurableClient.open(shields[at].url, token);
  using busy = await open(0);
  using other = await open(1);
  // Both have the log open, and other rooms of the tenant are trimmed by size, as usual.
  await other.join("busy");
  await busy.fill("busy", numbers(0, 3 * KEPT));
  const connection = await connect({ servers: nats.url });
  await using _end = atEnd(() => connection.close());
  const manager = await jetstreamManager(connection);
  const streams = await manager.streams.list().next();
  const names = streams.map(({ config }) => config.name).filter((name) => /^LOG_/.test(name));
  assert.equal(names.length, 1);
  await run({
    manager,
    stream: names[0]!,
    open,
    token,
    link,
    urls: [one.http_url, two.http_url],
    subjectOf: (room) => `log.t.acme.r.${room}`,
  });
}

/** The result for a client that returns with this position: "" when it got everything, else the reason. */
async function comesBack(
  { open }: Stage,
  at: 0 | 1,
  room: string,
  place: object,
  missed: readonly number[],
): Promise<string> {
  using client = await open(at);
  const { recovered, reason } = await client.join(room, place);
  if (!recovered) return reason;
  if (missed.length > 0) await client.receives(missed);
  return "";
}

const WAYS = { whole: {}, keep: { keep: 5 } };

/** Purged while the first Shield is disconnected from NATS: it receives no request. */
async function whileCut(stage: Stage): Promise<void> {
  for (const way of ["whole", "keep"] as const) {
    const room = `cut-${way}`;
    using reader = await stage.open(0);
    const { offset: start, epoch } = await reader.join(room);
    using publisher = await stage.open(1);
    const offsets = await publisher.fill(room, numbers(0, 10));
    await reader.receives(offsets);
    await publisher.fill("busy", numbers(0, 3 * KEPT));
    await stage.link.cut();
    const options = { filter: stage.subjectOf(room), ...WAYS[way] };
    await stage.manager.streams.purge(stage.stream, options);
    stage.link.restore();
    const back = (after_offset: number | undefined) =>
      comesBack(stage, 0, room, { after_offset, epoch }, []);
    // A Shield without NATS refuses, too.
    const answer = await seen(
      "the cut Shield to refuse",
      () => back(offsets[1]).catch(() => "no answer"),
      (reason) => reason === "history-trimmed" || reason === "",
      30_000,
    );
    assert.equal(answer, "history-trimmed", way);
    assert.equal(await back(start), "history-trimmed", way);
    const { body } = await new HttpPeer(stage.urls[0], stage.token).call(
      "GET",
      `rooms/${room}/messages?limit=100`,
    );
    const left = way === "whole" ? [] : offsets.slice(5);
    assert.deepEqual(body.messages.map(({ offset }: { offset: number }) => offset), left, way);
    await publisher.fill(room, ["next"]);
    for (const place of [start, offsets[3]]) {
      assert.equal(await back(place), "history-trimmed", `${way}, later, after ${place}`);
    }
  }
}

/** Lowered limits remove messages, and send no purge request. */
async function lowersLimits(stage: Stage): Promise<void> {
  const room = "edited";
  const { config } = await stage.manager.streams.info(stage.stream);
  const limit = async (max_msgs_per_subject: number) =>
    void await stage.manager.streams.update(stage.stream, { max_msgs_per_subject });
  for (const at of [0, 1] as const) {
    using reader = await stage.open(at);
    const { offset: start, epoch } = await reader.join(`${room}-${at}`);
    using publisher = await stage.open(0);
    const offsets = await publisher.fill(`${room}-${at}`, numbers(0, 10));
    await reader.receives(offsets);
    await publisher.fill("busy", numbers(0, 3 * KEPT));
    const back = (after_offset: number | undefined, missed: readonly number[] = []) =>
      comesBack(stage, at, `${room}-${at}`, { after_offset, epoch }, missed);
    await limit(3);
    // The stream no longer shows any trace of that.
    await limit(config.max_msgs_per_subject);
    await seen("a refusal", () => back(offsets[1]), (reason) => reason !== "", 5_000);
    for (const place of [start, offsets[0], offsets[5]]) {
      assert.equal(await back(place), "history-trimmed", `${at}, after ${place}`);
    }
    assert.equal(await back(offsets[7], offsets.slice(8)), "", "what is there is given");
  }
}

Deno.test("messages erased while a Shield had no NATS, or by lower limits, do not count as recovered", async () => {
  await onStage(async (stage) => {
    await whileCut(stage);
    await lowersLimits(stage);
  });
});

/** Two Shields; each row has its own tenant. */
interface Beside {
  readonly nats_url: string;
  /** May be stopped and killed; the first one erases. */
  readonly second: ServerProcess;
  readonly admin_urls: readonly [string, string];
  readonly tenant: string;
  token(user: string, role?: "admin"): Promise<string>;
  open(shield: 0 | 1): Promise<DurableClient>;
  urlOf(shield: 0 | 1): string;
  http(shield: 0 | 1): Promise<HttpPeer>;
  /** Erases the whole tenant, and whatever was missed in time. */
  erase(shield?: 0 | 1, whose?: object): Promise<void>;
  /** The tenant's data, by store. */
  stocks(shield?: 0 | 1): Promise<Record<string, number>>;
}

const offsetsOf = async (stage: Beside, shield: 0 | 1, room: string): Promise<number[]> => {
  const { body } = await (await stage.http(shield)).get(`rooms/${room}/messages?limit=1000`);
  return body.messages.map(({ offset }: { offset: number }) => offset);
};

/** Has each stored, also if the log of a busy machine answers late. */
async function fill(
  client: DurableClient,
  room: string,
  all: readonly unknown[],
): Promise<number[]> {
  const offsets: number[] = [];
  for (let at = 0; at < all.length; at += 25) {
    const part = all.slice(at, at + 25).map((data, n) => ({
      op: "pub",
      room,
      type: "t",
      data,
      message_id: `${room}.${at + n}.${crypto.randomUUID()}`,
    }));
    let ids = part.map((frame) => client.send(frame));
    for (let left = part; left.length > 0;) {
      const answers: { code: number; offset?: number }[] = [];
      for (const id of ids) answers.push(await client.answer(id));
      for (const { code, offset = 0 } of answers) if (code === 0) offsets.push(offset);
      left = left.filter((_, n) => answers[n]!.code === 503);
      ids = left.map((frame) => client.send(frame));
    }
  }
  assert.equal(offsets.length, all.length);
  return offsets;
}

/** What a returning client receives. */
async function returns(stage: Beside, at: 0 | 1, room: string, place: object): Promise<string> {
  using client = await stage.open(at);
  const { recovered, reason } = await client.join(room, place);
  return recovered ? "recovered" : reason;
}

/** By the protocol of Centrifugo. */
async function centrifugo(stage: Beside, shield: 0 | 1) {
  return await openWith({ url: stage.urlOf(shield) }, await stage.token("ann"));
}

const BESIDE: Readonly<Record<string, (stage: Beside) => Promise<void>>> = {
  async "a Centrifugo client"(stage) {
    using publisher = await stage.open(0);
    using live = await centrifugo(stage, 1);
    const { subscribe } = await live.ask({ subscribe: { channel: "r", recoverable: true } });
    const all = await fill(publisher, "r", numbers(0, 10));
    await until(
      "it receives them",
      () => live.received.filter(({ push }) => push?.pub).length === 10,
    );
    await stage.erase();
    const back = async (shield: 0 | 1) => {
      using client = await centrifugo(stage, shield);
      const { epoch } = subscribe;
      const position = { recover: true, offset: all[2], epoch };
      const answer = await client.ask({ subscribe: { channel: "r", ...position } });
      const history = await client.ask({ history: { channel: "r", limit: 100 } });
      return { ...answer.subscribe, history: history.history?.publications ?? [] };
    };
    for (const shield of [0, 1] as const) {
      const answer = await seen(
        "its recovery is refused",
        () => back(shield),
        (one) => one.recovered !== true,
      );
      assert.equal(answer.was_recovering, true);
      assert.deepEqual([answer.publications ?? [], answer.history], [[], []]);
    }
    // A client that has received everything continues.
    await fill(publisher, "r", ["next"]);
    await until("it continues", () => live.received.filter(({ push }) => push?.pub).length === 11);
    assert.deepEqual(live.received.filter(({ push }) => push?.unsubscribe || push?.disconnect), []);
  },
  async "a Pusher client"(stage) {
    const socket = new WebSocket(`${stage.urlOf(1)}/app/key-1?protocol=7`);
    const events: { event: string; data: string }[] = [];
    socket.onmessage = ({ data }) => void events.push(JSON.parse(data));
    const count = () => events.filter(({ event }) => event === "t").length;
    await until("it is connected", () => events.length > 0);
    socket.send(JSON.stringify({ event: "pusher:subscribe", data: { channel: "r" } }));
    await until("it has subscribed", () => events.length > 1);
    using publisher = await stage.open(0);
    await fill(publisher, "r", numbers(0, 10));
    await until(() => `it hears them: ${JSON.stringify(events)}`, () => count() === 10, 20_000);
    await stage.erase();
    await fill(publisher, "r", ["next"]);
    await until("it continues", () => count() > 10);
    assert.deepEqual([count(), events.at(-1)?.event, events.length], [11, "t", 13]);
    socket.close();
  },
  async "a mirror"(stage) {
    const connection = await connect({ servers: stage.nats_url });
    await using _end = atEnd(() => connection.close());
    const admin = new HttpPeer(stage.admin_urls[0], await stage.token("root", "admin"));
    const { tenant } = stage;
    const { shadowsOf } = await startShadowConsumer(connection);
    const copies = () => shadowsOf(tenant, "r").length;
    const rule = { prefix: `in.t.${tenant}.r.r`, percent: 1 };
    assert.equal((await admin.call("PUT", `tenants/${tenant}/mirror`, rule)).status, 200);
    using publisher = await stage.open(0);
    await fill(publisher, "r", numbers(0, 30));
    await until("copies exist", () => copies() === 30);
    await stage.erase();
    await seen("nothing is copied any longer", async () => {
      const before = copies();
      await fill(publisher, "r", ["later"]);
      await connection.flush();
      return copies() - before;
    }, (more) => more === 0);
  },
  async "a rollout that is under way"(stage) {
    const { tenant } = stage;
    const ask = asker(
      stage.admin_urls[0],
      await stage.token("root", "admin"),
    );
    await putPolicy(ask, tenant, await upload(ask, OLD_RULE));
    const body = await rolloutBody(ask, tenant, await upload(ask, GOOD_RULE), {});
    assert.equal((await ask("POST", `rollouts/${tenant}`, body)).status, 200);
    using publisher = await stage.open(0);
    const traffic = async (n: number) => {
      for (let at = 0; at < n; at++) await publisher.pub("r", "abc1");
    };
    await seen(
      "the share grows",
      async () => {
        await traffic(5);
        return (await ask("GET", `rollouts/${tenant}`)).body.share;
      },
      (share) => share > 0,
      60_000,
    );
    const under_way = traffic(200);
    await stage.erase();
    await under_way;
    await stage.erase();
    const left = () => stage.stocks();
    await seen(
      "nothing of it is left",
      left,
      ({ messages = 0, journal: _, usage: __, ...rest }) =>
        messages === 0 && Object.keys(rest).length === 0,
    );
    assert.equal((await ask("GET", `rollouts/${tenant}`)).status, 404);
    const { body: { policies } } = await ask("GET", `tenants/${tenant}/state`);
    assert.deepEqual(policies, []);
    for (const admin_url of stage.admin_urls) {
      const { body: { tenants } } = await asker(admin_url, await stage.token("root", "admin"))(
        "GET",
        "state",
      );
      assert.equal(tenants.includes(tenant), false, "as one that was never there");
    }
  },
  async "what Shields remember of messages for operators"(stage) {
    const { tenant, admin_urls } = stage;
    const token = await stage.token("root", "admin");
    const ask = asker(admin_urls[0], token);
    const done = async (method: string, path: string, body: object) => {
      const answer = await ask(method, path, body);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
    };
    await done("PUT", `tenants/${tenant}/mirror`, { prefix: `in.t.${tenant}.*`, percent: 1 });
    const sha256 = await upload(ask, TELLS);
    await done("POST", "policies/deploy", { tenant, name: "tells", sha256, mode: "observe" });
    await putPolicy(ask, tenant, await upload(ask, OLD_RULE));
    const body = await rolloutBody(ask, tenant, await upload(ask, BAD_RULE), { for_ms: 600_000 });
    const policies = body.policies.map((one: { name: string }) =>
      one.name === "tells" ? { ...one, sha256 } : one
    );
    await done("POST", `rollouts/${tenant}`, { ...body, policies });
    const publish = async () => {
      for (const shield of [0, 1] as const) {
        const message = { type: "t", data: "abc7" };
        await (await stage.http(shield)).call("POST", "rooms/r/messages", message);
      }
    };
    const quoting = async () => {
      const headers = { authorization: `Bearer ${token}` };
      const paths = ["policies/logs?follow=false&", "mirror/diff?", `rollouts/${tenant}?`];
      const urls = admin_urls.flatMap((url) => paths.map((path) => `${url}/v1/${path}`));
      const texts = await Promise.all(urls.map(async (url) => {
        const query = url.includes("rollouts") ? "" : `tenant=${tenant}`;
        return await (await fetch(`${url}${query}`, { headers })).text();
      }));
      return urls.filter((_, at) => /ann said|"trace_id"|"user":"ann"/.test(texts[at]!)).length;
    };
    for (const state of ["running", "returned"]) {
      await seen("all show it", () => publish().then(quoting), (shown) => shown === 6, 30_000);
      if (state === "returned") await done("POST", `rollouts/${tenant}/abort`, {});
      await stage.erase(1, { user: "ann" });
      assert.equal((await ask("GET", `rollouts/${tenant}`)).body.rollout.state, state);
      await seen("nobody shows it", quoting, (shown) => shown === 0, 5_000);
    }
  },
  async "an export"(stage) {
    using publisher = await stage.open(0);
    for (const room of ["r", "s"]) {
      await fill(publisher, room, numbers(0, 200).map((n) => `${n} ${"x".repeat(2_000)}`));
    }
    const admin_url = stage.admin_urls[1];
    const url = `${admin_url}/v1/data/export?tenant=${stage.tenant}`;
    const response = await send(url, await stage.token("root", "admin"), "GET");
    assert.equal(response.status, 200);
    const erased = stage.erase();
    const lines = (await response.text()).trim().split("\n").map((line) => JSON.parse(line));
    await erased;
    const { end, lines: count } = lines.pop();
    assert.deepEqual([end, count], [true, lines.length]);
    assert.deepEqual(await stage.stocks(1), {});
  },
  async "a second one"(stage) {
    using publisher = await stage.open(0);
    for (const room of ["r", "s"]) await fill(publisher, room, numbers(0, 300));
    await Promise.all([stage.erase(0), stage.erase(1)]);
    assert.deepEqual(await stage.stocks(), {});
  },
  async "a Shield that is stopped meanwhile"(stage) {
    using reader = await stage.open(1);
    const { epoch } = await reader.join("r");
    using publisher = await stage.open(0);
    const offsets = await fill(publisher, "r", numbers(0, 10));
    await reader.receives(offsets);
    const growing = async (name: string, data: object) =>
      await reader.ask({ op: "cmd", room: "r", name: `growing.${name}`, data });
    await growing("start", { id: "g" });
    assert.equal((await growing("append", { id: "g", seq: 1, text: "secret" })).code, 0);
    assert.deepEqual((await offsetsOf(stage, 1, "r")).slice(0, 10), offsets, "it has them cached");
    stage.second.signal("SIGSTOP");
    try {
      await stage.erase();
      const erased_ms = performance.now();
      await until("a second has passed", () => performance.now() - erased_ms > 1_000);
    } finally {
      stage.second.signal("SIGCONT");
    }
    // As in docs/data.md: from then on no Shield serves it, whether it knew the second one or not.
    const refusals = [];
    for (const after_offset of [offsets[1], offsets[3]]) {
      refusals.push(await returns(stage, 1, "r", { after_offset, epoch }));
    }
    const history = await offsetsOf(stage, 1, "r");
    assert.deepEqual([refusals, history], [["erased", "erased"], []]);
    const more = await growing("append", { id: "g", seq: 2, text: "more" });
    assert.notEqual(more.code, 0, "its text is gone");
    await growing("finish", { id: "g", seq: 2 });
    assert.deepEqual(await stage.stocks(), {});
  },
  async "a Shield that is killed in the midst of it"(stage) {
    using publisher = await stage.open(0);
    const rooms = ["r", "s", "t"];
    const all = new Map<string, number[]>();
    for (const room of rooms) all.set(room, await fill(publisher, room, numbers(0, 300)));
    using reader = await stage.open(0);
    const { epoch } = await reader.join("r");
    const admin = new HttpPeer(stage.admin_urls[1], await stage.token("root", "admin"));
    const order = { tenant: stage.tenant, all: true };
    const erasing = admin.call("POST", "data/erase", order).then(() => "done", () => "cut");
    await seen("some are removed", () => stage.stocks(), ({ messages = 0 }) => messages < 900);
    await stage.second.stop("SIGKILL");
    assert.equal(await erasing, "cut");
    const { messages = 0 } = await stage.stocks();
    assert.ok(messages > 0, "it was killed in the midst");
    const after_offset = all.get("r")![1];
    const refused = () => returns(stage, 0, "r", { after_offset, epoch });
    await seen("a partly erased range is refused", refused, (reason) => reason === "erased");
    await stage.erase();
    assert.deepEqual(await stage.stocks(), {});
    for (const room of rooms) assert.deepEqual(await offsetsOf(stage, 0, room), []);
  },
};

const BESIDE_CONFIG = `
[limits]
messages_per_second = 100_000
${durableRooms("*", "history_size = 5_000")}
`;
const BESIDE_SHIELDS = `
[growing]
[centrifugo]
enabled = true
[pusher]
[[pusher.apps]]
id = "app-1"
key = "key-1"
secret_file = "${secretFile("a secret of the app")}"
tenant = "beside-1"
room_prefix = ""
`;

Deno.test("a tenant is erased during traffic, orders and faults, and nothing of it is served or returns", async (t) => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}${BESIDE_CONFIG}`;
  // With a Brain.
  await using one = await startLocalShield(`${config}${BESIDE_SHIELDS}`);
  await using second = await startServer("shield", `${config}${BESIDE_SHIELDS}`, issuer.dir);
  const urls = [one, second].map(({ ready }) => new URL(ready["url"] ?? "").origin);
  const admin_urls = [one.ready["admin_url"] ?? "", second.ready["admin_url"] ?? ""] as const;
  const urlOf = (shield: 0 | 1) => urls[shield]!.replace(/^http/, "ws");
  for (const [at, [beside, run]] of Object.entries(BESIDE).entries()) {
    const tenant = `beside-${at}`;
    const token = (sub: string, role?: "admin") =>
      issuer.tokenFor({ sub, tenant_id: tenant, ...(role === undefined ? {} : { role }) });
    const admin = async (shield: 0 | 1) =>
      new HttpPeer(admin_urls[shield], await token("root", "admin"));
    await t.step(`beside ${beside}`, () =>
      run({
        nats_url: nats.url,
        second,
        admin_urls,
        tenant,
        token,
        urlOf,
        open: async (shield) =>
          await DurableClient.open(`${urlOf(shield)}/v1/socket`, await token("ann")),
        http: async (shield) =>
          new HttpPeer(urlOf(shield).replace(/^ws/, "http"), await token("ann")),
        async erase(shield = 0, whose: object = { all: true }) {
          const order = { tenant, ...whose };
          const erased = async () =>
            (await (await admin(shield)).call("POST", "data/erase", order)).body;
          await seen("all of it is erased", erased, ({ stores }) =>
            stores?.every((one: { failed?: string }) =>
              one.failed === undefined
            ));
        },
        async stocks(shield = 0) {
          const { status, body } = await (await admin(shield)).call("GET", `data?tenant=${tenant}`);
          assert.equal(status, 200, JSON.stringify(body));
          return Object.fromEntries(
            body.stores.map((one: { store: string; count: number }) => [one.store, one.count]),
          );
        },
      }));
  }
});

for (const engine of ["embedded", "nats"]) {
  Deno.test(`${engine}: what a user sent is erased although the tenant has no durable class any longer`, async () => {
    await using nats = engine === "nats" ? await startNats({ jetstream: true }) : undefined;
    const urls = nats === undefined ? "" : `[nats]\nurls = ["${nats.url}"]\n`;
    await using bus = await startLocalBus(`${urls}[admin]\noperator_tenants = ["default"]\n`);
    const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
    const classes = "/v1/tenants/default/rooms";
    const kept = { room: "log-*", durable: true };
    const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "ann" }));
    await admin.ask("PUT", classes, kept);
    const path = "rooms/log-1/messages";
    await peer.done("POST", path, { type: "t", data: "of ann" });
    const removed = await admin.ask("DELETE", `${classes}?room=log-*`);
    assert.equal(removed.status, 200, removed.text);
    const erased = await admin.ask("POST", "/v1/data/erase", { tenant: "default", user: "ann" });
    assert.equal(erased.status, 200, erased.text);
    await admin.ask("PUT", classes, kept);
    const { body } = await peer.call("GET", path);
    assert.deepEqual(body.messages, [], erased.text);
  });
}
