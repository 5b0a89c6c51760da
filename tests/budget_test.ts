/**
 * Budgets of tenants over two real Shields on a real NATS, also when one is killed, and on one bus alone; prices,
 * which depend neither on the answering Shield, nor on which Shield got new ones first; and budgets that only timers
 * exhaust: a Brain, which may not write into the audit log, reports them to a Shield, once, on both engines.
 */
import assert from "node:assert/strict";
import { configFrom } from "../shared/config/load.ts";
import { openEmbedded } from "../shared/spine/embedded/embedded.ts";
import { openSpine } from "../shared/spine/open.ts";
import { encodeMinute } from "../shared/usage/minute.ts";
import { runningKey } from "../shared/usage/usage_stores.ts";
import { pace } from "../shared/testing/pace.ts";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import { until } from "../shared/testing/until.ts";
import { testLog } from "../shared/testing/logs.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { type LocalShield, startLocalBus, startLocalShield } from "./harness/local_bus.ts";
import { createIssuer, type Issuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { logged } from "./harness/server_state.ts";
import { answered, openText, type RawClient } from "./peers/raw_client.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { emptySettings } from "../shared/records/tenant_settings.ts";
import { Lives } from "../shared/lives/lives.ts";
import { OwnLife } from "../shared/lives/own_life.ts";
import { createMetrics } from "../shared/metrics/metrics.ts";
import { markKey } from "../shared/usage/budget.ts";
import { PLAIN } from "../brain/reducers/testing/guest_text.ts";
import {
  applied,
  ENGINES,
  type ReducerWorld,
  type WorldBrain,
} from "../brain/reducers/testing/reducer_world.ts";
import type { Audited } from "../shield/admin/routing/audit_trail.ts";
import type { Settings } from "../shield/settings/settings.ts";
import { startUsage } from "../shield/usage/start.ts";

const LIMIT = 20;
const USAGE = "[usage]\nenabled = true\n#constant usage.flush_ms = 50\n";
/** A budget of every tenant. */
const budget = (limit: number, action: string, unit = "messages_in") =>
  `[[usage.budgets]]\nper = "month"\nunit = "${unit}"\nlimit = ${limit}\naction = "${action}"\n`;
const BUDGETS = `${USAGE}${budget(LIMIT, "refuse")}tenant = "acme"\n`;
const DURABLE = durableRooms("r", "history_size = 5_000");
/** A line of `[usage]`. */
const pricesOf = (price: number) => `prices = { messages_in = ${price} }\n`;
const PATH = "/v1/tenants/acme/budgets";
const MONTH_MS = 31 * 86_400_000;
const BETWEEN_ROUNDS_MS = 10;
const ROUNDS_MAX = 6_000;

const publish = (client: RawClient) => answered(client, { op: "pub", room: "r", type: "t" });

const history = (client: RawClient) =>
  answered(client, { op: "cmd", room: "r", name: "history.get", data: { limit: 1 } });

/** Asks the admin API of a Shield. */
const admin = (
  { ready }: { readonly ready: { readonly admin_url?: string } },
  token: string,
  path: string,
  method = "GET",
  body?: object,
) => new AdminClient(ready.admin_url ?? "", token).ask(method, path, body);

/**
 * Publishes in turns, faster than a budget allows, until all are refused; returns how many were accepted, and the last
 * refusal.
 */
async function exhaust(clients: readonly RawClient[]) {
  let taken = 0;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    let refusal: Awaited<ReturnType<typeof publish>> | undefined;
    let refused = 0;
    for (const client of clients) {
      const answer = await publish(client);
      if (answer.code === 0) taken++;
      else {
        refused++;
        refusal = answer;
      }
    }
    if (refused === clients.length) return { taken, refusal };
    await pace(BETWEEN_ROUNDS_MS);
  }
  throw new Error(`not everybody is refused after ${ROUNDS_MAX} rounds, ${taken} were taken`);
}

/** A refusal over HTTP has the end of the period, too. */
async function refusesByHttp(shield: LocalShield, token: string): Promise<void> {
  const peer = new HttpPeer(shield.ready.url ?? "", token);
  const { status, body, headers } = await peer.call("POST", "rooms/r/messages", { data: 1 });
  assert.deepEqual([status, body.reason], [429, "budget-exhausted"]);
  assert.ok(Number(headers.get("retry-after")) >= 1);
}

