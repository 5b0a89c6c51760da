/** Lines of rooms' programs in the Brain's log. */
import assert from "node:assert/strict";
import { keptLog } from "../../../shared/testing/logs.ts";
import { createProgramLines } from "./program_lines.ts";

const placeOf = (tenant_id: string) => ({ tenant_id, room_id: "r" });

Deno.test("a tenant whose reducers log without end hides no other tenant's lines", () => {
  const { log, lines } = keptLog();
  let now_ms = 0;
  const write = createProgramLines(log, () => now_ms);
  const many = Array.from({ length: 32 }, (_, at) => ({ level: 1, message: `line ${at}` }));
  for (let entry = 0; entry < 100; entry++) write(placeOf("loud"), many);
  write(placeOf("calm"), [{ level: 2, message: "low stock" }]);
  const loud = lines.filter((line) => line.includes("tenant_id=loud"));
  assert.equal(loud.length, 50 + 1);
  assert.match(loud.at(-1)!, /lines were dropped/);
  assert.match(lines.at(-1)!, /level=warn .*tenant_id=calm room=r msg="low stock"/);
  now_ms = 1_000;
  write(placeOf("loud"), many);
  assert.match(lines.at(-1)!, /tenant_id=loud room=r msg="line 31"/);
});
