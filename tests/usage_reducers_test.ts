/** The fuel of a room that is a program on a real bus: in the ledger of use by its reducer, with a price, and in budgets. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { reduced } from "@arqon/sdk/reducers";
import { sha256Hex } from "../shared/sha256.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";

const built = (name: string) =>
  new URL(`../policies/build/reducers/${name}.wasm`, import.meta.url).pathname;
const CONFIG = `
[server]
host = "127.0.0.1"
port = 0
drain_ms = 0
[ops]
host = "127.0.0.1"
[admin]
operator_tenants = ["default"]
[limits]
#constant limits.command_timeout_ms = 60_000
[[reducers]]
name = "counter"
file = "${built("counter")}"
[[rooms]]
room = "count-*"
durable = true
reducer = "counter"
[usage]
enabled = true
#constant usage.flush_ms = 50
[usage.prices]
fuel = 2
[[usage.budgets]]
per = "month"
unit = "fuel"
limit = 1
action = "refuse"
`;

Deno.test("usage: the fuel of a reducer has a row and a price, and uses up a budget", async () => {
  await using bus = await startLocalBus(CONFIG);
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  await using ann = await connect({ url: bus.url, token, request_timeout_ms: 60_000 });
  const counter = reduced<{ add: [number, number] }>(ann.room("count-1"));
  assert.equal((await counter.call("add", 5)).answer, 5);
  const told = async () => {
    const url = `${bus.admin_url}/v1/usage?by=room,policy`;
    const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    return await answer.json();
  };
  let answer = await told();
  await until(() => `its fuel is there: ${JSON.stringify(answer)}`, async () => {
    answer = await told();
    return answer.total.fuel > 0;
  });
  const [row] = answer.rows.filter(({ fuel }: { fuel: number }) => fuel > 0);
  assert.deepEqual([row.room, row.policy], ["count-*", "reducer:counter"]);
  assert.equal(answer.total.cost, 2 * answer.total.fuel);
  await until("a call is refused: the budget is used up", () =>
    counter.call("add", 1).then(
      () => false,
      ({ reason }) => reason === "budget-exhausted",
    ));
});

Deno.test("usage: a deploy is refused while its tenant's budget is used up, before its module is compiled", async () => {
  await using bus = await startLocalBus(CONFIG);
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const ask = async (path: string, body: BodyInit, type = "application/wasm") => {
    const headers = { authorization: `Bearer ${token}`, "content-type": type };
    const url = `${bus.admin_url}/v1/tenants/default/${path}`;
    const response = await fetch(url, { method: "PUT", headers, body });
    const { reason } = await response.json();
    return { status: response.status, reason, wait: response.headers.get("retry-after") };
  };
  const module = await Deno.readFile(built("counter_rust"));
  const stored = `reducers/count-*/modules/${await sha256Hex(module)}`;
  const budget = { per: "month", unit: "fuel", action: "refuse", limit: 0 };
  assert.equal((await ask("budgets", JSON.stringify(budget), "application/json")).status, 200);
  for (const path of ["reducers/count-*", stored]) {
    // What is no module is not looked at.
    for (const bytes of [module, new Uint8Array(8)]) {
      const { status, reason, wait } = await ask(path, bytes);
      assert.deepEqual([status, reason], [429, "budget-exhausted"], path);
      assert.ok(Number(wait) >= 1, `${wait}`);
    }
  }
  const more = JSON.stringify({ ...budget, limit: 1e9 });
  assert.equal((await ask("budgets", more, "application/json")).status, 200);
  assert.equal((await ask("reducers/count-*", module)).status, 200);
});