/** An operator raises the budget, and then lowers it below the usage. */
async function changes(shield: LocalShield, clients: readonly RawClient[], issuer: Issuer) {
  const operator = await issuer.tokenFor({ role: "admin", sub: "root", tenant_id: "ops" });
  const own = await issuer.tokenFor({ role: "admin", sub: "boss" });
  const budget = { per: "month", unit: "messages_in", action: "refuse", limit: 1_000 };
  assert.equal((await admin(shield, own, PATH, "PUT", budget)).status, 403);
  assert.equal((await admin(shield, own, PATH)).status, 200);
  const wrong = await admin(shield, operator, PATH, "PUT", { ...budget, unit: "fuels" });
  assert.equal(wrong.status, 400);
  assert.equal((await admin(shield, operator, PATH, "PUT", budget)).status, 200);
  await until("both Shields take messages again", async () => {
    for (const client of clients) if ((await publish(client)).code !== 0) return false;
    return true;
  });
  const less = await admin(shield, operator, PATH, "PUT", { ...budget, limit: 3 });
  const [{ used, exhausted, source }] = JSON.parse(less.text).in_force;
  assert.ok(used > LIMIT, less.text);
  assert.deepEqual([exhausted, source], [true, "tenant"]);
  // A changed budget is in force at once where it was set.
  assert.equal((await publish(clients[0]!)).reason, "budget-exhausted");
  await until("the audit log has both limits, once each", async () => {
    const { text } = await admin(shield, operator, "/v1/audit?tenant=acme");
    return text.split('"budget.exhausted"').length === 3;
  });
  // The tenant's own admin can read what operators have done to it.
  const audited = await admin(shield, own, "/v1/audit?tenant=acme&action=budget.set&outcome=done");
  const entries: { by: string; from: string }[] = JSON.parse(audited.text).entries;
  assert.deepEqual(entries.map(({ by, from }) => [by, from]), [["root", ""], ["root", ""]]);
  const path = `${PATH}?per=month&unit=messages_in&action=refuse`;
  const removed = JSON.parse((await admin(shield, operator, path, "DELETE")).text);
  assert.deepEqual(removed.budgets, []);
  assert.deepEqual(removed.in_force.map((one: { limit: number }) => one.limit), [LIMIT]);
}

Deno.test("budgets: two Shields enforce one together, nobody else is affected, and a kill loses nothing", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n${BUDGETS}`;
  const admin_lines = 'operator_tenants = ["ops"]';
  const start = (node_id: string) =>
    startServer("shield", config, issuer.dir, `node_id = "${node_id}"`, { admin_lines });
  await using one = await start("one");
  const operators = '\n[admin]\noperator_tenants = ["ops"]';
  await using other = await startLocalShield(config, operators);
  const token = await issuer.tokenFor();
  using first = await openText(one.socket_url, token);
  using second = await openText(other.socket_url, token);
  const { taken, refusal } = await exhaust([first, second]);
  assert.ok(taken >= LIMIT, `${taken} were taken`);
  assert.deepEqual([refusal.code, refusal.reason], [429, "budget-exhausted"]);
  assert.ok(refusal.retry_after_ms > 0);
  await refusesByHttp(one, token);
  // Others are admitted, and the earlier messages were accepted by both.
  using globex = await openText(one.socket_url, await issuer.tokenFor({ tenant_id: "globex" }));
  assert.equal((await publish(globex)).code, 0);
  const operator = await issuer.tokenFor({ role: "admin", sub: "root", tenant_id: "ops" });
  // The messages that one Shield accepted last reach the other with the next report.
  await until("the other knows of all", async () => {
    const { text } = await admin(other, operator, PATH);
    const [{ used, left, source }] = JSON.parse(text).in_force;
    assert.deepEqual([left, source], [0, "config"]);
    return used === taken;
  });
  await changes(one, [first, second], issuer);
  await one.stop("SIGKILL");
  await using again = await start("one");
  using third = await openText(again.socket_url, token);
  await until(
    "the new life knows of it",
    async () => (await publish(third)).reason === "budget-exhausted",
  );
  assert.equal((await publish(second)).reason, "budget-exhausted");
});

Deno.test("budgets: use on a Shield whose clock is a month ahead counts in this month, and is refused in it", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n${BUDGETS}`;
  const now = () => Date.now() + MONTH_MS;
  await using right = await startLocalShield(config, 'node_id = "right"');
  await using ahead = await startLocalShield(config, 'node_id = "ahead"', { now });
  const exp = Math.floor(now() / 1_000) + 3_600;
  const token = await issuer.tokenFor({ exp });
  const boss = await issuer.tokenFor({ role: "admin", sub: "boss", exp });
  const usedAt = async (shield: LocalShield) =>
    JSON.parse((await admin(shield, boss, PATH)).text).in_force[0].used;
  using client = await openText(ahead.socket_url, token);
  for (let at = 0; at < LIMIT / 2; at++) assert.equal((await publish(client)).code, 0);
  for (const shield of [right, ahead]) {
    let used: number | undefined;
    await until(() => `${used} are used`, async () => (used = await usedAt(shield)) === LIMIT / 2);
  }
  using other = await openText(right.socket_url, token);
  const { refusal } = await exhaust([other, client]);
  const today = new Date();
  const end_ms = Date.UTC(today.getUTCFullYear(), today.getUTCMonth() + 1);
  assert.ok(refusal.message.includes(new Date(end_ms).toISOString()), refusal.message);
});

