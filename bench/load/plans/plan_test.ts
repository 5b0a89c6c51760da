/** How a crowd is dealt to processes and tenants, and when its messages are due. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Crowd, dueMs, type Group, membersOf, processesOf, seatsOf, shareOf } from "./plan.ts";

const GROUP: Group = {
  connections: 7,
  tenants: 2,
  prefix: "room",
  rooms: 3,
  rooms_each: 2,
  subscribes: true,
  publishes: true,
  batch: false,
};

/** Groups of any shape. */
const groups = fc.array(
  fc.record({
    connections: fc.integer({ min: 0, max: 40 }),
    tenants: fc.integer({ min: 1, max: 5 }),
    prefix: fc.constantFrom("a", "b"),
    rooms: fc.integer({ min: 1, max: 9 }),
    rooms_each: fc.integer({ min: 1, max: 4 }),
    subscribes: fc.boolean(),
    publishes: fc.boolean(),
    batch: fc.boolean(),
  }),
  { minLength: 1, maxLength: 3 },
);

function allSeats(crowd: Crowd) {
  return Array.from({ length: processesOf(crowd) }, (_, process) => seatsOf(crowd, process)).flat();
}

Deno.test("every connection is in one process, whatever the groups are", () => {
  fc.assert(fc.property(groups, fc.integer({ min: 1, max: 4 }), (groups, processes) => {
    const seats = allSeats({ groups, processes, echo: false });
    for (const group of groups) {
      assert.equal(seats.filter((seat) => seat.group === group).length, group.connections);
    }
  }));
});

Deno.test("who hears a room is counted as the seats have it", () => {
  fc.assert(fc.property(groups, fc.integer({ min: 1, max: 4 }), (groups, processes) => {
    const crowd = { groups, processes, echo: false };
    const members = membersOf(crowd);
    const seats = allSeats(crowd);
    for (const { tenant, rooms } of seats) {
      for (const room of rooms) {
        const hearing = seats.filter((seat) =>
          seat.group.subscribes && seat.tenant === tenant && seat.rooms.includes(room)
        );
        assert.equal(members(tenant, room), hearing.length);
      }
    }
  }));
});

Deno.test("connections of a tenant share its rooms in turn", () => {
  const seats = seatsOf({ groups: [GROUP], processes: 1, echo: false }, 0);
  assert.deepEqual(seats.map(({ tenant }) => tenant), [0, 1, 0, 1, 0, 1, 0]);
  assert.deepEqual(seats[0]?.rooms, ["room-0", "room-1"]);
  assert.deepEqual(seats[2]?.rooms, ["room-2", "room-0"]);
});

Deno.test("publishers that hear nothing have a process of their own", () => {
  const speaker = { ...GROUP, connections: 1, subscribes: false };
  const listeners = { ...GROUP, publishes: false };
  const crowd = { groups: [listeners, speaker], processes: 2, echo: false };
  assert.equal(processesOf(crowd), 3);
  assert.deepEqual(seatsOf(crowd, 2).map(({ group }) => group), [speaker]);
  assert.ok(
    [0, 1].every((process) => seatsOf(crowd, process).every(({ group }) => group === listeners)),
  );
});

Deno.test("the shares of all processes are the rate, and none sends at another's moment", () => {
  const shares = [3, 4, 3].map((publishers, process) =>
    shareOf({ rate: 1_000, burst: 1 }, publishers, 10, process)
  );
  assert.equal(shares.reduce((sum, { rate }) => sum + rate, 0), 1_000);
  assert.equal(new Set(shares.map(({ offset_ms }) => offset_ms)).size, 3);
});

Deno.test("messages are due at a constant rate from the start, bursts together", () => {
  const share = { rate: 1_000, burst: 5, offset_ms: 2 };
  const due = Array.from({ length: 11 }, (_, index) => dueMs(share, index));
  assert.deepEqual(due, [2, 2, 2, 2, 2, 7, 7, 7, 7, 7, 12]);
  fc.assert(fc.property(fc.integer({ min: 1, max: 1e5 }), fc.nat(1e6), (rate, index) => {
    const due_ms = dueMs({ rate, burst: 1, offset_ms: 0 }, index);
    assert.ok(Math.abs(due_ms - index * 1_000 / rate) < 1e-6);
  }));
});
