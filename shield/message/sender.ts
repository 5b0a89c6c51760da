/**
 * The sender that is responsible for an operation that makes a policy fail. Pure. `shared/rates/slowed_sender.ts` slows
 * senders.
 */
import { groupOf } from "../../shared/http1/arrivals.ts";
import { isPusherClient } from "../auth/identity.ts";
import type { Caller } from "./caller.ts";

/**
 * The sender of an operation, unique within its tenant: the user, by any connection or request. A service publishes for
 * many users, so each of its rooms is a separate sender. A client of a Pusher app is a new user on each connection, so
 * its address is used instead.
 */
export function senderOf(caller: Caller, room_id: string): string {
  const { role, user_key } = caller.identity;
  return role === "service" ? `${user_key}\n${room_id}` : sourceOf(caller);
}

/** The source of a sender, for decisions about several senders: all rooms of a service are one source. */
export function sourceOf({ identity: { user_id, user_key }, remote_ip }: Caller): string {
  return isPusherClient(user_id) && remote_ip !== "" ? `\n${groupOf(remote_ip)}` : user_key;
}
