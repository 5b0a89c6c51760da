/** When budgets of one Shield take effect and end: a caller that has the answer does not have to wait. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import type { TenantBudget } from "../../shared/config/schema_usage.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { keptLog, QUIET } from "../../shared/testing/logs.ts";
import { until } from "../../shared/testing/until.ts";
import type { BudgetState } from "../../shared/usage/budget.ts";
import { BudgetNotices } from "./budget_notices.ts";
import { Budgets, type BudgetsOptions } from "./budgets.ts";

const NOW_MS = Date.UTC(2026, 1, 28, 13);

Deno.test("budgets: a removed budget no longer blocks once its tenant's state is read", async () => {
  const spent = { per: "month", unit: "messages_in", limit: 0, action: "refuse" } as TenantBudget;
  let own: TenantBudget[] = [spent];
  let change = (_tenant_id: string) => {};
  const settings = {
    get: () => ({ budgets: own }),
    onChange(changed: typeof change) {
      change = changed;
      return () => {};
    },
  };
  const options = {
    config: { budgets: [], flush_ms: 1_000 },
    prices: { known: () => Promise.resolve({ lists: [], replaced: [] }) },
    settings: settings as unknown as BudgetsOptions["settings"],
    active: () => [],
    usedOf: () => ({
      // Storing completes in a later turn of the event loop.
      read: () =>
        new Promise((resolve) => setTimeout(() => resolve({ day: [], month: [] }), 0)) as never,
    }),
    tell: () => Promise.resolve(),
    log: QUIET,
    now: () => NOW_MS,
  };
  const budgets = new Budgets(options);
  assert.equal((await budgets.stand("acme"))[0]?.is_exhausted, true);
  assert.throws(() => budgets.take("acme"), { reason: "budget-exhausted" });
  own = [];
  change("acme");
  assert.deepEqual(await budgets.stand("acme"), []);
  budgets.take("acme");
  await budgets.close();
});

Deno.test("budgets: use of one tenant that a newer process has stored holds up no other tenant's", async () => {
  const tenants = Array.from({ length: 20 }, (_, at) => `t${at}`);
  const read: string[] = [];
  const { log, lines } = keptLog();
  const budgets = new Budgets({
    config: {
      budgets: [{ per: "month", unit: "messages_in", limit: 0, action: "refuse" } as TenantBudget],
      flush_ms: 1_000,
    },
    prices: { known: () => Promise.resolve({ lists: [], replaced: [] }) },
    settings: {
      get: () => ({}),
      onChange: () => () => {},
    } as unknown as BudgetsOptions["settings"],
    active: () => tenants,
    usedOf: (tenant_id) => ({
      read() {
        if (tenant_id === "t0") return Promise.reject(new ArqonError("incompatible-version"));
        read.push(tenant_id);
        return Promise.resolve({ day: [], month: [] });
      },
    }),
    tell: () => Promise.resolve(),
    log,
    now: () => NOW_MS,
  });
  budgets.renew();
  await until("all others are read", () => read.length === tenants.length - 1);
  await budgets.close();
  assert.deepEqual(read, tenants.slice(1));
  assert.match(lines.join(""), /budgets could not be read/);
});

Deno.test("budgets: a report that cannot be marked is in the log, and is made at the next reading", async () => {
  const { log, lines } = keptLog();
  let marks = () => Promise.reject<number>(new ArqonError("spine-unavailable"));
  const bucket = { update: () => marks() } as unknown as KeyValue;
  const place = { running: () => Promise.resolve(bucket) };
  const notices = new BudgetNotices({ place, node_id: "s1", log });
  const budget = { per: "month", unit: "messages_in", limit: 0, action: "refuse" };
  const state = { budget, used: 1, begin_ms: 0, end_ms: 9, is_exhausted: true } as BudgetState;
  await notices.tell("acme", [state]);
  assert.match(lines.join(""), /level=warn .*tenant_id=acme .*reported later/);
  marks = () => Promise.resolve(1);
  await notices.tell("acme", [state]);
  assert.equal(notices.reported.refuse, 1);
});

Deno.test("budgets: few reports are remembered, and none is made twice", async () => {
  const marks = new Set<string>();
  let asked = 0;
  const bucket = {
    update(key: readonly string[]) {
      asked++;
      if (marks.has(key.join())) return Promise.reject(new ArqonError("version-conflict"));
      marks.add(key.join());
      return Promise.resolve(1);
    },
  } as unknown as KeyValue;
  const place = { running: () => Promise.resolve(bucket) };
  const notices = new BudgetNotices({ place, node_id: "s1", log: QUIET });
  const budget = { per: "month", unit: "messages_in", limit: 0, action: "refuse" };
  const state = { budget, used: 1, begin_ms: 0, end_ms: 9, is_exhausted: true } as BudgetState;
  for (let at = 0; at <= 10_000; at++) await notices.tell(`t${at}`, [state]);
  await notices.tell("t10000", [state]);
  assert.equal(asked, 10_001);
  await notices.tell("t0", [state]);
  assert.equal(asked, 10_002, "the oldest was forgotten");
  assert.equal(notices.reported.refuse, 10_001);
});
