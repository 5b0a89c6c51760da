/**
 * Calls a counter of a Brain on a log of the embedded engine, deploys a module that migrates it and rolls that back,
 * and writes the room's log to the file in the argument; prints the result of our fold. For `rooms_by_wasmtime.py`.
 */
import { deploy, rollBack, storeModule, SUM } from "../../brain/reducers/testing/deploys.ts";
import {
  applied,
  call,
  ENGINES,
  type WorldBrain,
} from "../../brain/reducers/testing/reducer_world.ts";
import { until } from "../../shared/testing/until.ts";
import { REDUCER_OBJECTS } from "../../shared/records/reducer_record.ts";
import { folded, sourceOf } from "../reducer_chaos/judge.ts";
import { writeLog } from "./log_file.ts";
import { builtReducer } from "../../shared/testing/reducers.ts";

const CALLS = 1_200;
const AT_ONCE = 40;
const RETENTION = { history_size: 10_000, history_ttl_seconds: 604_800, replicas: undefined };

/** A different module comes into force, which answers any request, and is rolled back. */
async function deployAndBack(brain: WorldBrain): Promise<void> {
  await storeModule(brain, SUM);
  await deploy(brain, "counter", SUM);
  await until("migrated", async () => typeof await call(brain, "counter", "any") === "object");
  await rollBack(brain, "counter");
  await until("rolled back", async () => {
    const { answer } = await applied(brain, "counter", "add", { data: "1", user: "zoe" });
    return answer === 1;
  });
}

if (import.meta.main) {
  const wasm = builtReducer("counter");
  await using world = await ENGINES["embedded"]!({ modules: { counter: wasm } });
  const brain = await world.start("a");
  for (let at = 0; at < CALLS; at += AT_ONCE) {
    await Promise.all(
      Array.from({ length: AT_ONCE }, (_, one) => {
        // Some are retried soon, some after the room has forgotten them.
        const id = one % 3 === 0 ? `again-${(at + one) % 7}` : `${(at + one) % 1_100}`;
        return applied(brain, "counter", "add", { data: String(one), id, user: `ü${one % 5}` });
      }),
    );
  }
  await deployAndBack(brain);
  const log = await brain.spine.log("t", RETENTION);
  const source = sourceOf(log, await brain.spine.objects(REDUCER_OBJECTS), "counter");
  await writeLog(source, Deno.args[0]!);
  const { problems, ...rest } = await folded(source);
  if (problems.length > 0) throw new Error(problems.join("\n"));
  console.log(JSON.stringify(rest));
}
