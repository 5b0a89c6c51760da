/**
 * Rollouts on running buses: bad input, orders, manual changes; with four Shields, two Brains and a real NATS that is
 * killed in the middle. No connection ends, and every message is judged by one version.
 */
import assert from "node:assert/strict";
import { seen, until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { openText, type RawClient } from "./peers/raw_client.ts";
import {
  asker,
  BAD_RULE,
  GOOD_RULE,
  OLD_RULE,
  putPolicy,
  rolloutBody,
  Traffic,
  upload,
} from "./rollout_traffic.ts";
import type { Ask } from "./rollout_traffic.ts";

const ended = async (ask: Ask, tenant: string) => {
  let last = "";
  await until(() => `the rollout ends: ${last}`, async () => {
    const { body } = await ask("GET", `rollouts/${tenant}`);
    last = JSON.stringify(body);
    return body.rollout?.state === "applied" || body.rollout?.state === "returned";
  });
  return (await ask("GET", `rollouts/${tenant}`)).body;
};

/** All answers are those of one of the versions: "abc9" never passes, "abc1" always. */
function requireJudged(traffic: Traffic): void {
  for (const { text, code, why } of traffic.answered) {
    // On a busy machine a policy may decide too late, which refuses with 503.
    if (text === "abc9") assert.notEqual(code, 0, "both versions refuse it");
    if (text === "abc1") assert.notEqual(code, 403, `both versions let it through: ${why}`);
  }
}

async function clientsOf(bus: TestBus, tenant: string): Promise<RawClient[]> {
  return await Promise.all(
    Array.from(
      { length: 4 },
      async (_, at) => await openText(bus.url, await bus.tokenFor({ tenant, user: `u${at}` })),
    ),
  );
}

async function refusals(bus: TestBus): Promise<void> {
  const ask = asker(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));
  await putPolicy(ask, "wrong", await upload(ask, OLD_RULE));
  const sha256 = await upload(ask, GOOD_RULE);
  const good = await rolloutBody(ask, "wrong", sha256, {});
  const refused = async (more: object, status: number, detail: RegExp) => {
    const answer = await ask("POST", "rollouts/wrong", { ...good, ...more });
    assert.equal(answer.status, status, JSON.stringify(answer.body));
    assert.match(JSON.stringify(answer.body), detail);
  };
  await refused({ abort_if: ["refusd>1%"] }, 400, /unknown metric; expected one of refused/);
  await refused({ canary: 0 }, 400, /canary/);
  await refused({ basis: { settings: 9_999, policies: 1 } }, 409, /the plan is stale/);
  const { body: { policies } } = await ask("GET", "tenants/wrong/state");
  await refused({ policies }, 400, /no policy differs/);
  await refused({ policies: [null] }, 400, /policies\[0\]: /);
  const unknown = policies.map((one: object) => ({ ...one, sha256: "0".repeat(64) }));
  await refused({ policies: unknown }, 404, /has not been uploaded/);
  assert.equal((await ask("GET", "rollouts/wrong")).status, 404);
  assert.equal((await ask("POST", "rollouts/wrong/pause")).status, 404);
  // Without traffic it waits and reports that; a second one, and an apply, are refused meanwhile.
  assert.equal((await ask("POST", "rollouts/wrong", good)).status, 200);
  await until("it says so", async () => {
    const { body } = await ask("GET", "rollouts/wrong");
    return /^0 of 20 messages for rule: it needs more traffic$/.test(body.waits);
  });
  await refused({}, 409, /is under way, nothing was changed/);
  const applied = await ask("PUT", "tenants/wrong/state", { basis: good.basis, policies: [] });
  assert.match(JSON.stringify(applied.body), /is under way, nothing was changed/);
  const paused = await ask("POST", "rollouts/wrong/pause");
  assert.deepEqual([paused.body.rollout.state, paused.body.waits], ["paused", "paused"]);
  assert.equal((await ask("POST", "rollouts/wrong/resume")).body.rollout.state, "running");
  const aborted = await ask("POST", "rollouts/wrong/abort");
  assert.equal(aborted.body.rollout.ended.why, "aborted by root");
  assert.equal((await ask("POST", "rollouts/wrong/pause")).status, 409);
  // A manual change ends a rollout, and is kept.
  assert.equal((await ask("POST", "rollouts/wrong", good)).status, 200);
  const by_hand = { tenant: "wrong", name: "other", sha256 };
  await ask("POST", "policies/deploy", by_hand);
  const { rollout } = await ended(ask, "wrong");
  assert.match(rollout.ended.why, /the policies were changed meanwhile: version 2, .*deploy other/);
  assert.equal(rollout.past.length, 1);
}

