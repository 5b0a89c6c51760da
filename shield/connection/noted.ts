/** What the ledger is told of connections: their ends, and what they were refused. */
import type { Ledger, RunningRow } from "../ledger/ledger.ts";
import { clipped } from "../ledger/row_facts.ts";
import type { Connection } from "./connection.ts";
import type { EndSaid, RefusedOperation } from "./connection_parts.ts";

/** Takes note of a connection that has ended. */
export function noteEnded(
  ledger: Pick<Ledger, "ended">,
  { id, number, identity, caller, created_ms }: Connection,
  end: EndSaid,
): void {
  ledger.ended(number, {
    connection_id: id,
    tenant_id: identity.tenant_id,
    user_id: identity.user_id,
    remote_ip: clipped(caller.remote_ip),
    began_ms: created_ms,
    ...end,
    reason: clipped(end.reason),
  });
}

/** Takes note of a refused operation; with `run`, of one more of the same. */
export function noteRefused(
  ledger: Pick<Ledger, "refused">,
  { connection: { id, number, identity, caller }, refusal, room_id }: RefusedOperation,
  run?: RunningRow,
): RunningRow {
  return ledger.refused(number, {
    stage: "operation",
    tenant_id: identity.tenant_id,
    user_id: identity.user_id,
    connection_id: id,
    remote_ip: clipped(caller.remote_ip),
    room_id: clipped(room_id),
    reason: refusal.reason,
    detail: clipped(refusal.message),
  }, run);
}
