/**
 * An upgrade request written by hand over TCP: shows the HTTP answer that WebSocket clients hide, and simulates clients
 * that misbehave. Later frames are the caller's own bytes.
 */

/** The request's content besides the handshake itself. */
export interface RawUpgrade {
  readonly token: string;
  /** Additional header lines, for example `X-Block-Me: 1`. */
  readonly headers?: readonly string[];
}

const ANSWER_BYTES = 8_192;

/** Sends the upgrade request without reading the answer. `url` is http or ws. */
export async function sendUpgrade(url: string, upgrade: RawUpgrade): Promise<Deno.TcpConn> {
  const { hostname, port } = new URL(url);
  const socket = await Deno.connect({ hostname, port: Number(port) });
  const lines = [
    "GET /v1/socket HTTP/1.1",
    `Host: ${hostname}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version: 13",
    `Authorization: Bearer ${upgrade.token}`,
    ...upgrade.headers ?? [],
  ];
  await socket.write(new TextEncoder().encode(lines.join("\r\n") + "\r\n\r\n"));
  return socket;
}

/** Status and reason of a refused upgrade, from the problem body; the whole text if there is none. */
export async function refusedUpgrade(
  url: string,
  upgrade: RawUpgrade,
): Promise<[status: string, reason: string]> {
  using socket = await sendUpgrade(url, upgrade);
  const buffer = new Uint8Array(ANSWER_BYTES);
  let text = "";
  // Head and body may arrive separately.
  while (!/\r\n\r\n[^]/.test(text)) {
    const size_bytes = await socket.read(buffer);
    if (size_bytes === null) break;
    text += new TextDecoder().decode(buffer.subarray(0, size_bytes));
  }
  return [text.slice(9, 12), /"reason":"([a-z-]+)"/.exec(text)?.[1] ?? text];
}
