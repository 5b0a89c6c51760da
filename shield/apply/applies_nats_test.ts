/** NATS is killed at each step of an apply on a real server, and its Shield is gone: nothing is half. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import { watched } from "../../shared/spine/nats/testing/nats_harness.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { until } from "../../shared/testing/until.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { openPolicyStore } from "../policy/chain/store.ts";
import type { PolicyStore } from "../policy/chain/store.ts";
import { openSettings } from "../settings/settings.ts";
import type { Settings } from "../settings/settings.ts";
import { keptLog } from "../testing/spine.ts";
import { Applies } from "./applies.ts";
import { wanted } from "./testing/wanted.ts";

/** Reads and writes of an apply, by their place: before each of them the server dies once. */
const STEPS = [2, 3, 4, 5, 6, 7, 8];

const random = (size_bytes: number) => crypto.getRandomValues(new Uint8Array(size_bytes));

async function storesOn(spine: Spine) {
  const registry = createMetrics({ node_id: "s", version: "0" });
  const settings = await openSettings({ spine, log: keptLog().log, registry, now: Date.now });
  await settings.ready;
  return { settings, policies: await openPolicyStore(spine) };
}

type Stores = { readonly settings: Settings; readonly policies: PolicyStore };

/** Applies whose Shield calls `onStep` before each read and write, and watches nothing. */
function steppingApplies({ settings, policies }: Stores, onStep: () => Promise<void>): Applies {
  const stepping =
    <Given extends unknown[], Result>(call: (...given: Given) => Promise<Result>) =>
    async (...given: Given) => {
      await onStep();
      return await call(...given);
    };
  return new Applies({
    settings: {
      read: stepping((tenant: string) => settings.read(tenant)),
      replace: stepping((...given: Parameters<Settings["replace"]>) => settings.replace(...given)),
      get: (tenant) => settings.get(tenant),
      onChange: () => () => {},
    },
    policies: {
      read: stepping((tenant: string) => policies.read(tenant)),
      replace: stepping((...given: Parameters<PolicyStore["replace"]>) =>
        policies.replace(...given)
      ),
    },
    log: keptLog().log,
    now: Date.now,
    random,
  });
}

/** Resolves with what `call` does as soon as NATS answers again. */
async function answered<Result>(call: () => Promise<Result>): Promise<Result> {
  let result: { readonly value: Result } | undefined;
  await until("NATS answers", async () => {
    try {
      result = { value: await call() };
      return true;
    } catch (error) {
      if (error instanceof ArqonError && error.reason === "spine-unavailable") return false;
      throw error;
    }
  });
  return (result as { readonly value: Result }).value;
}

Deno.test("NATS is killed before each step of an apply: another Shield finds all of it, or nothing", async () => {
  await using server = await startNats({ jetstream: true });
  await using here = await watched(server.port, { request_timeout_ms: 2_000 });
  await using there = await watched(server.port, { request_timeout_ms: 20_000 });
  const [mine, others] = [await storesOn(here.spine), await storesOn(there.spine)];
  const other = new Applies({ ...others, log: keptLog().log, now: Date.now, random });
  const [made, kept]: [number[], number[]] = [[], []];
  let before = 0;
  for (const step of STEPS) {
    const { settings, policies } = await answered(() => other.read("acme"));
    const basis = { settings: settings.revision, policies: policies.revision };
    let calls = 0;
    const applies = steppingApplies(mine, async () => {
      if (++calls === step) await server.kill();
    });
    const outcome = await applies.apply("acme", basis, wanted(step), "root").then(
      () => "made",
      (error) => error,
    );
    if (calls >= step) await server.start();
    // The Shield that applied does nothing any more; the other one saw it, or is asked.
    const after = await answered(() => other.read("acme"));
    const rule = Math.round((after.settings.settings.mirror.rules[0]?.percent ?? 0) * 1_000);
    const [policy] = after.policies.document.current.policies;
    const about = `step ${step}: ${outcome}, rule ${rule}, policy ${policy?.order}`;
    assert.equal(rule, policy?.order ?? 0, `${about}: nothing is half`);
    assert.ok(rule === step || rule === before, about);
    assert.equal(after.settings.settings.pending, undefined, about);
    if (outcome === "made") assert.equal(rule, step, about);
    else assert.equal((outcome as ArqonError).reason, "spine-unavailable", about);
    (rule === step ? made : kept).push(step);
    before = rule;
    await answered(() => mine.settings.read("acme"));
  }
  // Before the apply is stored nothing happens; after that it is made, though its Shield is gone.
  assert.ok(kept.length >= 3 && made.length >= 3, `made ${made.join()}, kept ${kept.join()}`);
  other.close();
  for (const { settings } of [mine, others]) settings.close();
});
