/**
 * The checks between an authenticated request and its socket. No socket is opened here; `tests/session_test.ts` does
 * that.
 */
import assert from "node:assert/strict";
import { Registry } from "prom-client";
import { configFrom } from "../../shared/config/load.ts";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import { ConnectionTable } from "./connection_table.ts";
import { createConnectionCounters } from "./limits.ts";
import { Pump } from "../fanout/outbox.ts";
import { NO_OBSERVERS } from "../message/testing/path.ts";
import { RateTable } from "../rates/rates.ts";
import { nativeSockets } from "../socket/native.ts";
import { createStats } from "../stats/stats.ts";
import { TenantTable } from "../stats/tenant_stats.ts";
import { banOf, putBan, testBans } from "../auth/testing/bans.ts";
import { random } from "../fanout/testing/hub.ts";
import { ann } from "../auth/testing/identity.ts";
import { keptLog, SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import { createUpgrade, type UpgradeContext } from "./upgrade.ts";

const URL_TEXT = "http://shield/v1/socket";
const UPGRADE = { upgrade: "websocket" };
const handshake = (headers: Record<string, string> = UPGRADE) => new Request(URL_TEXT, { headers });

async function testUpgrade(onConnect: UpgradeContext["overseer"]["onConnect"]) {
  const engine = testSpine();
  const test = await testBans(engine.spine);
  await test.bans.ready;
  const config = configFrom({});
  const counters = createConnectionCounters(
    config.limits,
    createMetrics({ node_id: "test", version: "0" }),
  );
  const connections = new ConnectionTable();
  const context: UpgradeContext = {
    config,
    node_id: "test",
    counters,
    rates: new RateTable(config.limits, new Registry(), SPINE_NOW_MS),
    overseer: { onConnect },
    connections,
    sockets: new Map(),
    socket_server: nativeSockets({
      ...config.server,
      waiting_max: { messages: 1_000, bytes: 1_000_000 },
    }),
    onClosed: () => {},
    observers: NO_OBSERVERS,
    presence: { keep: () => undefined },
    pump: new Pump(),
    stats: createStats(),
    tenants: new TenantTable(),
    log: keptLog().log,
    now: () => SPINE_NOW_MS,
    random,
    operations: {} as UpgradeContext["operations"],
    requireNotBanned: (identity) => test.bans.requireEntry(identity),
    isDraining: () => false,
    leave: () => {},
    leaveAll: () => {},
  };
  const upgrade = createUpgrade(context);
  return {
    ...test,
    connections,
    counters,
    upgrade: (headers?: Record<string, string>) =>
      upgrade(handshake(headers), { identity: ann, remote_ip: "127.0.0.1" }),
    async [Symbol.asyncDispose]() {
      test[Symbol.dispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}

Deno.test("a ban that arrives while policies judge a connection rejects it", async () => {
  const asked = Promise.withResolvers<void>();
  const verdict = Promise.withResolvers<void>();
  await using test = await testUpgrade(() => {
    asked.resolve();
    return verdict.promise;
  });
  const refused = assert.rejects(test.upgrade(), { reason: "banned", code: 403 });
  await asked.promise;
  assert.equal(test.counters.distinct().users, 1);
  await putBan(test.bucket, "acme", banOf());
  await test.arrived.count(1);
  verdict.resolve();
  await refused;
  assert.equal(test.connections.size, 0);
  assert.equal(test.counters.distinct().users, 0, "its slot is free again");
});

Deno.test("a handshake without its headers is refused, and its slot is free again", async () => {
  await using test = await testUpgrade(() => undefined);
  await assert.rejects(test.upgrade(), { reason: "not-a-websocket", code: 400 });
  assert.equal(test.counters.distinct().users, 0);
});

Deno.test("a refused handshake names the wrong header, and the expected value", async () => {
  await using test = await testUpgrade(() => undefined);
  const key = { "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==" };
  const good = { ...UPGRADE, ...key, connection: "Upgrade", "sec-websocket-version": "13" };
  const wrong: [change: Record<string, string>, says: RegExp][] = [
    [{ upgrade: "h2c" }, /^Not a websocket: there is no Upgrade: websocket$/],
    [{ connection: "keep-alive" }, /^Not a websocket: there is no Connection: Upgrade$/],
    [{ "sec-websocket-version": "8" }, /^Not a websocket: Sec-WebSocket-Version must be 13$/],
    [{ "sec-websocket-key": "short" }, /^Not a websocket: Sec-WebSocket-Key is missing or/],
  ];
  for (const [change, says] of wrong) {
    const refusal = { reason: "not-a-websocket", code: 400, message: says };
    await assert.rejects(test.upgrade({ ...good, ...change }), refusal);
  }
  const offers: [offer: string, says: RegExp][] = [
    ["mqtt,arqon.v2", /: "mqtt, arqon.v2"; expected arqon.v1 or arqon.v1.json$/],
    ['"arqon.v1"', /: "\\"arqon.v1\\"" is not a token: items have no quotes or spaces$/],
    ['"x,arqon.v1,y"', /: "\\"x" is not a token/],
    ["arqon.v1 arqon.v1.json", /: "arqon.v1 arqon.v1.json" is not a token/],
  ];
  for (const [offer, says] of offers) {
    const headers = { ...good, "sec-websocket-protocol": offer };
    const refusal = { reason: "unsupported-subprotocol", code: 400, message: says };
    await assert.rejects(test.upgrade(headers), refusal);
  }
});
