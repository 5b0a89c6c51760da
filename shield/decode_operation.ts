/**
 * Which frame a connection may send: one that speaks binary may subscribe by text, one that speaks
 * text sends nothing else. What the bytes mean is `@arqon/proto`.
 */
import { decodeClientFrame, decodeClientText, DecodeError } from "@arqon/proto";
import type { ClientOperation } from "@arqon/proto";
import type { Config } from "../shared/config/schema.ts";

/** Throws `DecodeError` with what is wrong. */
export function decodeOperation(
  data: string | ArrayBuffer,
  text: boolean,
  limits: Config["limits"],
): ClientOperation {
  if (typeof data !== "string") {
    if (!text) return decodeClientFrame(new Uint8Array(data), limits);
    throw new DecodeError("malformed-frame", "a binary frame on a text connection (arqon.v1.json)");
  }
  const operation = decodeClientText(data, limits);
  if (text || operation.kind === "subscribe") return operation;
  throw new DecodeError(
    "malformed-frame",
    'a text frame; on a binary connection only {"op":"sub",…} may be text',
  );
}
