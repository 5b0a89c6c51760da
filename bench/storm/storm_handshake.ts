/**
 * One attempt of a client to connect to a Shield, over TCP or TLS, timed from the first packet to WELCOME,
 * with the content of a refusal. It is written by hand because a WebSocket hides the refusal.
 */
import { decodeServerFrame, encodePing } from "@arqon/proto";

/** The address of a Shield. */
export interface Door {
  readonly hostname: string;
  readonly port: number;
  /**
   * PEM of the authority, which each attempt parses anew (0.15 ms); "" for an authority that the process
   * trusts (`--cert`); absent: no TLS.
   */
  readonly ca?: string;
}

/** A refusal with its status. */
export interface Refused {
  readonly kind: "refused";
  readonly status: number;
  /** The reason in the problem body. */
  readonly reason: string;
  readonly retry_after_ms: number;
  /** Seconds in the header Retry-After; 0 when there is none. */
  readonly retry_after_seconds: number;
}

/** The end of an attempt. */
export type Attempt =
  | { readonly kind: "open"; readonly connection: Deno.Conn; readonly handshake_ms: number }
  | Refused
  /** There was no answer: the connection failed or ended. */
  | { readonly kind: "failed"; readonly detail: string };

const ANSWER_BYTES = 2_048;
/** The SDK's `handshake_timeout_ms`. */
const TIMEOUT_MS = 10_000;
const latin1 = new TextDecoder("latin1");
const utf8 = new TextEncoder();

function requestOf(door: Door, token: string): Uint8Array {
  return utf8.encode(
    [
      "GET /v1/socket HTTP/1.1",
      `Host: ${door.hostname}:${door.port}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Key: ${crypto.getRandomValues(new Uint8Array(16)).toBase64()}`,
      "Sec-WebSocket-Version: 13",
      `Sec-WebSocket-Protocol: arqon.v1, arqon.token.${token}`,
    ].join("\r\n") + "\r\n\r\n",
  );
}

async function open(door: Door): Promise<Deno.Conn> {
  const { hostname, port, ca } = door;
  const tcp = await Deno.connect({ hostname, port });
  tcp.setNoDelay(true);
  if (ca === undefined) return tcp;
  return await Deno.startTls(tcp, { hostname, caCerts: ca === "" ? [] : [ca] });
}

/** Reads until `isWhole` returns a value for what has arrived. */
async function readUntil<T>(
  connection: Deno.Conn,
  find: (bytes: Uint8Array) => T | undefined,
): Promise<T> {
  let buffer = new Uint8Array(ANSWER_BYTES);
  let size = 0;
  for (;;) {
    const found = find(buffer.subarray(0, size));
    if (found !== undefined) return found;
    if (size === buffer.length) {
      const larger = new Uint8Array(size * 2);
      larger.set(buffer);
      buffer = larger;
    }
    const count = await connection.read(buffer.subarray(size));
    if (count === null) throw new Error("it ended");
    size += count;
  }
}

/** The body of the first frame of `bytes`, below 64 KiB; undefined while it is not complete. */
function frameBody(bytes: Uint8Array): Uint8Array | undefined {
  const [, short] = bytes;
  if (short === undefined || bytes.length < 4) return undefined;
  const long = short === 126;
  const start = long ? 4 : 2;
  const end = start + (long ? bytes[2]! * 256 + bytes[3]! : short);
  return bytes.length < end ? undefined : bytes.subarray(start, end);
}

function refusalOf(status: number, head: string, body: string): Refused {
  const problem: { reason?: string; retry_after_ms?: number } = JSON.parse(body);
  return {
    kind: "refused",
    status,
    reason: problem.reason ?? "",
    retry_after_ms: problem.retry_after_ms ?? 0,
    retry_after_seconds: Number(/^retry-after: (\d+)/im.exec(head)?.[1] ?? 0),
  };
}

/** True for WELCOME, else the refusal; undefined while the answer is not complete. */
function answerOf(bytes: Uint8Array): true | Refused | undefined {
  const text = latin1.decode(bytes);
  const end = text.indexOf("\r\n\r\n") + 4;
  if (end < 4) return undefined;
  const head = text.slice(0, end);
  const status = Number(head.slice(9, 12));
  if (status !== 101) {
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
    return bytes.length < end + length ? undefined : refusalOf(status, head, text.slice(end));
  }
  const body = frameBody(bytes.subarray(end));
  if (body === undefined) return undefined;
  const frame = decodeServerFrame(body);
  if (frame.kind !== "welcome") throw new Error(`${frame.kind} instead of WELCOME`);
  return true;
}

/** Makes one attempt. Never rejects. */
export async function attempt(door: Door, token: string): Promise<Attempt> {
  const began_ms = performance.now();
  let connection: Deno.Conn | undefined;
  const timer = setTimeout(() => quietly(() => connection?.close()), TIMEOUT_MS);
  try {
    connection = await open(door);
    const request = requestOf(door, token);
    for (let at = 0; at < request.length;) at += await connection.write(request.subarray(at));
    const answer = await readUntil(connection, answerOf);
    const handshake_ms = performance.now() - began_ms;
    if (answer === true) return { kind: "open", connection, handshake_ms };
    connection.close();
    return answer;
  } catch (error) {
    quietly(() => connection?.close());
    return { kind: "failed", detail: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timer);
  }
}

/** Whether the other end of a connection still answers. Never rejects. */
export async function isAlive(connection: Deno.Conn): Promise<boolean> {
  const timer = setTimeout(() => quietly(() => connection.close()), TIMEOUT_MS);
  try {
    const ping = encodePing(new Uint8Array([1]));
    // The mask is 0, which changes nothing.
    await connection.write(new Uint8Array([0x82, 0x80 | ping.length, 0, 0, 0, 0, ...ping]));
    const body = await readUntil(connection, frameBody);
    return decodeServerFrame(body).kind === "pong";
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}

/** Closes a connection that the deadline or the other side may have closed already. */
export function quietly(close: () => void): void {
  try {
    close();
  } catch {
    // There is nothing left to close.
  }
}
