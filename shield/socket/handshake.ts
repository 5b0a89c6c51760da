/** The opening handshake of RFC 6455, 4.2: the required request, and its answer. */
import { createHash } from "node:crypto";
import { ArqonError } from "@arqon/proto";
import { hasItem } from "../../shared/http1/header_list.ts";

/** RFC 6455, 1.3. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** The headers of a refused handshake: RFC 9110, 15.5.22, and RFC 6455, 4.4. */
export const UPGRADE_HEADERS = { "upgrade": "websocket", "sec-websocket-version": "13" };
/** Sixteen bytes in base64. */
const KEY = /^[+/0-9A-Za-z]{22}==$/;

/** Throws `not-a-websocket`, naming the fault, unless this is a handshake of RFC 6455, 4.2.1. */
export function requireHandshake({ method, headers }: Request): void {
  const problem = method !== "GET"
    ? "a handshake is a GET"
    : !hasItem(headers.get("connection"), "upgrade")
    ? "there is no Connection: Upgrade"
    : headers.get("sec-websocket-version") !== "13"
    ? "Sec-WebSocket-Version must be 13"
    : KEY.test(headers.get("sec-websocket-key") ?? "")
    ? undefined
    : "Sec-WebSocket-Key is missing or malformed";
  if (problem !== undefined) throw new ArqonError("not-a-websocket", problem);
}

/** The answer to an accepted handshake; `protocol` and `extensions` are the chosen ones. */
export function handshakeAnswer(
  { headers }: Request,
  protocol: string | undefined,
  extensions: string | undefined,
): Uint8Array<ArrayBuffer> {
  const key = headers.get("sec-websocket-key") + GUID;
  const lines = [
    "HTTP/1.1 101 Switching Protocols",
    "upgrade: websocket",
    "connection: Upgrade",
    `sec-websocket-accept: ${createHash("sha1").update(key).digest("base64")}`,
  ];
  if (protocol !== undefined) lines.push(`sec-websocket-protocol: ${protocol}`);
  if (extensions !== undefined) lines.push(`sec-websocket-extensions: ${extensions}`);
  return new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`);
}
