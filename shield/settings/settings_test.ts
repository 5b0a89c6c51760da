/** Tenants' run-time settings: reported, changed concurrently, damaged. */
import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { watched } from "../../shared/spine/nats/testing/nats_harness.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import {
  emptySettings,
  encodeSettings,
  TENANTS_BUCKET,
} from "../../shared/records/tenant_settings.ts";
import type { TenantSettings } from "../../shared/records/tenant_settings.ts";
import { sampleOf } from "../../shared/testing/sample_of.ts";
import { until } from "../../shared/testing/until.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import { settingsOn } from "./testing/settings.ts";

const RULE = { prefix: "in.t.acme.*", percent: 0.5 };
const withRule = (percent: number) => (settings: TenantSettings): TenantSettings => ({
  ...settings,
  mirror: { rules: [{ ...RULE, percent }] },
});

Deno.test("stored settings are in force once it is ready; a change is reported, with its author", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(TENANTS_BUCKET);
  await bucket.put(["acme"], encodeSettings(withRule(0.1)(emptySettings())));
  using test = await settingsOn(engine.spine);
  const { settings } = test;
  assert.equal(settings.get("acme").mirror.rules[0]?.percent, 0.1);
  assert.deepEqual(settings.get("globex"), emptySettings());
  const changes: [string, number | undefined][] = [];
  const stop = settings.onChange((tenant_id, { mirror }) => {
    changes.push([tenant_id, mirror.rules[0]?.percent]);
  });
  assert.deepEqual(changes, [["acme", 0.1]], "at once with the known settings");
  const stored = await settings.change("acme", "root", withRule(0.2));
  assert.deepEqual([stored.settings.version, stored.settings.by], [1, "root"]);
  assert.equal(stored.settings.changed_ms, SPINE_NOW_MS);
  assert.ok(await settings.reached("acme", stored.revision, 10_000));
  stop();
  await settings.change("acme", "root", withRule(0.3));
  await until("the second version", () => settings.get("acme").version === 2);
  assert.deepEqual(changes, [["acme", 0.1], ["acme", 0.2]], "the listener was removed");
  assert.equal(await sampleOf(test.registry, "shield_settings_documents"), 1);
  assert.match(settings.check().detail, /^1 tenant with settings$/);
});

Deno.test("a document is decoded once, whether it is written, watched or read", async () => {
  await using engine = testSpine();
  using test = await settingsOn(engine.spine);
  const { settings } = test;
  const { revision } = await settings.change("acme", "root", withRule(0.1));
  const first = await settings.read("acme");
  const again = await settings.read("acme");
  assert.equal(first.settings, again.settings);
  assert.ok(await settings.reached("acme", revision, 5_000));
  assert.equal(settings.get("acme"), first.settings);
  await settings.change("acme", "root", withRule(0.2));
  assert.equal((await settings.read("acme")).settings.mirror.rules[0]?.percent, 0.2);
  // Settings that are valid for one tenant may name things of another.
  const bucket = await engine.spine.keyValue(TENANTS_BUCKET);
  await bucket.put(["globex"], encodeSettings((await settings.read("acme")).settings));
  await assert.rejects(settings.read("globex"), /does not begin with in\.t\.globex/);
});

Deno.test("a change without effect writes nothing, nor does one that throws", async () => {
  await using engine = testSpine();
  using test = await settingsOn(engine.spine);
  assert.equal((await test.settings.change("acme", "root", (same) => same)).revision, 0);
  const broken = () => {
    throw new RangeError("no");
  };
  await assert.rejects(test.settings.change("acme", "root", broken), RangeError);
  const bucket = await engine.spine.keyValue(TENANTS_BUCKET);
  assert.deepEqual(await bucket.keys(), []);
});

Deno.test("an invalid result is refused, and so are settings about another tenant", async () => {
  await using engine = testSpine();
  using test = await settingsOn(engine.spine);
  const set = (rule: unknown) =>
    test.settings.change(
      "acme",
      "root",
      (before) => ({ ...before, mirror: { rules: [rule as typeof RULE] } }),
    );
  for (
    const [rule, problem] of [
      [{ prefix: "in.t.acme.*", percent: 1.1 }, /percent/],
      [{ prefix: "in.t.acme.*", percent: NaN }, /percent/],
      [
        { prefix: "in.t.globex.*", percent: 1 },
        /"in\.t\.globex\.\*" does not begin with in\.t\.acme\./,
      ],
      [{ prefix: "in.t.acme", percent: 1 }, /trailing "\*"/],
      [{ prefix: "in.t.*", percent: 1 }, /does not begin with/],
    ] as const
  ) {
    await assert.rejects(set(rule), (error: Error & { reason?: string }) => {
      assert.equal(error.reason, "invalid-settings");
      assert.match(error.message, problem);
      return true;
    });
  }
  await assert.rejects(test.settings.read("a.b"), { reason: "invalid-settings" });
});

