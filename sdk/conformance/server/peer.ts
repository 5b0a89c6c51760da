/** A client's connection for a script, over WebSocket or HTTP. */

/** An item from a client: messages, then one end; `code` is absent without a close. */
export type Incoming =
  | { readonly kind: "binary"; readonly bytes: Uint8Array }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "end"; readonly code?: number; readonly reason?: string };

/** The server's side of one connection. */
export interface Peer {
  /** One message. */
  send(message: Uint8Array | string): void;
  /** Writes the first half of the bytes that `send` would write. */
  sendHalf(message: Uint8Array): void;
  /** Sends a close, and in the same piece a message `behind` it that must not be delivered; the end follows. */
  close(code: number, reason: string, behind?: Uint8Array): void;
  /** Ends the TCP connection without a close: by a reset, or as at the end of a process. */
  cut(how: "reset" | "end"): void;
  /** All items from the client, the end last. */
  incoming(): AsyncGenerator<Incoming, void>;
}
