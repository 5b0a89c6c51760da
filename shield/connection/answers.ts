/** How successful operations are answered: at once, after a flush of the Spine, or after the log's answer. */
import type { Ack } from "@arqon/proto";
import type { Connection } from "./connection.ts";
import { EMPTY_ACK, type RequestRef } from "../message/request_ref.ts";
import type { Stored } from "../message/pipeline.ts";
import type { FlushQueue } from "./flush_queue.ts";

/** Whether somebody waits for an ACK. */
export function wantsAck({ request_id, ack_requested }: RequestRef): boolean {
  return ack_requested || (request_id !== 0 && request_id !== 0n);
}

/** Sends a positive ACK, if one was asked for, with the members of `more`. */
export function answer(connection: Connection, request: RequestRef, more: Partial<Ack> = {}): void {
  if (!wantsAck(request)) return;
  connection.ack({ ...EMPTY_ACK, request_id: request.request_id, ...more });
}

/** Acknowledges once the Spine has everything; refuses with 503 if that cannot be confirmed. */
export function ackAfterFlush(
  { flushes }: { readonly flushes: Pick<FlushQueue, "push"> },
  connection: Connection,
  request: RequestRef,
  onFailure?: () => void,
): undefined {
  const place = connection.hold(0);
  flushes.push((error) => {
    if (error === undefined) answer(connection, request);
    else if (!connection.ended) {
      onFailure?.();
      connection.refuse(request, error, place);
    }
    connection.release(0, place);
  });
}

/** The members of a stored message's ACK. */
export const storedAck = ({ offset, result }: Stored): Partial<Ack> =>
  result === undefined ? { offset } : { offset, result };

/** Acknowledges once the log has the message, with its offset; a refusal is sent in any case. */
export function ackAfterLog(
  connection: Connection,
  request: RequestRef,
  size_bytes: number,
  stored: Promise<Stored>,
): undefined {
  const place = connection.hold(size_bytes);
  stored.then(
    (done) => answer(connection, request, storedAck(done)),
    (error) => connection.refuse(request, error, place),
  ).finally(() => connection.release(size_bytes, place));
}
