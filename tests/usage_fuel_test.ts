/**
 * The fuel in the ledger of use beside a replay of the journal: what policies took of a bus is, to the unit, what
 * their modules take when they decide the recorded calls again.
 */
import assert from "node:assert/strict";
import { runArq } from "../arq/testing/run_arq.ts";
import { until } from "../shared/testing/until.ts";
import { UNITS_PER_FUEL } from "../wasm/metering/meter_costs.ts";
import { startBusWith, type TestBus } from "./harness/bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";

const CONFIG = `
[usage]
enabled = true
#constant usage.flush_ms = 50
[journal]
journal = "all"
journal_payload = "keep"
#constant journal.flush_ms = 50
`;
const BUILT = new URL("../policies/build/", import.meta.url).pathname;
/** Modules without memory from call to call: a replay compares their fuel. */
const POLICIES = ["content_size", "json_masking"];
const MESSAGES = 12;

async function arq(bus: TestBus, args: string[], stdin?: string): Promise<string> {
  const result = await runArq(
    [...args, "--url", bus.url],
    stdin === undefined ? {} : { stdin },
  );
  assert.ok([0, 5].includes(result.code), `${args.join(" ")}: ${result.stderr}`);
  return result.stdout;
}

/** What is read of a record. */
interface Decision {
  readonly policies: readonly { readonly name: string; readonly units: number }[];
}

Deno.test("usage: the fuel of policies is that of a replay of the journal, to the unit", async () => {
  await using bus = await startBusWith(CONFIG + PATIENT_POLICIES);
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const ask = (path: string) =>
    fetch(`${bus.admin_url}${path}`, { headers: { authorization: `Bearer ${token}` } });
  for (const name of POLICIES) await arq(bus, ["policy", "deploy", `${BUILT}${name}.wasm`]);
  const texts = Array.from({ length: MESSAGES }, (_, at) => `"${"x".repeat(at * 40)}"\n`);
  await arq(bus, ["pub", "lobby", "--ndjson", "-"], texts.join(""));
  // Refused by the first policy: its fuel counts, too.
  await arq(bus, ["pub", "lobby", "y".repeat(40_000)]);
  const decisions = async () => {
    const text = await (await ask("/v1/journal?tenant=default&room=lobby")).text();
    const lines: (Decision | { policies?: undefined })[] = text.trimEnd().split("\n").map((line) =>
      JSON.parse(line)
    );
    return lines.filter((line): line is Decision => line.policies !== undefined);
  };
  let records = await decisions();
  await until(() => `the journal has every decision: ${JSON.stringify(records)}`, async () => {
    records = await decisions();
    return records.length === MESSAGES + 1;
  });
  const calls = records.flatMap(({ policies }) => policies);
  const unitsOf = (policy: string) =>
    calls.reduce((sum, { name, units }) => name === policy ? sum + units : sum, 0);
  for (const policy of POLICIES) {
    const units = unitsOf(policy);
    assert.ok(units > 0, policy);
    await until(`the ledger has ${units} units of ${policy}`, async () => {
      const { rows } = await (await ask("/v1/usage?by=policy")).json();
      const row = rows.find((one: { policy: string }) => one.policy === policy);
      return row?.fuel * UNITS_PER_FUEL === units;
    });
    // Each call took as much again.
    const { recorded } = JSON.parse(await arq(bus, ["policy", "replay", policy, "--json"]));
    assert.deepEqual([recorded.different, recorded.unknown], [{}, {}], policy);
    const asked = calls.filter(({ name }) => name === policy).length;
    assert.deepEqual([recorded.same, recorded.stateful_fuel], [asked, 0], policy);
  }
});
