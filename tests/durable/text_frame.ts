/**
 * A Shield's text frame in the form of a decoded binary one, for clients that record both alike. Only
 * what durable rooms need: payloads are text.
 */
import type { ServerFrame } from "@arqon/proto";

/** Throws SyntaxError for what is not JSON, TypeError for what no Shield says. */
export function readTextFrame(text: string): ServerFrame {
  const encoder = new TextEncoder();
  const frame = JSON.parse(text);
  switch (frame.op) {
    case "welcome":
      return { kind: "welcome", welcome: frame };
    case "ack": {
      const { id, code, reason = "", message = "", offset = 0, retry_after_ms = 0 } = frame;
      const result = encoder.encode(frame.result === undefined ? "" : JSON.stringify(frame.result));
      const ack = { request_id: id, code, reason, message, offset, retry_after_ms, result };
      return { kind: "ack", ack };
    }
    case "msg": {
      const { room, ts, headers, sender, offset = 0, message_id = "", signal, type = "" } = frame;
      const event = signal !== undefined ? {} : {
        event: {
          type,
          data: encoder.encode(frame.data),
          content_type: "text/plain",
          schema_id: "",
        },
      };
      const envelope = {
        trace_id: "",
        tenant_id: "",
        room_id: room,
        timestamp_ms: ts,
        headers,
        ack_requested: false,
        request_id: 0,
        sender_id: sender,
        offset,
        message_id,
        ...event,
        ...(signal === undefined ? {} : { signal }),
      };
      return { kind: "msg", envelope };
    }
    case "err": {
      const { code, reason, message, retry_after_ms = 0, room: room_id = "", action = "" } = frame;
      return { kind: "err", code, reason, message, retry_after_ms, room_id, action };
    }
    case "ping":
    case "pong":
      return { kind: frame.op, body: encoder.encode(frame.data ?? "") };
    default:
      throw new TypeError(`a text frame with op ${JSON.stringify(frame.op)}`);
  }
}
