/**
 * A client's WebSocket, as narrow as the Shield needs it, and the source of such sockets. Interfaces only: `native.ts`
 * and `own_socket.ts` implement them, `conformance.ts` tests both.
 */

/** The close code of a socket that closed without a close frame. */
export const BROKEN = 1006;
/** The close code of a peer that answered no WebSocket ping. */
export const PING_LOST = 4408;
/** A message was longer than `max_message_bytes`; the peer sees 1009, or what `tooLong` closes with. */
export const TOO_LONG = 4413;

/** How long a peer may take to answer a close frame, or to read what was written before it. */
export const CLOSE_MS = 5_000;
/** The pause between two reads after our close frame, in ms: further bytes of the peer are read slowly. */
export const CLOSING_READ_MS = 20;

/**
 * How long a rest may be, in ms: a socket that rests receives nothing, not even what keeps its connection
 * alive.
 */
export function restOf(wait_ms: number, heartbeat_ms: number): number {
  return Math.min(wait_ms, REST_MS_MAX, heartbeat_ms / 2);
}
const REST_MS_MAX = 5_000;

/** An upgraded connection. Frames of one socket arrive in the order of `send`. */
export interface ClientSocket {
  /** The bytes given to `send` that the kernel has not taken yet. */
  readonly bufferedAmount: number;
  /** Bytes of a partial message; undefined if the implementation cannot tell. */
  readonly unfinished_bytes: number | undefined;
  /** Its client knows no DRAIN: the process closes it, at a time within the window. Absent: it moves itself. */
  readonly is_sent_away?: true;
  /** Sends a frame; does nothing once the socket closes. */
  send(frame: string | Uint8Array<ArrayBuffer>): void;
  /**
   * Asks the peer to close, after what was sent; later messages are dropped. `closed` follows when the peer has
   * answered or disconnected, or has not answered within `CLOSE_MS`. A native socket waits for an answer without a
   * limit, but the first message in place of one ends it. Never throws.
   */
  close(code: number, reason: string): void;
  /**
   * Pauses reading for that many ms, at most: the peer's bytes wait at the peer. 0 ends the pause. An implementation
   * that cannot pause (`native`) reads on.
   */
  rest(wait_ms: number): void;
  /** Cuts the connection off without a close frame. False where the implementation cannot. */
  terminate(): boolean;
}

/** The events of a socket. Handlers must not throw. */
export interface SocketEvents {
  /** The first event, once, unless the peer has gone before: from now on `send` works. */
  opened(): void;
  /**
   * One complete message. Its bytes are the receiver's own, but may be in a buffer with others: copy them to keep them
   * (`owned`).
   */
  message(data: string | Uint8Array<ArrayBuffer>): void;
  /**
   * More has arrived than may wait, from a peer that the implementation cannot pause; the queue is lost. An
   * implementation that can pause never calls this.
   */
  flooded(): void;
  /**
   * A message of the peer is longer than `max_message_bytes`, and the socket can still say so. A
   * handler that does not close the socket leaves that to the socket. An implementation that cannot do
   * this never calls it.
   */
  tooLong(problem: string): void;
  /**
   * The last event, once. `code` is the peer's close code, or `BROKEN` when there was none, `PING_LOST`
   * when the peer was given up, `TOO_LONG` when it sent too much.
   */
  closed(code: number): void;
}

/** An upgrade request that has been accepted. */
export interface Upgraded {
  readonly socket: ClientSocket;
  /** The response, which goes to the listener unchanged. */
  readonly response: Response;
  /** Sets the handlers. To be called in the turn of the upgrade; no event comes before. */
  listen(events: SocketEvents): void;
}

/** The options of our own sockets; native ones take fewer, and one of theirs (`native.ts`). */
export interface SocketOptions {
  /**
   * How long a peer may be silent before it gets a WebSocket ping, in ms; it has as long again to
   * answer.
   */
  readonly heartbeat_ms: number;
  /** In place of `CLOSE_MS`. */
  readonly close_ms?: number | undefined;
  /** Monotonic ms, for shares of turns; the system's clock when absent. */
  readonly now_ms?: (() => number) | undefined;
  /** The longest message; a longer one ends the connection with 1009. */
  readonly max_message_bytes: number;
  /** Compresses messages for clients that offer it; absent: it does not. */
  readonly deflate?: {
    /** The shortest message that is compressed. */
    readonly from_bytes: number;
    /** The longest message after decompression; a longer one ends the connection with 1009. */
    readonly inflated_bytes_max: number;
  } | undefined;
}

/** One implementation, as `[server] websocket` names it. */
export interface SocketServer {
  readonly implementation: "native" | "own";
  /** The bytes that have been read of all clients and wait for their turn. */
  readonly waiting_bytes: number;
  /**
   * Upgrades a request; `protocol` is the chosen one. Throws TypeError when the handshake headers are
   * not valid. `lost_code` closes a peer that is given up, where the implementation can choose it;
   * the default is `PING_LOST`.
   */
  upgrade(request: Request, protocol: string | undefined, lost_code?: number): Upgraded;
  /** Stops the implementation's timers; its sockets stay. */
  close(): void;
}
