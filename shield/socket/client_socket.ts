/**
 * A client's WebSocket as narrow as the Shield needs it, and where such sockets come from. Nothing
 * that works here: `native.ts`, `ws.ts` and `own.ts` are the implementations, `conformance.ts` is what
 * all must do.
 */

/** What the closing of a socket without a close frame is called. */
export const BROKEN = 1006;
/** The peer answered no WebSocket ping. */
export const PING_LOST = 4408;
/** A message was longer than `max_message_bytes`; the peer sees 1009, or what `tooLong` closes with. */
export const TOO_LONG = 4413;

/** How long a peer may take to answer a close frame, or to take what was written before it. */
export const CLOSE_MS = 5_000;
/** What goes on after our close frame is read slowly: one read in so many ms. */
export const CLOSING_READ_MS = 20;

/** A rest, at most: whoever rests is deaf, also to what keeps a connection alive. */
export function restOf(wait_ms: number, heartbeat_ms: number): number {
  return Math.min(wait_ms, REST_MS_MAX, heartbeat_ms / 2);
}
const REST_MS_MAX = 5_000;

/** An upgraded connection. Frames of one socket arrive in the order of `send`. */
export interface ClientSocket {
  /** Bytes given to `send` that the kernel has not taken yet. */
  readonly bufferedAmount: number;
  /**
   * Bytes of a message that has begun to arrive and has no end yet; undefined where the
   * implementation cannot tell.
   */
  readonly unfinished_bytes: number | undefined;
  /** Nothing happens once the socket closes. */
  send(frame: string | Uint8Array<ArrayBuffer>): void;
  /**
   * Asks the peer to close, after what was sent; nothing that comes afterwards is handed out. `closed`
   * comes when the peer has answered or is gone, or has not answered in `CLOSE_MS`. A native socket waits
   * for an answer without end, but the first message in place of one ends it. Never throws.
   */
  close(code: number, reason: string): void;
  /**
   * Nothing more is read for so many ms, at most: what the peer sends waits at the peer. 0 ends that.
   * Where the implementation cannot (`native`), it reads on.
   */
  rest(wait_ms: number): void;
  /** Cuts the connection off, without a close frame. False where the implementation cannot. */
  terminate(): boolean;
}

/** What happens to a socket. Must not throw. */
export interface SocketEvents {
  /** Once, first of all, unless the peer has gone before: from now on `send` works. */
  opened(): void;
  /** One complete message. The buffer is the receiver's own. */
  message(data: string | ArrayBuffer): void;
  /**
   * More has come than may wait for its turn, of a peer whose sending the implementation cannot stop;
   * what waits is lost. Never where it can.
   */
  flooded(): void;
  /**
   * A message of the peer is longer than `max_message_bytes`, and the socket can still say so: whoever
   * does not close it now leaves that to the socket. Never where it cannot.
   */
  tooLong(problem: string): void;
  /**
   * Once, last of all. The close code of the peer, or `BROKEN` when there was none, `PING_LOST` when
   * it was given up, `TOO_LONG` when it sent too much.
   */
  closed(code: number): void;
}

/** An upgrade request that has been accepted. */
export interface Upgraded {
  readonly socket: ClientSocket;
  /** To be handed to the listener as it is. */
  readonly response: Response;
  /** At once, in the turn of the upgrade: no event comes before. */
  listen(events: SocketEvents): void;
}

/** What every implementation is told. */
export interface SocketOptions {
  /** A peer silent for so long gets a WebSocket ping; it has as long again to answer. In ms. */
  readonly heartbeat_ms: number;
  /** Where the implementation can, a longer message ends the connection with 1009. */
  readonly max_message_bytes: number;
  /** What may wait of one connection for its turn, where the implementation cannot stop reading. */
  readonly waiting_max: {
    readonly messages: number;
    readonly bytes: number;
  };
  /** Where the implementation can, messages of clients that offer it are compressed; absent: none. */
  readonly deflate?: {
    /** Shorter messages are sent as they are. */
    readonly from_bytes: number;
    /** A message that is longer when it is whole again ends the connection with 1009. */
    readonly inflated_bytes_max: number;
  } | undefined;
}

/** One implementation, as `[server] websocket` names it. */
export interface SocketServer {
  readonly implementation: "native" | "ws" | "own";
  /** What has been read of all clients and waits for its turn, in bytes. */
  readonly waiting_bytes: number;
  /** Throws TypeError when the handshake headers are not valid. `protocol` is the chosen one. */
  upgrade(request: Request, protocol: string | undefined): Upgraded;
  /** Frees its timers; sockets stay. */
  close(): void;
}