Deno.test("budgets: one that slows accepts few messages, one that warns accepts all and is reported", async () => {
  await using bus = await startLocalBus(
    `${USAGE}${budget(2, "warn")}${budget(5, "slow")}messages_per_second = 20\n`,
  );
  using client = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  const { taken, refusal } = await exhaust([client]);
  assert.ok(taken >= 5);
  assert.deepEqual([refusal.code, refusal.reason], [429, "tenant-quota"]);
  assert.ok(refusal.retry_after_ms > 0 && refusal.retry_after_ms <= 50);
  await until("a message is accepted again", async () => (await publish(client)).code === 0);
  const page = await (await fetch(`${bus.ops_url}/metrics`)).text();
  for (const action of ["warn", "slow"]) {
    assert.match(page, new RegExp(`shield_usage_budget_exhausted_total\\{action="${action}"\\} 1`));
    assert.match(
      page,
      new RegExp(
        `used_ratio\\{tenant="default",per="month",unit="messages_in",action="${action}"\\} [1-9]`,
      ),
    );
  }
});

Deno.test("budgets: one that slows to a message a second lets history be read, by a command and through a filter", async () => {
  await using bus = await startLocalBus(`${USAGE}${budget(1_100, "slow")}${DURABLE}`);
  const token = await bus.tokenFor({ user: "ann" });
  using client = await openText(bus.url, token);
  // More than one page of what a filter withholds.
  for (let lot = 0; lot < 4; lot++) {
    for (let id = 1; id <= 270; id++) client.send({ op: "pub", room: "r", type: "t", id });
    for (let id = 1; id <= 270; id++) assert.equal((await client.json()).code, 0);
  }
  const { refusal } = await exhaust([client]);
  assert.deepEqual([refusal.code, refusal.reason], [429, "tenant-quota"]);
  await until("it is answered", async () => (await history(client)).code === 0, 20_000);
  assert.equal((await history(client)).reason, "tenant-quota");
  const peer = new HttpPeer(bus.http_url, token);
  const none = encodeURIComponent('type == "none"');
  await until("nothing matches", async () => {
    const { status } = await peer.call("GET", `rooms/r/messages?limit=5&filter=${none}`);
    return status === 200;
  }, 20_000);
  // What they took beyond the rate is waited for.
  assert.equal((await publish(client)).reason, "tenant-quota");
});

Deno.test("budgets: refusals of one second are each in the journal, of history beside messages", async () => {
  const journal = '[journal]\njournal = "all"\n#constant journal.flush_ms = 20\n';
  await using bus = await startLocalBus(`${journal}${USAGE}${budget(1, "refuse")}${DURABLE}`);
  using client = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  await exhaust([client]);
  for (let round = 0; round < 3; round++) {
    assert.equal((await publish(client)).reason, "budget-exhausted");
    assert.equal((await history(client)).reason, "budget-exhausted");
  }
  const token = await bus.tokenFor({ role: "admin" });
  const peer = new AdminClient(bus.admin_url, token);
  let count = 0;
  await until(() => `${count} of 7 are recorded`, async () => {
    const { text } = await peer.ask("GET", "/v1/journal?tenant=default&room=r&outcome=refused");
    return (count = text.split('"budget-exhausted"').length - 1) === 7;
  });
});

Deno.test("budgets: hold while stored prices cannot be read, and use is refused without them", async () => {
  await using folder = await temporaryFolder();
  const spine = openEmbedded({ log: testLog(), now: Date.now, data_dir: folder.path });
  await (await spine.keyValue("ARQON_USAGE")).put(["prices"], new TextEncoder().encode("{"));
  await spine.drain();
  await using bus = await startLocalBus(BUDGETS, { data_dir: folder.path });
  using client = await openText(bus.url, await bus.tokenFor({ tenant: "acme" }));
  const { refusal } = await exhaust([client]);
  assert.equal(refusal?.reason, "budget-exhausted");
  const operator = await bus.tokenFor({ role: "admin", tenant: "ops" });
  const { status, body } = await new AdminClient(bus.admin_url, operator).get(
    "/v1/usage?tenant=acme",
  );
  assert.deepEqual([status, body.reason], [409, "settings-conflict"]);
  await logged(bus, /prices cannot be read/);
});

