/**
 * Decodes the frames that a connection may send: a binary connection may subscribe by text, a text
 * connection sends only text. What the bytes mean is `@arqon/proto`.
 */
import {
  decodeClientFrame,
  decodeClientText,
  DecodeError,
  Opcode,
  requestIdOf,
} from "@arqon/proto";
import type { ClientOperation } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import { owned } from "../../shared/containers/byte_arena.ts";
import { requestOf } from "../message/request_ref.ts";

/** Decodes one frame. Throws `DecodeError` with what is wrong. */
export function decodeOperation(
  data: string | Uint8Array,
  text: boolean,
  limits: Config["limits"],
): ClientOperation {
  if (typeof data !== "string") {
    // A message is only looked at on its way; of the others something may be kept.
    const frame = data[0] === Opcode.PUB ? data : owned(data);
    if (!text) return decodeClientFrame(frame, limits);
    const detail = "a binary frame on a text connection (arqon.v1.json)";
    throw new DecodeError("malformed-frame", detail, requestIdOf(frame));
  }
  const operation = decodeClientText(data, limits);
  if (text || operation.kind === "subscribe") return operation;
  throw new DecodeError(
    "malformed-frame",
    'a text frame; on a binary connection only {"op":"sub",…} may be text',
    requestOf(operation).request_id || undefined,
  );
}
