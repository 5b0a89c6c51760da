/**
 * The request that an answer is for, and the reference to none. `answers.ts` and `connection.ts`
 * send the answers.
 */
import { isId } from "@arqon/proto";
import type {
  Ack,
  ArqonError,
  ClientOperation,
  RefusedAction,
  Subscribe,
  Uint64,
  Unsubscribe,
} from "@arqon/proto";

/** Who asked, as far as a refusal needs it: with an id (or a wish for an ACK) it is an ACK, else an ERR. */
export interface RequestRef {
  readonly request_id: Uint64;
  readonly ack_requested: boolean;
  /** The room that it names, as the client wrote it; absent: it is about none. */
  readonly room_id?: string;
  /** What it asks there; absent: it is an envelope, which says so itself. */
  readonly action?: RefusedAction;
  /** Of an envelope: it is there when that is a command. */
  readonly command?: unknown;
}

/** The room and the action of a refusal; both are "" when it is about no room. */
export type RefusedPlace = Pick<ArqonError, "room" | "action">;

/** Nobody asked. */
export const NO_REQUEST: RequestRef = { request_id: 0, ack_requested: false };

/** An accepted request without anything to say; callers spread it and put in what they know. */
export const EMPTY_ACK: Ack = {
  request_id: 0,
  code: 0,
  reason: "",
  message: "",
  result: new Uint8Array(0),
  offset: 0,
  retry_after_ms: 0,
};

/** The request that an operation is, as far as its answer needs it. */
export function requestOf(operation: ClientOperation): RequestRef {
  switch (operation.kind) {
    case "publish":
      return operation.envelope;
    case "subscribe":
      return subscribeRequest(operation.subscribe);
    case "unsubscribe":
      return unsubscribeRequest(operation.unsubscribe);
    case "refresh":
      return { request_id: operation.refresh.request_id, ack_requested: false };
    case "ping":
    case "pong":
      return NO_REQUEST;
    default:
      return operation satisfies never;
  }
}

/** The request that a SUB is. */
export function subscribeRequest({ request_id, room_id }: Subscribe): RequestRef {
  return { request_id, ack_requested: false, room_id, action: "subscribe" };
}

/** The request that an UNSUB is. */
function unsubscribeRequest({ request_id, room_id }: Unsubscribe): RequestRef {
  return { request_id, ack_requested: false, room_id, action: "unsubscribe" };
}

/**
 * What a refusal of this request is about; undefined: no room. A room id that no room can have is not
 * said back.
 */
export function placeOf({ room_id = "", action, command }: RequestRef): RefusedPlace | undefined {
  if (!isId(room_id)) return undefined;
  return { room: room_id, action: action ?? (command === undefined ? "publish" : "command") };
}
