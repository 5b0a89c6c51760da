/** The request of an answer, and the reference to no request. `answers.ts` and `connection.ts` send answers. */
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

/** What a refusal needs of the request: with an id, or a requested ACK, the refusal is an ACK, otherwise an ERR. */
export interface RequestRef {
  readonly request_id: Uint64;
  readonly ack_requested: boolean;
  /** The room in the request, as the client wrote it; absent without a room. */
  readonly room_id?: string;
  /** The action in that room; absent for an envelope, which has it. */
  readonly action?: RefusedAction;
  /** Present for an envelope that is a command. */
  readonly command?: unknown;
}

/** The room and the action of a refusal; both are "" without a room. */
export type RefusedPlace = Pick<ArqonError, "room" | "action">;

/** The reference of an unsolicited answer. */
export const NO_REQUEST: RequestRef = { request_id: 0, ack_requested: false };

/** An ACK without content; callers spread it and add members. */
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

function unsubscribeRequest({ request_id, room_id }: Unsubscribe): RequestRef {
  return { request_id, ack_requested: false, room_id, action: "unsubscribe" };
}

/**
 * The room and action of a refusal; undefined without a room. A text that can be neither a room id nor a pattern is not
 * repeated in the answer.
 */
export function placeOf({ room_id = "", action, command }: RequestRef): RefusedPlace | undefined {
  if (!isRoomPattern(room_id)) return undefined;
  return { room: room_id, action: action ?? (command === undefined ? "publish" : "command") };
}
