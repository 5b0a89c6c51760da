/**
 * A peer on bare TCP with enough WebSocket to send WELCOME, and then any bytes of a test: partial frames, garbage,
 * nothing. Not part of the package.
 */
import { createHash } from "node:crypto";
import { encodeWelcome } from "@arqon/proto";

/** A running peer. `connections` are the accepted ones, in order. */
export interface RawPeer extends AsyncDisposable {
  readonly url: string;
  readonly connections: Deno.TcpConn[];
}

/** The bytes of one unmasked binary WebSocket frame; `length` may be false. */
export function webSocketFrame(payload: Uint8Array, length = payload.length): Uint8Array {
  const header = length < 126 ? [0x82, length] : [0x82, 126, length >> 8, length & 0xff];
  return new Uint8Array([...header, ...payload]);
}

/** Writes all of it. */
export async function writeAll(connection: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

async function upgrade(connection: Deno.TcpConn): Promise<boolean> {
  let text = "";
  const buffer = new Uint8Array(4_096);
  while (!text.includes("\r\n\r\n")) {
    const size = await connection.read(buffer);
    if (size === null) return false;
    text += new TextDecoder().decode(buffer.subarray(0, size));
  }
  const key = /sec-websocket-key: *(\S+)/i.exec(text)?.[1];
  if (key === undefined) {
    const answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    await writeAll(connection, new TextEncoder().encode(answer));
    connection.close();
    return false;
  }
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  const answer =
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n" +
    `sec-websocket-accept: ${accept}\r\nsec-websocket-protocol: arqon.v1\r\n\r\n`;
  await writeAll(connection, new TextEncoder().encode(answer));
  return true;
}

/** Calls `open` with each connection after its WELCOME. Frames of clients are not read. */
export function startRawPeer(
  open: (connection: Deno.TcpConn, index: number) => Promise<void>,
): RawPeer {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const connections: Deno.TcpConn[] = [];
  const serve = async (connection: Deno.TcpConn) => {
    if (!await upgrade(connection)) return;
    const index = connections.push(connection) - 1;
    const welcome = encodeWelcome({
      max_frame_bytes: 65_536,
      heartbeat_ms: 60_000,
      protocol_version: 1,
    });
    await writeAll(connection, webSocketFrame(welcome));
    await open(connection, index);
  };
  const accepting = (async () => {
    const served: Promise<void>[] = [];
    for await (const connection of listener) served.push(serve(connection).catch(() => {}));
    await Promise.all(served);
  })();
  return {
    url: `ws://127.0.0.1:${listener.addr.port}`,
    connections,
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const connection of connections) {
        try {
          connection.close();
        } catch {
          // The test has closed it.
        }
      }
      await accepting;
    },
  };
}
