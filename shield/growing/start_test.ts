/** Many simultaneous commands of growing messages: other tasks run between them. */
import assert from "node:assert/strict";
import { ArqonError, scanEnvelope, writeEnvelope } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import { turn } from "../../shared/turns/next_turn.ts";
import { ann } from "../auth/testing/identity.ts";
import { PLAIN_ROOMS } from "../durable/log/logs.ts";
import { callerOf, LIMITS, testPath } from "../message/testing/path.ts";
import { keptLog } from "../testing/spine.ts";
import { startGrowing } from "./start.ts";
import { NO_POLICIES } from "../message/gates.ts";

const COMMANDS = 400;

Deno.test("of a thousand simultaneous commands a few are answered per turn, in one room or many", async () => {
  await using test = testPath();
  const growing = startGrowing(
    {
      config: {
        watchdog: { stall_ms: 30_000 },
        limits: LIMITS,
        growing: configFrom({}).growing,
      } as never,
      spine: test.spine,
      log: keptLog().log,
      registry: new Registry(),
    },
    test.path,
    NO_POLICIES,
    { of: () => Promise.reject(new ArqonError("log-unavailable")) } as never,
    PLAIN_ROOMS.classes,
  );
  const data = new TextEncoder().encode('{"id":"a1"}');
  const command = { name: "growing.append", data, content_type: "application/json" };
  let answered = 0;
  const ask = (room_id: string) => {
    const envelope = scanEnvelope(writeEnvelope({ room_id, command }), LIMITS);
    return growing.answer(callerOf(ann), envelope).catch(() => {}).finally(() => answered++);
  };
  // Commands of one connection and room are sequential, those of many connections concurrent.
  let chain = Promise.resolve<unknown>(undefined);
  for (let at = 0; at < COMMANDS; at++) chain = chain.then(() => ask("lobby"));
  const all = Array.from({ length: COMMANDS }, (_, at) => ask(`lobby-${at}`));
  let most = 0;
  for (let before = 0; answered < 2 * COMMANDS; before = answered) {
    await turn();
    most = Math.max(most, answered - before);
  }
  await Promise.all([chain, ...all]);
  assert.ok(most <= 32, `${most} in one turn`);
  await growing.close();
});
