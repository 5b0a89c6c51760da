/**
 * The lists of a tenant's admin, from real processes on one Spine. One Shield's answers about very many tenants:
 * bounded, correct, and not in one turn.
 */
import assert from "node:assert/strict";
import { turnsDuring } from "../../../shared/testing/turns_during.ts";
import { answerBytes } from "../../../shared/cluster/cluster_question.ts";
import { Answerer, type AnswerHandlers } from "../../../shared/cluster/cluster_answerer.ts";
import { ClusterAsker } from "../../../shared/cluster/cluster_asker.ts";
import type { AdminCall } from "../routing/admin_routes.ts";
import type { Admin } from "../routing/admin_scope.ts";
import { ConnectionTable } from "../../connection/connection_table.ts";
import { OTHER_TENANTS, TENANTS_MAX, TenantTable } from "../../stats/tenant_stats.ts";
import { operator, tenantAdmin } from "../routing/testing/admin.ts";
import { keptLog, testSpine } from "../../testing/spine.ts";
import { type InspectedParts, shieldAnswers } from "./start.ts";
import { REPORTED_MAX, TenantAnswer, tenants } from "./lists.ts";
import { binding, outcomeOf } from "../../policy/testing/modules.ts";
import { POLICIES_MAX, policyStats, PolicyTable } from "../../policy/policy_stats.ts";

function cluster(handlers: AnswerHandlers) {
  const engine = testSpine();
  const { log } = keptLog();
  const random = (size: number) => crypto.getRandomValues(new Uint8Array(size));
  const own = { node_id: "s1", kind: "shield" } as const;
  const common = { ...own, spine: engine.spine, log, now: Date.now };
  const answerer = new Answerer({ ...common, handlers });
  // A busy machine takes longer for 100,000 tenants than the default of one second.
  const asker = new ClusterAsker({ ...common, answerer, random, timeout_ms: 60_000 });
  return {
    context: { asker, now: Date.now, log },
    async [Symbol.asyncDispose]() {
      answerer.close();
      asker.close();
      await engine[Symbol.asyncDispose]();
    },
  };
}

function call(admin: Admin, path: string): AdminCall {
  const request = new Request(`http://admin${path}`);
  return { ...admin, request, url: new URL(request.url), names: {}, tenant: "", room: "" };
}

/** Answers of a Shield without clients. */
function answersOf(tenants: TenantTable): AnswerHandlers {
  const connections: InspectedParts["connections"] = new ConnectionTable();
  const parts = { node_id: "s1", connections, hub: { channels: new Map() }, tenants };
  return shieldAnswers({ ...parts, counters: { open: () => 0 } } as unknown as InspectedParts);
}

Deno.test("a small tenant is shown to its admin among 100,000 larger ones", async () => {
  const table = new TenantTable();
  for (let index = 0; index < TENANTS_MAX - 1; index++) table.of(`t${index}`).ingress_messages = 9;
  table.of("acme").ingress_messages = 1;
  await using test = cluster(answersOf(table));
  const all = await tenants(test.context, call(operator(), "/v1/tenants?limit=1000"));
  assert.ok(!JSON.stringify(all).includes("acme"), "it is not among the largest");
  const own = await tenants(test.context, call(tenantAdmin("acme"), "/v1/tenants"));
  const [row, ...more] = own.tenants as { tenant_id: string; ingress_messages: number }[];
  assert.deepEqual([row?.tenant_id, row?.ingress_messages, more.length], ["acme", 1, 0]);
  assert.equal(own.truncated, false);
});

Deno.test("a tenant with the name of the shared row is not shown the shared figures", async () => {
  const table = new TenantTable();
  for (let index = 0; index < TENANTS_MAX; index++) table.of(`t${index}`);
  table.of("one-more").ingress_messages = 7;
  assert.equal(table.of(OTHER_TENANTS).ingress_messages, 7);
  await using test = cluster(answersOf(table));
  const own = await tenants(test.context, call(tenantAdmin(OTHER_TENANTS), "/v1/tenants"));
  assert.deepEqual(own.tenants, []);
});

function judged(table: PolicyTable, tenant_id: string, name: string): void {
  table.record({ tenant_id, hook: "on_message", chain: [binding({ name })] }, [outcomeOf(name)]);
}

Deno.test("policies beyond the bound are counted together, and hidden from tenants' admins", async () => {
  const table = new PolicyTable();
  judged(table, OTHER_TENANTS, "mine");
  for (let index = 0; index < POLICIES_MAX; index++) judged(table, "globex", `p${index}`);
  await using test = cluster({ policy_stats: () => ({ rows: table.rows() }) });
  const namesFor = async (admin: Admin) => {
    const path = "/v1/policies/stats?limit=1000";
    const answer = await policyStats(test.context, call(admin, path));
    const { policies, truncated } = await answer.json();
    assert.equal(truncated, admin.only_tenant === undefined);
    return (policies as { tenant_id: string; name: string }[]).map(({ tenant_id, name }) =>
      `${tenant_id}/${name}`
    );
  };
  assert.deepEqual(await namesFor(tenantAdmin(OTHER_TENANTS)), [`${OTHER_TENANTS}/mine`]);
  assert.deepEqual(await namesFor(tenantAdmin("acme")), []);
  assert.ok((await namesFor(operator())).includes("globex/p1"));
});

Deno.test("100,000 tenants: the most active are reported, within bounds, while other tasks run", async () => {
  const table = new TenantTable();
  for (let index = 0; index < TENANTS_MAX + 10; index++) {
    table.of(`tenant-${index}`).ingress_messages = index;
  }
  const ask = async () => await answersOf(table).tenants!({ sort: "messages" });
  const { value: answer, turns } = await turnsDuring(ask);
  const { rows, total } = TenantAnswer.parse(answer);
  assert.equal(rows.length, REPORTED_MAX);
  assert.equal(total, TENANTS_MAX + 1, "later tenants share one row");
  const busiest = [1, 2].map((before) => `tenant-${TENANTS_MAX - before}`);
  assert.deepEqual(rows.slice(0, 3).map(([tenant_id]) => tenant_id), [OTHER_TENANTS, ...busiest]);
  const bytes = answerBytes(answer);
  assert.ok(bytes !== undefined && bytes.length < 1_000_000);
  assert.ok(turns >= 5, `${turns} other turns`);
});

Deno.test("questions with wrong parameters are refused", async () => {
  const answers = answersOf(new TenantTable());
  const wrong: [string, Record<string, unknown>][] = [
    ["tenants", { sort: "size" }],
    ["connections", { limit: 1e9, sort: "age" }],
    ["connection", { connection_id: "a b" }],
    ["rooms", { tenant: "*" }],
    ["room", { tenant: "a" }],
  ];
  for (const [question, params] of wrong) {
    await assert.rejects(async () => await answers[question]!(params), question);
  }
});