Deno.test("budgets: a tenant that was deleted begins with nothing used, and is refused no longer", async () => {
  let ahead_ms = 0;
  await using bus = await startLocalBus(BUDGETS, { now: () => Date.now() + ahead_ms });
  using client = await openText(bus.url, await bus.tokenFor({ tenant: "acme" }));
  const operator = await bus.tokenFor({ role: "admin", tenant: "ops" });
  const ask = new AdminClient(bus.admin_url, operator);
  const used = async () => (await ask.read(PATH)).in_force[0].used;
  await exhaust([client]);
  // The minute ends.
  ahead_ms = 61_000;
  await until("the minute is stored", async () =>
    (await ask.read("/v1/data?tenant=acme")).stores
      .some(({ store }: { store: string }) => store === "usage"));
  const erased = await ask.ask("POST", "/v1/data/erase", { tenant: "acme", all: true });
  assert.equal(erased.status, 200, erased.text);
  assert.equal(await used(), 0);
  assert.equal((await publish(client)).code, 0);
  await until("the new use counts", async () => await used() === 1);
  ahead_ms += 120_000;
  assert.equal((await publish(client)).code, 0);
  await until("both messages count", async () => await used() === 2);
  const { total } = await ask.read("/v1/usage?tenant=acme&since_ms=0");
  assert.equal(total.messages_in, 2);
});

Deno.test("budgets: one in cost that was used up admits messages again once corrected prices hold", async () => {
  let price = 1_000;
  const config = () => `${USAGE}${pricesOf(price)}${budget(1_000, "refuse", "cost")}`;
  await using bus = await startLocalBus(config);
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor());
  const statusOf = async () => (await peer.call("POST", "rooms/r/messages", { type: "t" })).status;
  await until("it is used up", async () => await statusOf() === 429);
  price = 0.001;
  const operator = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  assert.equal((await operator.ask("POST", "/v1/config/reload", {})).status, 200);
  await until("a message is accepted again", async () => await statusOf() === 200);
});

/** Killed Shields have left enough minutes that reading them takes a while. */
async function fillLedger(url: string): Promise<void> {
  const spine = await openSpine(configFrom({ nats: { urls: [url], request_timeout_ms: 60_000 } }), {
    log: testLog(),
    now: Date.now,
  });
  const bucket = await spine.keyValue("ARQON_USAGE", { unwatched: true });
  const head = { life_ms: 1, minute: Math.floor(Date.now() / 60_000), until_ms: Date.now() };
  for (let seq = 0; seq < 200; seq++) {
    const minute = encodeMinute({ ...head, seq, rows: [] });
    await bucket.put(runningKey("acme", "gone", "1", `${seq}`), minute);
  }
  await spine.drain();
}

