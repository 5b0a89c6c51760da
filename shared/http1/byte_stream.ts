/**
 * A connection as bytes in and out: TCP from the runtime, `handle_stream.ts`, or `tls_stream.ts` over a socket of
 * Node's. Knows no protocol.
 */

/** A connection; `Deno.TcpConn` is one. */
export interface ByteStream {
  /** Reads available bytes, at most as many as fit; null at the end. One call at a time. */
  read(into: Uint8Array<ArrayBuffer>): Promise<number | null>;
  /**
   * As `read`, with bytes that the caller may keep: no buffer is allocated before any come. Absent if that saves
   * nothing.
   */
  readOwn?(most: number): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Writes bytes, and resolves with the number accepted. They must not change before that. One call at a time. */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<number>;
  /** Ends the sending direction; the peer reads an end. */
  closeWrite(): Promise<void>;
  /** Closes the connection at once; running reads and writes reject. Call it once. */
  close(): void;
}

/**
 * A connection that pushes arriving bytes. A pending read is a promise for each connection, which lives as long as the
 * client is silent; pushing needs none.
 */
export interface LiveStream extends ByteStream {
  /**
   * Pushes everything to the sink from now on: first `early`, which was read before, then arriving bytes. `read` and
   * `write` must not be called any longer.
   */
  flow(sink: ByteSink, early: Uint8Array<ArrayBuffer>): void;
  /** Stops pushing until `resume`; arriving bytes wait at the peer. */
  pause(): void;
  resume(): void;
  /**
   * Writes all of the bytes, which must not change meanwhile. True: the system has accepted them. False: the sink's
   * `written` is called once it has. One call at a time.
   */
  send(bytes: Uint8Array<ArrayBuffer>): boolean;
}

/** Receives a `LiveStream`, until that is closed here. */
export interface ByteSink {
  /** Bytes have arrived: those before `end`, valid until this returns. */
  arrived(bytes: Uint8Array<ArrayBuffer>, end: number): void;
  /** The bytes of the last `send` that returned false have been accepted. */
  written(): void;
  /** The last call: the peer has ended, or the connection is broken. */
  ended(): void;
}

/** Whether a stream pushes arriving bytes. */
export function isLive(stream: ByteStream): stream is LiveStream {
  return "flow" in stream;
}

/** Writes all of the bytes. Rejects as the stream does. */
export async function writeAll(stream: ByteStream, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await stream.write(rest));
}

/** Closes a stream, also one that has ended. */
export function closeQuietly(stream: { close(): void }): void {
  try {
    stream.close();
  } catch {
    // The stream has ended, which is what the caller wanted.
  }
}
