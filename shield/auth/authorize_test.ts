/** Decisions by grant, tenant and role, on plain objects; no token, no socket. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { matchesRoomPattern, type Reason } from "@arqon/proto";
import {
  canAct,
  commandAction,
  requireCommandRole,
  requireEventType,
  requireGrant,
  requireRole,
  requireSameUser,
  requireSignalRole,
  requireTenant,
} from "./authorize.ts";
import { ACTIONS, type Grant, type Identity } from "./identity.ts";

const identity: Identity = {
  tenant_id: "acme",
  user_id: "u1",
  user_key: "https://id.example.com\nu1",
  role: "user",
  issuer: "https://id.example.com",
  expires_ms: 1_000,
  token_id: undefined,
  grants: undefined,
  signing_key: undefined,
  claims: {},
};

function refuses(reason: Reason, work: () => void, code = 403): void {
  assert.throws(work, { reason, code });
}

Deno.test("without grants every action in every room of the tenant is allowed", () => {
  for (const action of ACTIONS) assert.ok(canAct(identity, action, "any"));
});

Deno.test("a grant allows its actions in its rooms and nothing else", () => {
  const grants: Grant[] = [
    { room: "chat-*", actions: ["publish", "subscribe"] },
    { room: "news", actions: ["subscribe"] },
    { room: "none-*", actions: [] },
  ];
  const allowed = ["chat-1", "chat-", "news", "news2", "chat", "none-1", "Chat-1"].flatMap((room) =>
    ACTIONS.filter((action) => canAct({ grants }, action, room)).map((action) =>
      `${action} ${room}`
    )
  );
  assert.deepEqual(allowed, [
    "publish chat-1",
    "subscribe chat-1",
    "publish chat-",
    "subscribe chat-",
    "subscribe news",
  ]);
});

Deno.test("an action is allowed exactly if one grant names both it and the room", () => {
  const room = fc.stringMatching(/^[abc~-]{1,4}$/);
  const pattern = fc.oneof(room, room.map((prefix) => `${prefix}*`), fc.constant("*"));
  const grant = fc.record({ room: pattern, actions: fc.subarray([...ACTIONS]) });
  fc.assert(fc.property(
    fc.array(grant, { maxLength: 5 }),
    room,
    fc.constantFrom(...ACTIONS),
    (grants, at, action) => {
      const expected = grants.filter((one) => one.actions.includes(action))
        .map((one) => matchesRoomPattern(one.room, at)).includes(true);
      assert.equal(canAct({ grants }, action, at), expected);
    },
  ));
});

Deno.test("a missing grant is refused with the action and the room", () => {
  const grants: Grant[] = [{ room: "a", actions: ["subscribe"] }];
  requireGrant({ grants }, "subscribe", "a");
  refuses("not-granted", () => requireGrant({ grants }, "publish", "a"));
  assert.throws(() => requireGrant({ grants }, "publish", "a"), {
    message: "Not granted: publish in a",
  });
});

Deno.test("an envelope may omit the tenant or name the token's, but no other", () => {
  requireTenant(identity, "");
  requireTenant(identity, "acme");
  for (const named of ["globex", "ACME", "acme ", "acme\0", "*"]) {
    refuses("tenant-mismatch", () => requireTenant(identity, named));
  }
});

Deno.test("reserved event types are for services and admins", () => {
  for (const type of ["PRESENCE_LEAVE", "PRESENCE_", "ROOM_CLOSED", "SYSTEM_X"]) {
    refuses("reserved-type", () => requireEventType("user", type));
    requireEventType("service", type);
    requireEventType("admin", type);
  }
  for (const type of ["", "chat", "presence", "PRESENCE", "MY_ROOM_X", "SYSTEMS"]) {
    requireEventType("user", type);
  }
});

Deno.test("signals are for services and admins, the admin API for admins only", () => {
  refuses("signal-forbidden", () => requireSignalRole("user"));
  requireSignalRole("service");
  requireSignalRole("admin");
  requireRole({ role: "admin" }, "admin");
  refuses("role-forbidden", () => requireRole({ role: "service" }, "admin"));
  refuses("role-forbidden", () => requireRole({ role: "user" }, "admin"));
});

Deno.test("a command needs the action that its capability declares, all else the action command", () => {
  const own = { "a.list": "presence", "a.get": "subscribe", "a.past": "nobody" } as const;
  assert.equal(commandAction("a.list", own), "presence");
  assert.equal(commandAction("a.get", own), "subscribe");
  for (const name of ["room.set", "set", "a", "a.past", "toString", ""]) {
    assert.equal(commandAction(name, own), "command");
  }
  // A client may leave out `room.`.
  for (const name of ["room.look", "look"]) {
    assert.equal(commandAction(name, { "room.look": "subscribe" }), "subscribe");
    refuses(
      "command-forbidden",
      () => requireCommandRole("admin", name, { "room.look": "nobody" }),
    );
  }
  refuses("command-forbidden", () => requireCommandRole("admin", "a.past", own));
  requireCommandRole("user", "a.get", own);
  requireCommandRole("user", "toString", own);
});

Deno.test("a refreshed token can only continue the same issuer, subject and tenant", () => {
  requireSameUser(identity, { ...identity, expires_ms: 2_000, grants: [], role: "service" });
  const others = [
    { ...identity, user_key: "https://evil.example.com\nu1" },
    { ...identity, user_key: "https://id.example.com\nu2" },
    { ...identity, tenant_id: "globex" },
  ];
  for (const other of others) {
    refuses("refresh-mismatch", () => requireSameUser(identity, other), 401);
  }
});

Deno.test("no client writes the bus's values, and a subscriber of a room reads them", () => {
  assert.equal(canAct({ grants: undefined }, "publish", "a-1~values"), false);
  assert.equal(canAct({ grants: undefined }, "command", "a-1~values"), false);
  assert.equal(canAct({ grants: undefined }, "subscribe", "a-1~values"), true);
  const grants = [{ room: "a-1", actions: ["subscribe"] as const }];
  assert.equal(canAct({ grants }, "subscribe", "a-1~values"), true);
  assert.equal(canAct({ grants }, "subscribe", "a-2~values"), false);
});
