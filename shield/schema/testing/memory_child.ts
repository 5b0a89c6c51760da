/**
 * A process that registers and maps schemas, and prints the bytes of heap in use after each forty: `memory_test.ts`
 * starts it with `--expose-gc`. Tests only.
 */
import { turn } from "../../../shared/testing/pace.ts";
import { testSpine } from "../../testing/spine.ts";
import { registerMany } from "./many.ts";
import { testSchemas } from "./registry.ts";

const STEPS = 3;
const STEP = 40;

async function usedBytes(collect: () => void): Promise<number> {
  // Objects of the current turn of the event loop are freed first.
  for (let round = 0; round < 3; round++) {
    await turn();
    collect();
  }
  return Deno.memoryUsage().heapUsed;
}

if (import.meta.main) {
  const [compiled_bytes = "0"] = Deno.args;
  const { gc } = globalThis as unknown as { readonly gc: () => void };
  await using engine = testSpine();
  const more = { compiled_bytes: Number(compiled_bytes) };
  using running = await testSchemas(engine.spine, { mappings: [], more });
  const used_bytes: number[] = [];
  for (let at = 0; at < STEPS; at++) {
    await registerMany(running, at * STEP, (at + 1) * STEP);
    used_bytes.push(await usedBytes(gc));
  }
  const held = await running.metric("shield_schema_cache_schemas");
  console.log(JSON.stringify({ used_bytes, held }));
}
