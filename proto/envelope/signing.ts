/** The bytes that a message's Ed25519 signature covers. Web Crypto signs and verifies them where the keys are. */
import { encodeUtf8 } from "../wire/utf8.ts";

const DOMAIN = /* @__PURE__ */ encodeUtf8("arqon.v1");

/**
 * "arqon.v1", tenant, room, message id and the payload field, each after its length as a big-endian
 * u32. `payload_field` is the whole field as on the wire, tag and length included.
 */
export function signingInput(
  tenant_id: string,
  room_id: string,
  message_id: string,
  payload_field: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const parts = [
    DOMAIN,
    encodeUtf8(tenant_id),
    encodeUtf8(room_id),
    encodeUtf8(message_id),
    payload_field,
  ];
  let size = 0;
  for (const part of parts) size += 4 + part.length;
  const input = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    input[at++] = part.length >>> 24;
    input[at++] = part.length >>> 16;
    input[at++] = part.length >>> 8;
    input[at++] = part.length;
    input.set(part, at);
    at += part.length;
  }
  return input;
}
