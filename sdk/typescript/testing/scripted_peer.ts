/**
 * A scripted peer with real sockets, for rare or impossible behaviour of a Shield. Not part of the package.
 */
import assert from "node:assert/strict";
import { ArqonError, encodeWelcome, type Reason } from "@arqon/proto";
import type { ConnectOptions, Status } from "../mod.ts";

const TOKEN = "e30.e30.c2ln";
/** For `decodeClientFrame`. */
export const LIMITS = { headers: 64, header_bytes: 16_384, field_bytes: 256 };

/** A running peer. */
export interface Peer extends AsyncDisposable {
  readonly url: string;
  /** How many sockets were opened. */
  readonly sockets: number;
}

/** The behaviour of a peer. */
export interface Script {
  /** Called for each socket when it is open; `index` counts from 0. */
  open?(socket: WebSocket, index: number): void;
  message?(socket: WebSocket, data: ArrayBuffer, index: number): void;
  /** Answers requests other than upgrades, and with `refuse` also upgrades. */
  http?(request: Request): Response;
  refuse?(index: number): boolean;
}

/** A peer on a free port; it ends with the test's scope. */
export function startPeer(script: Script): Peer {
  let count = 0;
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const upgrade = request.headers.get("upgrade") === "websocket";
    const index = count;
    if (!upgrade || script.refuse?.(index)) {
      if (upgrade) count += 1;
      return script.http?.(request) ?? new Response("{}", { status: 200 });
    }
    count += 1;
    const { socket, response } = Deno.upgradeWebSocket(request, { protocol: "arqon.v1" });
    socket.binaryType = "arraybuffer";
    socket.onopen = () => script.open?.(socket, index);
    socket.onmessage = ({ data }) => script.message?.(socket, data, index);
    return response;
  });
  return {
    url: `ws://127.0.0.1:${server.addr.port}`,
    get sockets() {
      return count;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** Data for a Deno socket. */
export const bytes = (frame: Uint8Array) => frame as Uint8Array<ArrayBuffer>;

/** Sends WELCOME. */
export function welcome(socket: WebSocket, heartbeat_ms = 60_000, protocol_version = 1): void {
  socket.send(bytes(encodeWelcome({
    connection_id: "c",
    user_id: "u",
    tenant_id: "t",
    server_time_ms: 1,
    heartbeat_ms,
    max_frame_bytes: 1_024,
    token_expires_ms: 0,
    node_id: "n",
    protocol_version,
  })));
}

/** For `assert.rejects`: an ArqonError with this reason. */
export const refusedWith = (reason: Reason) => (error: unknown) => {
  assert.ok(error instanceof ArqonError, String(error));
  assert.equal(error.reason, reason, error.message);
  return true;
};

/** Options with short waits, and all received statuses. */
export function quick(url: string): { options: ConnectOptions; statuses: Status[] } {
  const statuses: Status[] = [];
  return {
    options: {
      url,
      token: TOKEN,
      backoff: { base_ms: 1, max_ms: 5 },
      onStatus: (status) => statuses.push(status),
    },
    statuses,
  };
}
