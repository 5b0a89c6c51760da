/** What a script needs of a client's connection, by WebSocket or HTTP. */

/** What comes from a client: messages, then one end; `code` is missing without a close. */
export type Incoming =
  | { readonly kind: "binary"; readonly bytes: Uint8Array }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "end"; readonly code?: number; readonly reason?: string };

/** The server's side of one connection. */
export interface Peer {
  /** One message. */
  send(message: Uint8Array | string): void;
  /** The first half of what `send` would put on the wire. */
  sendHalf(message: Uint8Array): void;
  /** A close, in one piece with a message `behind` it that nobody is to receive; the end follows. */
  close(code: number, reason: string, behind?: Uint8Array): void;
  /** Ends the TCP connection without a close: by a reset, or as a process that ends does. */
  cut(how: "reset" | "end"): void;
  /** Everything from the client, the end last. */
  incoming(): AsyncGenerator<Incoming, void>;
}
