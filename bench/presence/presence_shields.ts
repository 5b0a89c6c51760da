/**
 * Shields for the presence benchmark: only the presence part (`shield/presence/service.ts`), each on a Spine
 * connection of its own, without sockets and clients. Members come as the connections of a Shield would bring
 * them.
 */
import { configFrom } from "../../shared/config/load.ts";
import { connectionId, randomPool } from "../../shared/ids.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import type { MemberInput } from "../../shared/presence/types.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { type PresenceService, startPresence } from "../../shield/presence/service.ts";
import { errorLog } from "../measure/brains.ts";

const random = randomPool((bytes) => crypto.getRandomValues(bytes));

/** Starts the presence of a Shield with this id. The caller closes it. */
export function startShieldPresence(node_id: string, spine: Spine): PresenceService {
  return startPresence({
    node_id,
    spine,
    config: configFrom({}),
    registry: new Registry(),
    log: errorLog(node_id),
    now: Date.now,
    monotonic_ms: () => performance.now(),
    random,
  });
}

/** A member as a client would be: ids of a real length, a name as metadata. */
export function newMember(tenant_id: string, room_id: string, index: number): MemberInput {
  return {
    tenant_id,
    room_id,
    connection_id: connectionId(random),
    user_id: `user-${index}`,
    issuer: "https://accounts.example.com",
    meta: `{"name":"user ${index}"}`,
  };
}
