/** The order in which waiting rooms run. */
import assert from "node:assert/strict";
import { DueTurns } from "./capability.ts";

const rooms = (tenant_id: string, count: number) =>
  Array.from({ length: count }, (_, at) => ({ tenant_id, room_id: `r${at}` }));
const names = (taken: readonly { tenant_id: string; room_id: string }[]) =>
  taken.map(({ tenant_id, room_id }) => `${tenant_id}/${room_id}`).join(" ");

Deno.test("each tenant has its turn, and no room a second one before all have had one", () => {
  const turns = new DueTurns();
  const waiting = [...rooms("a", 4), ...rooms("b", 1)];
  assert.equal(names(turns.take(waiting, 2)), "a/r0 b/r0");
  assert.equal(names(turns.take(waiting, 2)), "a/r1 a/r2");
  assert.equal(names(turns.take(waiting, 2)), "a/r3");
  assert.equal(names(turns.take(waiting, 2)), "a/r0 b/r0");
});

Deno.test("a later one does not wait until all earlier ones have had a turn", () => {
  const turns = new DueTurns();
  const many = rooms("a", 1_000);
  assert.equal(turns.take(many, 64).length, 64);
  const late = { tenant_id: "b", room_id: "late" };
  assert.ok(turns.take([...many, late], 64).includes(late));
});

Deno.test("a room that waits again after a pause has its turn at once", () => {
  const turns = new DueTurns();
  const [first, ...others] = rooms("a", 5);
  assert.equal(names(turns.take([first!, ...others], 1)), "a/r0");
  assert.equal(names(turns.take(others, 1)), "a/r1");
  assert.equal(names(turns.take([first!, ...others], 1)), "a/r0");
});
