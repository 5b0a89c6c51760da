/** Each step of a growth has the same load, and exactly the rooms, connections or tenants it names. */
import assert from "node:assert/strict";
import { connectionsPlan, powersOfTen, roomsPlan, tenantsPlan } from "./growth_plans.ts";
import { type LoadPlan, membersOf, seatsOf } from "./plan.ts";

const LOAD = { rate: 1_000, seconds: 1, warmup_seconds: 1, size_bytes: 64 };

/** Every room of a plan, by tenant, and how many connections there are. */
function countsOf(plan: LoadPlan) {
  const seats = Array.from({ length: plan.processes }, (_, process) => seatsOf(plan, process))
    .flat();
  const rooms = new Set(
    seats.flatMap(({ tenant, rooms }) => rooms.map((room) => `${tenant} ${room}`)),
  );
  const members = membersOf(plan);
  const heard = [...rooms].map((key) => {
    const [tenant = "", room = ""] = key.split(" ");
    return members(Number(tenant), room);
  });
  return {
    connections: seats.length,
    tenants: new Set(seats.map(({ tenant }) => tenant)).size,
    rooms: rooms.size,
    alone: heard.every((count) => count === 1),
  };
}

Deno.test("rooms are as many as asked, each heard once, from at most 20 connections", () => {
  for (const rooms of powersOfTen(10, 10_000)) {
    const counts = countsOf(roomsPlan(rooms, LOAD));
    const connections = Math.min(20, rooms);
    assert.deepEqual(counts, { connections, tenants: 1, rooms, alone: true });
  }
});

Deno.test("connections are as many as asked, each alone in its room", () => {
  for (const connections of powersOfTen(10, 1_000)) {
    const counts = countsOf(connectionsPlan(connections, LOAD));
    assert.deepEqual(counts, { connections, tenants: 1, rooms: connections, alone: true });
  }
});

Deno.test("tenants are as many as asked, with the same thousand connections and rooms", () => {
  for (const tenants of powersOfTen(1, 1_000)) {
    const counts = countsOf(tenantsPlan(tenants, LOAD));
    assert.deepEqual(counts, { connections: 1_000, tenants, rooms: 1_000, alone: true });
  }
});
