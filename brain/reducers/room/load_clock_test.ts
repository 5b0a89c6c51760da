/** A room is read while the log's clock is ahead, as messages were stored while the clock of the process was. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { configFrom } from "../../../shared/config/load.ts";
import { overriding } from "../../../shared/testing/overriding.ts";
import { programOf, storeProgram } from "../log/program.ts";
import { moduleOf } from "../testing/guest_text.ts";
import { callAt, partsOf, placeOf } from "../testing/lone_room.ts";
import { ENGINES } from "../testing/reducer_world.ts";
import { ReducerHost } from "../thread/host.ts";

const ANSWERS = moduleOf({ apply: "(i32.const 0)" });
const HISTORY = { history_snapshots: 4, history_bytes: 4_194_304, snapshot_entries: 1_000 };
const AHEAD_MS = 30 * 86_400_000;

Deno.test("a room whose first entry was not stored is called, although the log's clock is ahead", async () => {
  await using world = await ENGINES["embedded"]!({ modules: { answers: ANSWERS } });
  const host = new ReducerHost(() => {});
  world.defer(() => Promise.resolve(host.end()));
  world.turn("nobody");
  const brain = await world.start("a");
  let is_full = true;
  const lone = await partsOf(brain, host);
  const parts = {
    ...lone,
    openLog: async (tenant_id: string) => {
      const log = await lone.openLog(tenant_id);
      const full = () => Promise.reject(new ArqonError("log-unavailable", "it is full"));
      if (is_full) return overriding(log, { append: full, appendAll: full });
      return overriding(log, { now: () => log.now() + AHEAD_MS, shownTime: () => Date.now() });
    },
  };
  const named = { name: "answers", file: "answers", fuel_limit: 1_000 };
  const [entry] = configFrom({ reducers: [named] }).reducers;
  const program = await programOf(entry!, ANSWERS, brain.spine.payload_bytes_max);
  await storeProgram(parts.objects, program);
  const ask = (id: string) =>
    callAt(placeOf("room"), parts, { program, command: "do", data: "1", id, history: HISTORY });
  await assert.rejects(ask("one"), /it is full/);
  is_full = false;
  assert.match(await ask("two"), /"entry":1/);
});
