/**
 * Decodes the frames that a connection may send: a binary connection may subscribe by text, a text
 * connection sends only text. What the bytes mean is `@arqon/proto`.
 */
import { decodeClientFrame, decodeClientText, DecodeError } from "@arqon/proto";
import type { ClientOperation } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";

/** Decodes one frame. Throws `DecodeError` with what is wrong. */
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