Deno.test("an unreadable document leaves the previous settings in force, is logged and counted, and can be reset", async () => {
  await using engine = testSpine();
  using test = await settingsOn(engine.spine);
  const { settings } = test;
  await settings.change("acme", "root", withRule(0.5));
  await until("the first version", () => settings.get("acme").version === 1);
  await assert.rejects(settings.reset("acme", "root"), { reason: "settings-conflict" });
  const bucket = await engine.spine.keyValue(TENANTS_BUCKET);
  await bucket.put(["acme"], new TextEncoder().encode('{"format":2}'));
  await until("the problem", () => settings.problem("acme") !== undefined);
  assert.deepEqual(settings.get("acme").mirror.rules, [RULE]);
  assert.match(test.lines.join(""), /level=error .*tenant_id=acme .*cannot be read/);
  assert.match(settings.check().detail, /1 of them with an unreadable document/);
  assert.equal(await sampleOf(test.registry, "shield_settings_unreadable"), 1);
  assert.equal(await sampleOf(test.registry, "shield_settings_problems_total"), 1);
  await assert.rejects(settings.change("acme", "root", withRule(1)), (error: Error) => {
    assert.match(error.message, /the stored document cannot be read: .*format/s);
    return "reason" in error && error.reason === "settings-conflict";
  });
  const { revision } = await settings.reset("acme", "root");
  assert.ok(await settings.reached("acme", revision, 10_000));
  assert.deepEqual(settings.get("acme").mirror.rules, []);
  assert.equal(settings.problem("acme"), undefined);
});

Deno.test("a deleted document equals an absent one; a foreign key is only counted", async () => {
  await using engine = testSpine();
  using test = await settingsOn(engine.spine);
  const { settings } = test;
  const changes: (number | undefined)[] = [];
  settings.onChange((_, { mirror }) => void changes.push(mirror.rules[0]?.percent));
  await settings.change("acme", "root", withRule(0.5));
  const bucket = await engine.spine.keyValue(TENANTS_BUCKET);
  await bucket.delete(["acme"]);
  await bucket.put(["not a tenant"], new Uint8Array());
  await until("a word of it", () => test.lines.some((line) => line.includes("not a tenant")));
  assert.deepEqual(settings.get("acme"), emptySettings());
  assert.deepEqual([[...settings.tenants()], changes], [[], [0.5, undefined]]);
  assert.equal(await sampleOf(test.registry, "shield_settings_problems_total"), 1);
  const { revision } = await settings.change("acme", "root", withRule(1));
  assert.ok(await settings.reached("acme", revision, 10_000));
  assert.equal(settings.get("acme").version, 1);
});

Deno.test("settings that a store has lost stay in force, and deleted ones do not", async () => {
  await using server = await startNats({ jetstream: true });
  await using one = await watched(server.port, { request_timeout_ms: 20_000 });
  using test = await settingsOn(one.spine);
  const { settings } = test;
  await settings.change("acme", "root", withRule(0.5));
  await settings.change("globex", "root", (none) => ({ ...none, budgets: [] }));
  await until("both", () => [...settings.tenants()].length === 2);
  const bucket = await one.spine.keyValue(TENANTS_BUCKET);
  await bucket.delete(["globex"]);
  await until("one", () => [...settings.tenants()].length === 1);
  const observer = await connect({ servers: server.url });
  await (await jetstreamManager(observer)).streams.delete(`KV_${TENANTS_BUCKET}`);
  await observer.close();
  await server.restart();
  await until("a word of it", () => settings.problem("acme") === "the store has lost it");
  assert.deepEqual(settings.get("acme").mirror.rules, [RULE]);
  assert.deepEqual(settings.get("globex"), emptySettings());
  // The recreated bucket counts from the beginning.
  const { revision } = await settings.change("acme", "root", withRule(1));
  assert.ok(await settings.reached("acme", revision, 10_000));
  assert.equal(settings.get("acme").mirror.rules[0]?.percent, 1);
});

Deno.test("a writer that conflicts every time gives up with settings-conflict", async () => {
  await using engine = testSpine();
  using test = await settingsOn(engine.spine);
  const bucket = await engine.spine.keyValue(TENANTS_BUCKET);
  const rival = encodeSettings(emptySettings());
  const overtaken = Object.create(engine.spine) as Spine;
  const update = async (): Promise<number> => {
    await bucket.put(["acme"], rival);
    return await bucket.update(["acme"], rival, 0);
  };
  overtaken.keyValue = async () => ({
    ...await Promise.resolve(bucket),
    get: (key) => bucket.get(key),
    watch: (prefix, onChange) => bucket.watch(prefix, onChange),
    update,
  });
  using loser = await settingsOn(overtaken);
  await assert.rejects(loser.settings.change("acme", "root", withRule(1)), {
    reason: "settings-conflict",
    message: "Settings conflict: 64 conflicts with other writers",
  });
  await test.settings.change("acme", "root", withRule(1));
});
