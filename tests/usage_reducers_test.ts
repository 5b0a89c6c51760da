/** The fuel of reducers with an exhausted budget, on a real bus. `brain/reducers/usage/` tests the counts. */
import assert from "node:assert/strict";
import { sha256Hex } from "../shared/sha256.ts";
import { startLocalBus } from "./harness/local_bus.ts";

const built = (name: string) =>
  new URL(`../policies/build/reducers/${name}.wasm`, import.meta.url).pathname;
const CONFIG = `
[server]
drain_ms = 0
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
    // An invalid module is not inspected.
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
