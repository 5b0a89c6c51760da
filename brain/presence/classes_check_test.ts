/** Brains with other room classes are detected by their beats, reported once, and counted while they serve. */
import assert from "node:assert/strict";
import { configFrom } from "../../shared/config/load.ts";
import { keptLog } from "../../shared/testing/logs.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import type { Beat } from "../../shared/presence/messages.ts";
import { decodeMessage, encodeMessage } from "../../shared/presence/wire.ts";
import { classesHash } from "../../shared/config/classes_hash.ts";
import { ClassesCheck } from "./classes_check.ts";

const A = { room: "a-*", durable: true };
const B = { room: "b-*", membership: "journal" };
const roomsOf = (...rooms: object[]) => configFrom({ rooms }).rooms;
const beatOf = (brain_id: string): Beat => ({
  ...{ kind: "beat", brain_id, boot: 1, state: "serving", writers: [] },
});

Deno.test("classes have one number in any order, and others have another", () => {
  const hash = classesHash(roomsOf(A, B));
  assert.equal(classesHash(roomsOf(B, A)), hash);
  const others = [roomsOf(), roomsOf(A), roomsOf(A, { ...B, membership: "off" })];
  for (const rooms of others) assert.notEqual(classesHash(rooms), hash);
});

Deno.test("a differing Brain is reported once, and counted until one of them changes or ends", async () => {
  const { log, lines } = keptLog({ level: "warn" });
  const registry = new Registry();
  let own = roomsOf(A, B);
  let brains = ["b1", "b2", "b3", "b4"];
  const parts = { registry, log, brains: () => brains };
  const check = new ClassesCheck({ brain_id: "b1", rooms: () => own, ...parts });
  const other = new ClassesCheck({
    ...{ brain_id: "b2", rooms: () => roomsOf(A), log, brains: () => [] },
    registry: new Registry(),
  });
  const beatWithHash = (checker: ClassesCheck, brain_id: string) =>
    decodeMessage(encodeMessage(checker.withHash(beatOf(brain_id)))) as Beat;
  const differ = async () => /brain_room_classes_differ (\d)/.exec(await registry.metrics())?.[1];
  check.receive(beatWithHash(check, "b1"));
  check.receive(beatWithHash(check, "b3"));
  // An earlier release, whose beats have no hash.
  check.receive(beatOf("b4"));
  assert.deepEqual([await differ(), lines.length], ["0", 0]);
  for (let turn = 0; turn < 3; turn++) check.receive(beatWithHash(other, "b2"));
  assert.equal(await differ(), "1");
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", /brain=b2 .*other \[\[rooms\]\]/);
  own = roomsOf(A);
  // Now b2 matches, and b3 does not.
  assert.equal(await differ(), "1");
  brains = ["b1", "b2"];
  assert.equal(await differ(), "0");
});
