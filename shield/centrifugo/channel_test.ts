/** Tests of the mapping from Centrifugo's channels to rooms. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { isId } from "@arqon/proto";
import { reservedRoom } from "../../shared/rooms/reserved.ts";
import type { Identity } from "../auth/identity.ts";
import { requireChannel, requireNamespace, roomOf } from "./channel.ts";

/** The inverse of the mapping. */
const channelIn = (room_id: string): string => decodeURIComponent(room_id.replaceAll("=", "%"));

Deno.test("a channel's room is a valid, unreserved id that decodes to the channel", () => {
  const points = fc.array(fc.nat(0x10_ffff), { minLength: 1, maxLength: 5 });
  const channel = points.map((all) => String.fromCodePoint(...all)).filter((s) => s.isWellFormed());
  fc.assert(fc.property(channel, (name) => {
    const room_id = roomOf(name, "");
    assert.equal(channelIn(room_id), name);
    assert.ok(isId(room_id));
    assert.equal(reservedRoom(room_id), undefined);
  }));
});

Deno.test("a room id keeps the valid characters of a channel and has the others in hex", () => {
  assert.equal(roomOf("chat:lobby_1-a", ""), "chat:lobby_1-a");
  assert.equal(roomOf("$a#7,8", "c-"), "c-=24a=237=2c8");
  assert.equal(roomOf("a=b~c.é", ""), "a=3db=7ec=2e=c3=a9");
});

Deno.test("roomOf refuses a channel that cannot have a room", () => {
  for (const channel of ["", "x".repeat(65), "\ud800", "é".repeat(128)]) {
    assert.throws(() => roomOf(channel, ""), { reason: "invalid-room" });
  }
  assert.throws(() => roomOf(".".repeat(22), ""), /room =2e.* has more than 64 bytes/);
});

Deno.test("a channel with # admits the users it names, a channel with $ requires a grant", () => {
  const who = { user_id: "7", grants: undefined } as Identity;
  const may = (identity: Identity, channel: string) =>
    requireChannel(identity, channel, roomOf(channel, ""));
  may(who, "talk#6,7");
  may(who, "open");
  for (const channel of ["talk#6", "talk#", "talk#77", "talk#7#8", "$secret"]) {
    assert.throws(() => may(who, channel), { reason: "not-granted" }, channel);
  }
  may({ ...who, grants: [{ room: "=24secret", actions: ["subscribe"] }] }, "$secret");
  const other: Identity = { ...who, grants: [{ room: "open", actions: ["subscribe"] }] };
  assert.throws(() => may(other, "$secret"), { reason: "not-granted" });
});

Deno.test("a namespace is known if a pattern begins with it", () => {
  const known = (channel: string, pattern: string) => requireNamespace(channel, "c:", pattern);
  for (
    const [channel, pattern] of [["a", ""], ["#a", ""], ["a:b", "c:a:*"], ["é:b", "c:=c3=a9:b*"]]
  ) {
    known(channel!, pattern!);
  }
  for (const pattern of ["", "*", "c:*", "c:a*", "a:*", "c:ab:*"]) {
    assert.throws(() => known("a:b", pattern), { reason: "not-found" });
  }
});