Deno.test("budgets: those of an apply are in force once it is answered, and removed ones are not", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n` +
    "[usage]\nenabled = true\n#constant usage.flush_ms = 60_000\n";
  const operators = '\n[admin]\noperator_tenants = ["ops"]';
  await using shield = await startLocalShield(config, operators);
  const token = await issuer.tokenFor({ role: "admin", sub: "root", tenant_id: "ops" });
  using client = await openText(shield.socket_url, await issuer.tokenFor());
  await fillLedger(nats.url);
  const path = "/v1/tenants/acme/state";
  const spent = { per: "month", unit: "messages_in", limit: 0, action: "refuse" };
  for (const [budgets, reason] of [[[spent], "budget-exhausted"], [[], undefined]] as const) {
    // On a slow machine an answer may come before a month's ledger is read; it says so.
    await until("they are in force", async () => {
      const { basis } = JSON.parse((await admin(shield, token, path)).text);
      const { status, text } = await admin(shield, token, path, "PUT", { basis, budgets });
      assert.equal(status, 200, text);
      return JSON.parse(text).here.in_force === true;
    });
    assert.equal((await publish(client)).reason, reason);
  }
});

const MESSAGES = 10;

Deno.test("usage: during a rolling change of prices all Shields give one invoice and hold one budget", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = (price: number) =>
    `${issuer.config}[nats]\nurls = ["${nats.url}"]\n${USAGE}${pricesOf(price)}` +
    budget(1_000, "refuse", "cost");
  const start = (node: string, price: number) =>
    startLocalShield(config(price), `node_id = "${node}"`);
  const operator = await issuer.tokenFor({ role: "admin", sub: "root" });
  const read = async (shield: LocalShield, path: string) =>
    JSON.parse((await admin(shield, operator, path)).text);
  const costAt = async (shield: LocalShield) => (await read(shield, "/v1/usage")).total.cost;
  const usedAt = async (shield: LocalShield) => (await read(shield, PATH)).in_force[0].used;
  await using one = await start("one", 2);
  using client = await openText(one.socket_url, await issuer.tokenFor());
  for (let at = 0; at < MESSAGES; at++) assert.equal((await publish(client)).code, 0);
  const agree = async (shields: readonly LocalShield[], cost: number) => {
    for (const shield of shields) {
      let found: number | undefined;
      await until(() => `${found} is ${cost}`, async () => {
        found = await costAt(shield);
        return found === cost && await usedAt(shield) === cost;
      });
    }
  };
  await agree([one], 2 * MESSAGES);
  // One still has the old prices, and restarts again with them.
  await using two = await start("two", 3);
  await agree([one, two], 3 * MESSAGES);
  await using again = await start("again", 2);
  await agree([one, two, again], 3 * MESSAGES);
});

const budgets = (["warn", "refuse"] as const)
  .map((action) => ({ per: "month", unit: "fuel", limit: 1, action }));
const usage = { enabled: true, flush_ms: 20, budgets };
const log = testLog();

/** A Shield's usage ledger, and its entries in the audit log. */
async function shieldAt({ spine }: WorldBrain, world: ReducerWorld, node_id: string) {
  const now = () => Date.now() + world.ahead_ms;
  const monotonic_ms = () => performance.now();
  const lives = new Lives(spine);
  const life = new OwnLife({ lives, node_id, kept_ms: 1e9, log, now, monotonic_ms });
  const deletions = { onDeleted: () => () => {} };
  const settings = { get: () => emptySettings(), onChange: () => () => {}, deletions };
  const started = startUsage({
    config: configFrom({ usage }),
    spine,
    node_id,
    life,
    log,
    now,
    monotonic_ms,
    storeNow: now,
    classes: { of: () => assert.fail("nobody is here") },
    settings: settings as unknown as Settings,
    registry: createMetrics({ node_id, version: "0" }),
  })!;
  const reported: Audited[] = [];
  started.audit((audited) => Promise.resolve(void reported.push(audited)));
  await started.begin();
  return {
    reported,
    async [Symbol.asyncDispose]() {
      await started.close();
      await life.end();
    },
  };
}

for (const [engine, open] of Object.entries(ENGINES)) {
  Deno.test(`${engine}: a budget that a room's timers used up is in the audit log, once`, async () => {
    await using world = await open({ modules: { plain: PLAIN }, usage });
    const brain = await world.start("a");
    await using first = await shieldAt(brain, world, "one");
    await applied(brain, "plain", "go");
    await until("a Shield tells of both", () => first.reported.length === 2);
    const actions = first.reported.map(({ about }) => (about as Record<string, unknown>)["then"]);
    assert.deepEqual(actions.sort(), ["refuse", "warn"]);
    for (const { action, tenant, from, by } of first.reported) {
      assert.deepEqual([action, tenant, from, by], ["budget.exhausted", "t", "one", null]);
    }
    // Any Shield reports another tenant's budget, and nothing is reported twice.
    await using second = await shieldAt(brain, world, "two");
    await applied(brain, "plain", "go", { tenant: "u" });
    const all = () => [...first.reported, ...second.reported];
    await until("that is notified, too", () => all().length >= 4);
    assert.deepEqual(all().map(({ tenant }) => tenant).sort(), ["t", "t", "u", "u"]);
  });

  Deno.test(`${engine}: a Shield that starts later reports the earlier findings of Brains`, async () => {
    await using world = await open({ modules: { plain: PLAIN }, usage });
    const brain = await world.start("a");
    await applied(brain, "plain", "go");
    const bucket = await brain.spine.keyValue("ARQON_USAGE", { unwatched: true });
    await until(
      "the Brain has reported it",
      async () => (await bucket.get(markKey("t"))) !== undefined,
    );
    await brain.service.drain();
    await using later = await shieldAt(brain, world, "later");
    await until("it tells of both", () => later.reported.length === 2);
  });
}
