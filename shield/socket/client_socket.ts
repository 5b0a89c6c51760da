/**
 * The interface of a client's WebSocket, and of its implementations. Interfaces only: `native.ts` and `own_socket.ts`
 * implement them, `conformance.ts` tests both.
 */

/** The close code of a socket that closed without a close frame. */
export const BROKEN = 1006;
/** The close code of a peer that answered no WebSocket ping. */
export const PING_LOST = 4408;
/** The close code after a message longer than `max_message_bytes`; the peer sees 1009, or the code of `tooLong`. */
export const TOO_LONG = 4413;

/** How long a peer may take to answer a close frame, or to read the data before it, in ms. */
export const CLOSE_MS = 5_000;
/** The pause between two reads after our close frame, in ms: further bytes of the peer are read slowly. */
export const CLOSING_READ_MS = 20;

/** How long a rest may be, in ms: a resting socket receives nothing, not even pongs. */
export function restOf(wait_ms: number, heartbeat_ms: number): number {
  return Math.min(wait_ms, REST_MS_MAX, heartbeat_ms / 2);
}
const REST_MS_MAX = 5_000;

/** An upgraded connection. Frames of one socket arrive in the order of `send`. */
export interface ClientSocket {
  /** The bytes given to `send` that the kernel has not taken. */
  readonly bufferedAmount: number;
  /** Bytes of a partial message; undefined if the implementation cannot tell. */
  readonly unfinished_bytes: number | undefined;
  /** The client does not support DRAIN, so the process closes it within the window. Absent: the client moves itself. */
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
  /** Cuts the connection off without a close frame. False if the implementation cannot. */
  terminate(): boolean;
}

/** The events of a socket. Handlers must not throw. */
export interface SocketEvents {
  /** The first event, once, unless the peer disconnected earlier: from now on `send` works. */
  opened(): void;
  /**
   * One complete message. Its bytes are the receiver's own, but may be in a buffer with others: copy them to keep them
   * (`owned`).
   */
  message(data: string | Uint8Array<ArrayBuffer>): void;
  /**
   * The queue of received messages exceeded its limit and was dropped, as the implementation cannot pause the peer. An
   * implementation that can pause never calls this.
   */
  flooded(): void;
  /**
   * A message of the peer is longer than `max_message_bytes`, and the socket can still report it. If the handler does
   * not close the socket, the socket does. An implementation that cannot do this never calls it.
   */
  tooLong(problem: string): void;
  /**
   * The last event, once. `code` is the peer's close code, or `BROKEN` without one, `PING_LOST` if the peer was given
   * up, `TOO_LONG` if it sent too much.
   */
  closed(code: number): void;
}

/** An upgrade request that has been accepted. */
export interface Upgraded {
  readonly socket: ClientSocket;
  /** The response, which goes to the listener unchanged. */
  readonly response: Response;
  /** Sets the handlers. Call it in the turn of the upgrade; no event precedes it. */
  listen(events: SocketEvents): void;
}

/** The options of our own sockets; native ones take fewer, and one of theirs (`native.ts`). */
export interface SocketOptions {
  /** How long a peer may be silent before it gets a WebSocket ping, in ms; it has the same time to answer. */
  readonly heartbeat_ms: number;
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
  /** The received bytes of all clients that wait for their turn. */
  readonly waiting_bytes: number;
  /**
   * Upgrades a request; `protocol` is the chosen one. Throws `not-a-websocket` for an invalid handshake.
   * `lost_code` closes a peer that is given up, if the implementation can choose it; the default is `PING_LOST`.
   */
  upgrade(request: Request, protocol: string | undefined, lost_code?: number): Upgraded;
  /** Stops the implementation's timers; its sockets stay. */
  close(): void;
}
