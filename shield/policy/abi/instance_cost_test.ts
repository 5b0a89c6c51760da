/** The precomputed cost of instances, for modules that are cheap to call and expensive to instantiate. */
import assert from "node:assert/strict";
import { meterPolicy } from "./abi_check.ts";
import { INSTANCE_FUEL_MAX, instanceCost } from "../../../wasm/metering/instance_cost.ts";
import { decodePolicy } from "../../../wasm/metering/meter.ts";
import { GREEDY_INSTANCES, plainPolicy, type PolicyParts } from "../testing/instances.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";

const OPTIONS = { memory_limit_pages: 64 };

const costOf = (parts: PolicyParts) => instanceCost(decodePolicy(plainPolicy(parts)));

Deno.test("the example policies' instances cost almost nothing", async () => {
  const folder = new URL("../../../policies/build/", import.meta.url);
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(".wasm")) continue;
    const bytes = await Deno.readFile(new URL(name, folder));
    const { instance_fuel } = meterPolicy(bytes, OPTIONS).cost;
    assert.ok(instance_fuel > 80 && instance_fuel < 800, `${name}: ${instance_fuel}`);
  }
});

for (const [name, { parts, what }] of Object.entries(GREEDY_INSTANCES)) {
  Deno.test(`an instance with ${name} is refused and names the excess`, () => {
    const bytes = plainPolicy(parts());
    assert.ok(bytes.length < 1_048_576, "the module is small enough to upload");
    assert.throws(() => meterPolicy(bytes, OPTIONS), (error) => {
      assert.ok(error instanceof PolicyModuleError, String(error));
      assert.equal(error.reason, "instance-cost");
      assert.match(error.message, what);
      return error.message.includes(`at most ${INSTANCE_FUEL_MAX}`);
    });
  });
}

Deno.test("memory is charged by its pages and refused only by its own limit", () => {
  const one = costOf({ pages: 1 });
  const all = costOf({ pages: 64 });
  assert.equal(one.fuel_without_memory, all.fuel_without_memory);
  assert.ok(all.fuel - one.fuel > 4_000, "64 pages: 1,024 first touches of 4 KiB");
  assert.equal(meterPolicy(plainPolicy({ pages: 64 }), OPTIONS).cost.instance_fuel, all.fuel);
  const large = { name: "PolicyModuleError", reason: "memory-limit" };
  assert.throws(() => meterPolicy(plainPolicy({ pages: 65 }), OPTIONS), large);
});

Deno.test("every kind has its own price, and more of it costs more", () => {
  const none = costOf({}).fuel;
  const counted = ["functions", "types", "globals", "tables", "table_entries"];
  const kinds: PolicyParts[] = [
    ...[{ imports: 100 }, { exports: 100 }, ...counted.map((kind) => ({ [kind]: 1_000 }))],
    ...[{ elements: [100, 0] }, { elements: [1, 1_000] }, {
      passive_elements: [1, 1_000],
    }] as const,
    ...[{ data: [1_000, 0] }, { data: [1, 10_000] }] as const,
  ];
  for (const parts of kinds) {
    const { fuel } = costOf(parts);
    assert.ok(fuel >= none + 20, `${JSON.stringify(parts)}: ${fuel}, without ${none}`);
  }
});
