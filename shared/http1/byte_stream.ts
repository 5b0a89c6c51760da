/**
 * A connection as bytes in and bytes out: TCP as the runtime hands it over, `handle_stream.ts`, or what
 * `tls_stream.ts` makes of a socket of Node's. What the bytes mean is not known here.
 */

/** A connection; `Deno.TcpConn` is one. */
export interface ByteStream {
  /**
   * Reads bytes that have come, at most as many as there is room for; null at the end. One call at
   * a time.
   */
  read(into: Uint8Array<ArrayBuffer>): Promise<number | null>;
  /** As `read`, with bytes that the caller may keep: none are held before any come. Absent where that is no less. */
  readOwn?(most: number): Promise<Uint8Array<ArrayBuffer> | null>;
  /**
   * Writes bytes, and resolves with how many were taken. They must not change before that. One call at
   * a time.
   */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<number>;
  /** Says that nothing more will be written; the peer reads an end. */
  closeWrite(): Promise<void>;
  /** Ends the connection at once; reads and writes under way reject. To be called once. */
  close(): void;
}

/**
 * A connection that also hands over on its own what comes. A read that waits is a promise for each
 * connection, which grows old while the client is silent; waiting this way costs nothing.
 */
export interface LiveStream extends ByteStream {
  /**
   * Hands everything to the sink from now on: first `early`, which was read before, then what comes.
   * `read` and `write` are no longer to be called.
   */
  flow(sink: ByteSink, early: Uint8Array<ArrayBuffer>): void;
  /** Hands over nothing more until `resume`; what comes meanwhile waits at the peer. */
  pause(): void;
  /** Ends a pause. */
  resume(): void;
  /**
   * Writes all of the bytes, which must not change meanwhile. True: the system has taken them. False:
   * the sink's `written` is called when it has. One call at a time.
   */
  send(bytes: Uint8Array<ArrayBuffer>): boolean;
}

/** Receives a `LiveStream`. After the stream was closed here it receives nothing. */
export interface ByteSink {
  /** Bytes have come: those before `end`, which are only there until this returns. */
  arrived(bytes: Uint8Array<ArrayBuffer>, end: number): void;
  /** The bytes of the last `send` that gave false have been taken. */
  written(): void;
  /** The last call: the peer has ended, or the connection is broken. */
  ended(): void;
}

/** Whether a stream hands over on its own what comes. */
export function isLive(stream: ByteStream): stream is LiveStream {
  return "flow" in stream;
}

/** Writes all of the bytes. Rejects as the stream does. */
export async function writeAll(
  stream: ByteStream,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await stream.write(rest));
}

/** Ends a stream, also one that has ended. */
export function closeQuietly(stream: { close(): void }): void {
  try {
    stream.close();
  } catch {
    // The stream has ended, which is what was asked for.
  }
}
