/**
 * The request that an answer is for, and the reference to no request. `answers.ts` and `connection.ts`
 * send the answers.
 */
import { isRoomPattern } from "@arqon/proto";
import type {
  Ack,
  ArqonError,
  ClientOperation,
  RefusedAction,
  Subscribe,
  Uint64,
  Unsubscribe,
} from "@arqon/proto";

/**
 * The request as far as a refusal needs it: with an id, or a wish for an ACK, the refusal is an ACK,
 * otherwise an ERR.
 */
export interface RequestRef {
  readonly request_id: Uint64;
  readonly ack_requested: boolean;
  /** The room that it names, as the client wrote it; absent when it names none. */
  readonly room_id?: string;
  /** What it asks for in that room; absent for an envelope, which says so itself. */
  readonly action?: RefusedAction;
  /** Present for an envelope that is a command. */
  readonly command?: unknown;
}

/** The room and the action of a refusal; both are "" when it is not about a room. */
export type RefusedPlace = Pick<ArqonError, "room" | "action">;

/** The reference for an answer that nobody asked for. */
export const NO_REQUEST: RequestRef = { request_id: 0, ack_requested: false };

/** An accepted request with nothing to say; callers spread it and add what they know. */
export const EMPTY_ACK: Ack = {
  request_id: 0,
  code: 0,
  reason: "",
  message: "",
  result: new Uint8Array(0),
  offset: 0,
  retry_after_ms: 0,
};

/** The reference to an operation's request. */
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

/** The reference to a SUB's request. */
export function subscribeRequest({ request_id, room_id }: Subscribe): RequestRef {
  return { request_id, ack_requested: false, room_id, action: "subscribe" };
}

/** The reference to an UNSUB's request. */
function unsubscribeRequest({ request_id, room_id }: Unsubscribe): RequestRef {
  return { request_id, ack_requested: false, room_id, action: "unsubscribe" };
}

/**
 * The room and action that a refusal of this request is about; undefined when there is no room. A text
 * that can be neither a room id nor a pattern of them is not repeated in the answer.
 */
export function placeOf({ room_id = "", action, command }: RequestRef): RefusedPlace | undefined {
  if (!isRoomPattern(room_id)) return undefined;
  return { room: room_id, action: action ?? (command === undefined ? "publish" : "command") };
}
