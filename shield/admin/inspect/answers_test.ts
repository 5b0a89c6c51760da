/** What one Shield reports of very many tenants: bounded, correct, and not in one turn. */
import assert from "node:assert/strict";
import { answerBytes } from "../../../shared/cluster/cluster_question.ts";
import { ConnectionTable } from "../../connection/connection_table.ts";
import { OTHER_TENANTS, TENANTS_MAX, TenantTable } from "../../stats/tenant_stats.ts";
import { type InspectedParts, shieldAnswers } from "./start.ts";
import { REPORTED_MAX, TenantAnswer } from "./lists.ts";

/** The parts of a Shield without clients. */
function partsWith(tenants: TenantTable): InspectedParts {
  const connections: InspectedParts["connections"] = new ConnectionTable();
  const hub = { channels: new Map() };
  const counters = { open: () => 0 };
  return { node_id: "n", connections, hub, counters, tenants } as unknown as InspectedParts;
}

Deno.test("100,000 tenants: the most active are reported, within bounds, while other tasks run", async () => {
  const tenants = new TenantTable();
  for (let index = 0; index < TENANTS_MAX + 10; index++) {
    tenants.of(`tenant-${index}`).ingress_messages = index;
  }
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const answer = await shieldAnswers(partsWith(tenants)).tenants!({ sort: "messages" });
  clearInterval(timer);
  const { rows, total } = TenantAnswer.parse(answer);
  assert.equal(rows.length, REPORTED_MAX);
  assert.equal(total, TENANTS_MAX + 1, "later tenants share one row");
  assert.deepEqual(rows.slice(0, 3).map(([tenant_id]) => tenant_id), [
    OTHER_TENANTS,
    `tenant-${TENANTS_MAX - 1}`,
    `tenant-${TENANTS_MAX - 2}`,
  ]);
  const bytes = answerBytes(answer);
  assert.ok(bytes !== undefined && bytes.length < 1_000_000);
  assert.ok(turns >= 5, `${turns} other turns`);
});

Deno.test("questions with wrong parameters are refused", async () => {
  const answers = shieldAnswers(partsWith(new TenantTable()));
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
