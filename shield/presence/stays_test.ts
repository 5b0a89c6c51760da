/** Stays of left members: stored until they are confirmed, and beyond the limit as a number. */
import assert from "node:assert/strict";
import { MISSED_ROOMS_MAX, STAYS_MAX, Unconfirmed } from "./announcer.ts";

const WRITER = { node_id: "s1", incarnation: 7 };
const entry = (counter: number, room_id = "stage") => ({
  counter,
  tenant_id: "t",
  room_id,
  connection_id: `c${counter}`,
  user_id: "u",
  issuer: "i",
  meta: '{"n":1}',
  joined_ms: counter,
  changed_ms: counter,
});
const due = (stays: Unconfirmed) => [...stays.due()];

Deno.test("a left member is reported repeatedly, until a Brain confirms that it is recorded", () => {
  const stats = { stays: 0, stays_missed: 0 };
  const stays = new Unconfirmed(stats);
  assert.deepEqual(due(stays), []);
  stays.add(WRITER, entry(1), "closed", 50);
  stays.add(WRITER, entry(2), "kicked", 60);
  for (let round = 0; round < 2; round++) {
    const [message] = due(stays);
    const all = message?.stays.map((
      { entry: { counter, meta, changed_ms }, cause },
    ) => [counter, meta, changed_ms, cause]);
    assert.deepEqual(all, [[1, "", 50, "closed"], [2, "", 60, "kicked"]]);
  }
  stays.confirmed({ stays: [{ writer: WRITER, counter: 1 }], missed: [] });
  stays.confirmed({ stays: [{ writer: { ...WRITER, incarnation: 8 }, counter: 2 }], missed: [] });
  assert.deepEqual(due(stays).flatMap((one) => one.stays.map(({ entry }) => entry.counter)), [2]);
  assert.equal(stats.stays, 1);
});

Deno.test("a heartbeat reports a limited number, and each has its turn", () => {
  const stays = new Unconfirmed({ stays: 0, stays_missed: 0 });
  for (let n = 0; n < 5_000; n++) stays.add(WRITER, entry(n), "closed", n);
  const seen = new Set<number>();
  for (let round = 0; round < 3; round++) {
    const messages = due(stays);
    assert.ok(messages.every((one) => one.stays.length <= 256) && messages.length === 8);
    for (const one of messages) for (const { entry } of one.stays) seen.add(entry.counter);
  }
  assert.equal(seen.size, 5_000);
});

Deno.test("stays beyond the limit are a number for their room, and later ones are added to it", () => {
  const stats = { stays: 0, stays_missed: 0 };
  const stays = new Unconfirmed(stats);
  const count = STAYS_MAX + 3;
  for (let n = 1; n <= count; n++) stays.add(WRITER, entry(n), "closed", n + 100);
  assert.deepEqual(stats, { stays: STAYS_MAX, stays_missed: 3 });
  const missed = () => due(stays).flatMap((one) => one.missed);
  const first = missed();
  assert.deepEqual(first, [{ tenant_id: "t", room_id: "stage", count: 3, from_ms: 1, to_ms: 103 }]);
  stays.add(WRITER, entry(count + 1), "closed", count + 101);
  stays.confirmed({ stays: [], missed: first });
  assert.deepEqual(missed().map((one) => [one.count, one.from_ms]), [[1, 103]]);
  stays.confirmed({ stays: [], missed: missed() });
  assert.deepEqual(missed(), []);
  for (let n = 0; n < MISSED_ROOMS_MAX + 5; n++) stays.add(WRITER, entry(n, `r${n}`), "lost", n);
  for (let n = 0; n < STAYS_MAX; n++) stays.add(WRITER, entry(1e6 + n), "lost", n);
  assert.ok(missed().length <= MISSED_ROOMS_MAX);
});

Deno.test("a tenant with many left members evicts none of another tenant", () => {
  const stats = { stays: 0, stays_missed: 0 };
  const stays = new Unconfirmed(stats);
  const of = (tenant_id: string, first: number, count: number) => {
    for (let n = first; n < first + count; n++) {
      stays.add(WRITER, { ...entry(n), tenant_id }, "closed", n);
    }
  };
  of("small", 1, 3);
  of("large", 100, 2 * STAYS_MAX);
  of("late", 100_000, 3);
  assert.deepEqual(stats, { stays: STAYS_MAX, stays_missed: STAYS_MAX + 6 });
  const missed = due(stays).flatMap((one) => one.missed);
  assert.deepEqual(missed.map(({ tenant_id, count }) => [tenant_id, count]), [
    ["large", STAYS_MAX + 6],
  ]);
});
