/** The number by which processes with other room classes are found. */
import assert from "node:assert/strict";
import { classesHash } from "./classes_hash.ts";
import { configFrom } from "./load.ts";

const A = { room: "a-*", durable: true };
const B = { room: "b-*", membership: "journal" };
const roomsOf = (...rooms: object[]) => configFrom({ rooms }).rooms;

Deno.test("classes have one number in any order, and others have another", () => {
  const hash = classesHash(roomsOf(A, B));
  assert.equal(classesHash(roomsOf(B, A)), hash);
  const others = [roomsOf(), roomsOf(A), roomsOf(A, { ...B, membership: "off" })];
  for (const rooms of others) assert.notEqual(classesHash(rooms), hash);
});
