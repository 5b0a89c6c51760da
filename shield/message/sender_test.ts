/** The slowed sender of a failing policy, and its source. */
import assert from "node:assert/strict";
import { type Caller, senderOf, sourceOf, tokenlessCaller } from "./caller.ts";
import { clientIdentity } from "../pusher/apps.ts";

const USER = { tenant_id: "acme", user_id: "ann", role: "user", issuer: "id" } as const;

const both = (caller: Caller, room_id: string) => [senderOf(caller, room_id), sourceOf(caller)];

Deno.test("a user is one sender in all rooms, a service one per room", () => {
  const user = tokenlessCaller(USER, "c1");
  assert.deepEqual(both(user, "r"), ["id\nann", "id\nann"]);
  assert.deepEqual(both({ ...user, remote_ip: "192.0.2.1" }, ""), both(user, "other"));
  const service = tokenlessCaller({ ...USER, role: "service" }, "c2");
  assert.deepEqual(both(service, "r"), ["id\nann\nr", "id\nann"]);
});

Deno.test("clients of a Pusher app are one sender per address, since each connection is a new user", () => {
  const app = {
    tenant: "acme",
    id: "1",
    key: "k",
    secret: "s",
    room_prefix: "p-",
    client_events: true,
    subscription_count: false,
  };
  const client = (socket_id: string, remote_ip: string): Caller => ({
    ...tokenlessCaller(USER, socket_id),
    identity: clientIdentity(app, socket_id),
    remote_ip,
  });
  const at = both(client("1.1", "2001:db8::1"), "r");
  assert.deepEqual(at, both(client("1.2", "2001:db8::2"), "r"));
  assert.notDeepEqual(at, both(client("1.2", "2001:db9::2"), "r"));
  assert.deepEqual(both(client("1.3", ""), "r"), [
    "arqon:pusher\npusher:1.3",
    "arqon:pusher\npusher:1.3",
  ]);
});
