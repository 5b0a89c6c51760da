/** The fuel of a room that is a program on a real bus: in the ledger of use by its reducer, with a price, and in budgets. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { reduced } from "@arqon/sdk/reducers";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
port = 0
drain_ms = 0
[ops]
host = "127.0.0.1"
[limits]
command_timeout_ms = 60_000
[[reducers]]
name = "counter"
file = "${new URL("../policies/build/reducers/counter.wasm", import.meta.url).pathname}"
[[rooms]]
room = "count-*"
durable = true
reducer = "counter"
[usage]
enabled = true
flush_ms = 50
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
