/** Rooms by tenant: listings, changes during one, and reports of other Brains. */
import assert from "node:assert/strict";
import { writeEnvelope } from "@arqon/proto";
import type { KvKey } from "../../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import { tenantSubject } from "../../../shared/subjects/subject.ts";
import { BRAIN_HEADER } from "./announcer.ts";
import { RoomTally } from "./room_tally.ts";

const at = (room_id: string) => ({ tenant_id: "acme", room_id });
const isFull = (tally: RoomTally, tenant_id = "acme") => tally.refusal(tenant_id) !== undefined;

function lifeEvent(type: string, room_id: string, brain_id = "b2"): SpineMessage {
  return {
    subject: tenantSubject("rooms", "acme"),
    payload: writeEnvelope({ tenant_id: "acme", room_id, event: { type } }),
    headers: { [BRAIN_HEADER]: brain_id },
    respond: () => {},
  };
}

Deno.test("creations and ends count once each, also if they are notified twice", async () => {
  const tally = new RoomTally(2);
  await tally.recount(() => Promise.resolve([["acme", "a"], ["other", "x"]]));
  tally.receive(lifeEvent("ROOM_CREATED", "a"), "b1");
  assert.equal(isFull(tally), false);
  tally.receive(lifeEvent("ROOM_CREATED", "b"), "b1");
  assert.equal(isFull(tally), true);
  assert.equal(isFull(tally, "other"), false);
  for (let times = 0; times < 2; times++) tally.receive(lifeEvent("ROOM_ENDED", "b"), "b1");
  assert.equal(isFull(tally), false);
  tally.note(at("b"), true);
  tally.receive(lifeEvent("ROOM_ENDED", "b", "b1"), "b1");
  assert.equal(isFull(tally), true, "its own doing is known already");
});

Deno.test("what happens during a listing counts, whether the listing has it or not", async () => {
  const tally = new RoomTally(2);
  const { promise, resolve } = Promise.withResolvers<KvKey[]>();
  const listing = tally.recount(() => promise);
  tally.note(at("new"), true);
  tally.note(at("old"), false);
  resolve([["acme", "old"], ["acme", "stays"]]);
  await listing;
  assert.equal(isFull(tally), true);
  tally.note(at("new"), false);
  assert.equal(isFull(tally), false);
});

Deno.test("a listing that fails changes nothing", async () => {
  const tally = new RoomTally(1);
  tally.note(at("a"), true);
  await assert.rejects(tally.recount(() => Promise.reject(new Error("gone"))), /gone/);
  assert.equal(isFull(tally), true);
});

Deno.test("bytes that are no envelope, and other events, count nothing", () => {
  const tally = new RoomTally(1);
  tally.receive({ ...lifeEvent("ROOM_CREATED", "a"), payload: new Uint8Array([255]) }, "b1");
  tally.receive({ ...lifeEvent("ROOM_CREATED", "a"), subject: "sys.t.acme.other" }, "b1");
  tally.receive(lifeEvent("SOMETHING", "a"), "b1");
  assert.equal(isFull(tally), false);
});
