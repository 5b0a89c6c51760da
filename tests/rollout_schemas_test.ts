/**
 * Schemas of a rollout on a running bus: stored when it begins, in force with its last step, in force never when it is
 * taken back or when somebody else was faster. Policies in shares are `rollout_test.ts`.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { ping, pong } from "../shield/schema/testing/schemas.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { openText } from "./peers/raw_client.ts";
import { asker, GOOD_RULE, OLD_RULE, putPolicy, rolloutBody } from "./rollout_traffic.ts";
import { Traffic, upload } from "./rollout_traffic.ts";
import type { Ask } from "./rollout_traffic.ts";

const SCHEMA = "ping";

/** The versions in force, by their number and the apply that has brought each. */
async function versionsOf(ask: Ask): Promise<unknown[]> {
  const { status, body } = await ask("GET", `schemas/${SCHEMA}`);
  if (status === 404) return [];
  return body.versions.map((one: { version: number; apply?: string }) => [one.version, one.apply]);
}

/** Stores a version; what a rollout names it by. */
async function stage(ask: Ask, bytes: Uint8Array<ArrayBuffer>) {
  const { status, body } = await ask("PUT", `schemas/${SCHEMA}/staged`, bytes);
  assert.equal(status, 200, JSON.stringify(body));
  const { schema_id, version, sha256 } = body;
  return { schema_id, version, sha256 };
}

/** A rollout that is held in the middle, of a rule, a schema and a mapping to what only that schema has. */
async function begin(ask: Ask, tenant: string, bytes: Uint8Array<ArrayBuffer>) {
  await putPolicy(ask, tenant, await upload(ask, OLD_RULE));
  const staged = await stage(ask, bytes);
  const mapping = { subject: `in.t.${tenant}.r.mapped`, schema_id: SCHEMA, message: "t.Ping" };
  const more = { schemas: [staged], mappings: [mapping] };
  const body = await rolloutBody(ask, tenant, await upload(ask, GOOD_RULE), more);
  const begun = await ask("POST", `rollouts/${tenant}`, body);
  assert.equal(begun.status, 200, JSON.stringify(begun.body));
  assert.deepEqual(begun.body.rollout.schemas, [staged]);
  return body;
}

const ended = async (ask: Ask, tenant: string) => {
  const state = async () => (await ask("GET", `rollouts/${tenant}`)).body.rollout;
  await until("it ends", async () => ["applied", "returned"].includes((await state()).state));
  return await state();
};

/** Lets messages come until the rollout has ended. */
async function withTraffic(bus: TestBus, ask: Ask, tenant: string) {
  using client = await openText(bus.url, await bus.tokenFor({ tenant, user: "u" }));
  const traffic = new Traffic([client]);
  const rollout = await ended(ask, tenant);
  await traffic.stop();
  return rollout;
}

Deno.test("schemas of a rollout come with its last step, or never", async (t) => {
  await using bus = await startLocalBus('[admin]\noperator_tenants = ["default"]\n');
  const ask = asker(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));
  await t.step("a rollout that is taken back leaves none", async () => {
    await begin(ask, "back", ping());
    assert.deepEqual(await versionsOf(ask), []);
    await ask("POST", "rollouts/back/abort");
    assert.equal((await ended(ask, "back")).state, "returned");
    assert.deepEqual(await versionsOf(ask), []);
  });
  await t.step("one that goes to the end has it in force, with its mappings", async () => {
    await begin(ask, "good", ping());
    const { state, id, ended: { why } } = await withTraffic(bus, ask, "good");
    assert.deepEqual([state, why], ["applied", ""]);
    assert.deepEqual(await versionsOf(ask), [[1, id]]);
    const { body: { mappings } } = await ask("GET", "tenants/good/state");
    assert.equal(mappings[0].message, "t.Ping");
  });
  await t.step("a version that comes meanwhile takes it back", async () => {
    await begin(ask, "late", ping(["more", 7, "int32"]));
    const by_hand = await ask("PUT", `schemas/${SCHEMA}`, ping(["other", 8, "int32"]));
    assert.equal(by_hand.status, 200, JSON.stringify(by_hand.body));
    const { state, ended: { why } } = await withTraffic(bus, ask, "late");
    assert.equal(state, "returned");
    assert.match(why, /nothing was changed: schema ping is at version 2$/);
    assert.equal((await versionsOf(ask)).length, 2);
    assert.deepEqual((await ask("GET", "tenants/late/state")).body.mappings, []);
  });
  await t.step("what is not stored, and what is not a tenant's, is refused", async () => {
    const own = await bus.tokenFor({ role: "admin", tenant: "late" });
    const staged = await stage(ask, ping(["other", 8, "int32"], ["more", 9, "int32"]));
    const body = await rolloutBody(ask, "late", await upload(ask, GOOD_RULE), {
      schemas: [staged],
    });
    const tenants = await asker(bus.admin_url, own)("POST", "rollouts/late", body);
    assert.equal(tenants.status, 403, JSON.stringify(tenants.body));
    const unknown = { ...body, schemas: [{ ...staged, sha256: "0".repeat(64) }] };
    const answer = await ask("POST", "rollouts/late", unknown);
    assert.equal(answer.status, 503, JSON.stringify(answer.body));
    const twice = await ask("POST", "rollouts/late", { ...body, schemas: [staged, staged] });
    assert.match(JSON.stringify(twice.body), /the same schema_id/);
    assert.equal(await stage(ask, pong()).catch(() => undefined), undefined, "it breaks readers");
  });
});
