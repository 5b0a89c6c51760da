/** Users of a presence channel, compared with a changing list of connections. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { isPusherClient } from "../auth/identity.ts";
import { PresenceRoll, readChannelData, type RoomMember } from "./presence_roll.ts";

const member = (connection: number, user: string): RoomMember => ({
  connection_id: `c${connection}`,
  user_id: `pusher:${connection}.1`,
  meta: { user_id: user, user_info: { name: user } },
});

Deno.test("a user is present from its first connection to its last", () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(5), fc.constantFrom("a", "b", "c")));
  fc.assert(fc.property(steps, (list) => {
    const roll = new PresenceRoll(isPusherClient);
    const there = new Map<string, string>();
    const reported = new Set<string>();
    for (const [comes, connection, user] of list) {
      const one = member(connection, user);
      if (comes) {
        if (!there.has(one.connection_id)) there.set(one.connection_id, user);
        for (const { id } of roll.take([one])) {
          assert.ok(!reported.has(id), "reported twice");
          reported.add(id);
        }
      } else {
        there.delete(one.connection_id);
        for (const id of roll.leave([one])) assert.ok(reported.delete(id), "no user has joined");
      }
      assert.deepEqual([...reported].toSorted(), [...new Set(there.values())].toSorted());
      const { presence } = JSON.parse(roll.text());
      assert.equal(presence.count, reported.size);
      assert.deepEqual(presence.ids.toSorted(), Object.keys(presence.hash).toSorted());
    }
  }));
});

Deno.test("a member that is not a client of an app has the user of its token", () => {
  const roll = new PresenceRoll(isPusherClient);
  const forged = { connection_id: "c", user_id: "bob", meta: { user_id: "admin", user_info: 1 } };
  assert.deepEqual(roll.take([forged]).map(({ id }) => id), ["bob"]);
  assert.equal(roll.nameOf("bob"), undefined);
});

Deno.test("channel_data must have a user", () => {
  assert.deepEqual(readChannelData('{"user_id":10}'), { id: "10", info: "null" });
  const bob = readChannelData('{"user_id":"b","user_info":{"n":1}}');
  assert.deepEqual(bob, { id: "b", info: '{"n":1}' });
  for (const odd of [undefined, "", "x", "{}", '{"user_id":""}', '{"user_id":{}}', "null", "1"]) {
    assert.equal(readChannelData(odd), undefined);
  }
});
