/**
 * The sender that answers for an operation that makes a policy fail. Pure. `shared/rates/slowed_sender.ts` slows
 * senders.
 */
import { groupOf } from "../../shared/http1/arrivals.ts";
import { isPusherClient } from "../auth/identity.ts";
import type { Caller } from "./caller.ts";

/**
 * The sender of an operation, unique within its tenant: the user, by any connection or request. A service publishes for
 * many, so that each of its rooms is a sender of its own. A client of a Pusher app is a new user on each connection, so
 * its address stands for it.
 */
export function senderOf(caller: Caller, room_id: string): string {
  const { role, user_key } = caller.identity;
  return role === "service" ? `${user_key}\n${room_id}` : sourceOf(caller);
}

/** The source of a sender if several senders have to fail: all rooms of a service are one. */
export function sourceOf({ identity: { user_id, user_key }, remote_ip }: Caller): string {
  return isPusherClient(user_id) && remote_ip !== "" ? `\n${groupOf(remote_ip)}` : user_key;
}