/** Two identical ones are one rollout; and manual changes of settings are kept, with the cost of the last step. */
async function rivals(bus: TestBus): Promise<void> {
  const ask = asker(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));
  await putPolicy(ask, "rival", await upload(ask, OLD_RULE));
  const body = await rolloutBody(ask, "rival", await upload(ask, GOOD_RULE), { rooms: [] });
  const both = await Promise.all([1, 2].map(() => ask("POST", "rollouts/rival", body)));
  assert.deepEqual(both.map(({ status }) => status).sort(), [200, 409]);
  const before = await ask("GET", "tenants/rival/state");
  const changed = await ask("PUT", "tenants/rival/rooms", { room: "vip-*", max_members: 3 });
  assert.equal(changed.status, 200, JSON.stringify(changed.body));
  const clients = await clientsOf(bus, "rival");
  const traffic = new Traffic(clients);
  const { rollout } = await ended(ask, "rival");
  await traffic.stop();
  clients.forEach((one) => one[Symbol.dispose]());
  requireJudged(traffic);
  assert.equal(rollout.state, "returned");
  assert.match(rollout.ended.why, /nothing was changed: the settings are at version 1, by "root"/);
  const after = await ask("GET", "tenants/rival/state");
  assert.deepEqual(after.body.policies, before.body.policies);
  assert.equal(after.body.rooms[0].room, "vip-*");
}

Deno.test("rollouts on one process", async (t) => {
  await using bus = await startLocalBus(
    '[admin]\noperator_tenants = ["default"]\n' + PATIENT_POLICIES,
  );
  await t.step("bad input, no traffic, orders and changes by hand", () => refusals(bus));
  await t.step("two at once, and settings changed by hand", () => rivals(bus));
  await t.step("a tenant's own admin sees its own", async () => {
    const seenBy = async (tenant: string) => {
      const ask = asker(bus.admin_url, await bus.tokenFor({ role: "admin", tenant }));
      assert.equal((await ask("GET", "rollouts/rival")).status === 200, tenant === "default");
      const { body: { rollouts } } = await ask("GET", "rollouts");
      return [...new Set(rollouts.map((one: { tenant: string }) => one.tenant))];
    };
    assert.deepEqual(await seenBy("wrong"), ["wrong"]);
    assert.deepEqual(await seenBy("default"), ["rival", "wrong"]);
  });
});

Deno.test("four Shields and NATS: killed in the middle it holds, then a bad rule is rolled back everywhere", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `${issuer.config}\n[nats]\nurls = ["${nats.url}"]\n${PATIENT_POLICIES}`;
  const start = (part: "shield" | "brain", name: string) =>
    startServer(part, config, issuer.dir, `node_id = "${name}"`);
  await using processes = new AsyncDisposableStack();
  const brains = [];
  for (const name of ["b0", "b1"]) brains.push(processes.use(await start("brain", name)));
  const shields = [];
  for (const name of ["s0", "s1", "s2", "s3"]) {
    shields.push(processes.use(await start("shield", name)));
  }
  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  const ask = asker(shields[0]!.ready["admin_url"]!, token);
  await putPolicy(ask, "acme", await upload(ask, OLD_RULE));
  const clients: RawClient[] = [];
  for (const { socket_url } of shields) {
    for (let at = 0; at < 3; at++) {
      clients.push(await openText(socket_url, await issuer.tokenFor()));
    }
  }
  processes.defer(() => clients.forEach((one) => one[Symbol.dispose]()));
  await until("the rule is in force on every Shield", async () => {
    const answers = await Promise.all(clients.map(async (client) => {
      client.send({ op: "pub", room: "r", data: "abc9", id: 1 });
      return (await client.json()).code;
    }));
    return answers.every((code) => code === 403);
  });
  const traffic = new Traffic(clients);
  const sha256 = await upload(ask, BAD_RULE);
  const steps = { canary: 0.1, abort_if: ["refused>5%"], for_ms: 3_000 };
  const body = await rolloutBody(ask, "acme", sha256, steps);
  assert.equal((await ask("POST", "rollouts/acme", body)).status, 200);
  await until("all Shields report", async () => {
    const { body: { nodes } } = await ask("GET", "rollouts/acme");
    return nodes.length === 4;
  });
  // One of the two Brains is dead, and nobody waits for it.
  await brains[0]!.stop("SIGKILL");
  await until("the share grows", async () => (await ask("GET", "rollouts/acme")).body.share > 0);
  const { body: before } = await ask("POST", "rollouts/acme/pause");
  assert.equal(before.rollout.state, "paused", JSON.stringify(before));
  await traffic.stop();
  requireJudged(traffic);
  await nats.kill();
  await nats.start();
  await until("NATS answers", async () => (await ask("GET", "rollouts/acme")).status === 200);
  const resume = () => ask("POST", "rollouts/acme/resume");
  const { body: held } = await seen("it continues", resume, ({ status }) => status !== 503);
  const { id, stage } = before.rollout;
  assert.deepEqual([held.rollout.id, held.rollout.stage], [id, stage], "it has held");
  // All connections are still the same.
  const bad = new Traffic(clients);
  bad.texts = ["abc1", "abc7", "abc9"];
  const { rollout } = await ended(ask, "acme");
  assert.equal(rollout.state, "returned", JSON.stringify(rollout));
  assert.equal(rollout.ended.condition, "refused>5%");
  const so_far = bad.count("abc7", 0);
  await until("it passes", () => bad.count("abc7", 0) > so_far + 100);
  await bad.stop();
  for (const { text, code } of bad.answered) {
    if (text === "abc9") assert.notEqual(code, 0, "never judged by neither");
  }
  const { body: { policies } } = await ask("GET", "tenants/acme/state");
  assert.notEqual(policies[0].sha256, sha256);
});
