/** Converts JetStream's stored messages to the types of `durable_log.ts`. Pure. */
import { LOG_OFFSET_HEADER, LOG_TIME_HEADER, type LogMessage } from "../../contract/durable_log.ts";
import type { Answer } from "../connection/nats_answer.ts";
import type { StoredMessage } from "./nats_log_api.ts";

/** The server's and the engine's own headers; callers' are lower case by convention. */
const OWN = "Nats-";

/** The headers without the server's own. */
function callersHeaders(all: Iterable<readonly [string, string]>): Record<string, string> {
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of all) if (!name.startsWith(OWN)) headers[name] = value;
  return headers;
}

/** A message of a direct read. */
export function fromDirect({ headers, payload }: Answer): LogMessage {
  return {
    offset: Number(headers[LOG_OFFSET_HEADER] ?? ""),
    time_ms: Date.parse(headers[LOG_TIME_HEADER] ?? ""),
    payload,
    headers: callersHeaders(Object.entries(headers)),
  };
}

function* lines(block: string): Generator<readonly [string, string]> {
  for (const line of block.split("\r\n").slice(1)) {
    const colon = line.indexOf(":");
    if (colon > 0) yield [line.slice(0, colon), line.slice(colon + 1).trim()];
  }
}

/** A message from the leader's JSON. */
export function fromStored(stored: StoredMessage): LogMessage {
  const block = stored.hdrs === undefined
    ? ""
    : new TextDecoder().decode(Uint8Array.fromBase64(stored.hdrs));
  return {
    offset: stored.seq,
    time_ms: Date.parse(stored.time),
    payload: stored.data === undefined ? new Uint8Array(0) : Uint8Array.fromBase64(stored.data),
    headers: callersHeaders(lines(block)),
  };
}

/** `${room_id}/${key}` as a header value: printable ASCII, and different for different keys. */
export function messageId(room_id: string, key: string): string {
  const id = `${room_id}/${key}`;
  if (/^[!-$&-~]*$/.test(id)) return id;
  // Surrogates without a partner have no UTF-8 form.
  return id.toWellFormed().replace(
    /[^!-$&-~]/gu,
    (part) =>
      part.charCodeAt(0) < 128
        ? `%${part.charCodeAt(0).toString(16).padStart(2, "0").toUpperCase()}`
        : encodeURIComponent(part),
  );
}
