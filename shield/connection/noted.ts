/** What the ledger is told of connections: their ends, and what they were refused. */
import type { Ledger } from "../ledger/ledger.ts";
import { clipped } from "../ledger/row_facts.ts";
import type { Connection } from "./connection.ts";
import type { EndSaid, NotedRefusals, RefusedOperation } from "./connection_parts.ts";

/** Takes note of a connection that has ended. */
export function noteEnded(
  ledger: Pick<Ledger, "ended">,
  { id, number, identity, caller, noted_ms }: Connection,
  end: EndSaid,
): void {
  ledger.ended(number, {
    connection_id: id,
    tenant_id: identity.tenant_id,
    user_id: identity.user_id,
    remote_ip: clipped(caller.remote_ip),
    began_ms: noted_ms,
    ...end,
    reason: clipped(end.reason),
  });
}

/** Refusals of one connection that are made longer when they come again. */
const REFUSALS_MAX = 8;
/** For so long, in ms, a connection with that many gets no row for another one. */
const REFUSALS_MS = 10_000;

/**
 * Takes note of a refused operation. The same again makes its row longer, and a client that is refused
 * for ever other things gets no row for each: it would push out what others ask for.
 */
export function noteRefused(
  ledger: Pick<Ledger, "refused">,
  { connection: { id, number, identity, caller }, refusal, room_id }: RefusedOperation,
  noted: NotedRefusals,
  now_ms: number,
): void {
  const key = `${refusal.reason} ${clipped(room_id)}`;
  const before = noted.get(key);
  if (before === undefined && noted.size >= REFUSALS_MAX) {
    const [oldest, { at_ms }] = noted.entries().next().value!;
    if (now_ms - at_ms < REFUSALS_MS) return;
    noted.delete(oldest);
  }
  const run = ledger.refused(number, {
    stage: "operation",
    tenant_id: identity.tenant_id,
    user_id: identity.user_id,
    connection_id: id,
    remote_ip: clipped(caller.remote_ip),
    room_id: clipped(room_id),
    reason: refusal.reason,
    detail: clipped(refusal.message),
  }, before?.run);
  if (run === before?.run) return;
  noted.delete(key);
  noted.set(key, { run, at_ms: now_ms });
}
