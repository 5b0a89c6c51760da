/**
 * A connection as bytes in and bytes out: TCP as the runtime hands it over, or what `tls_stream.ts`
 * makes of a socket of Node's. What the bytes mean is not known here.
 */

/** A connection; `Deno.TcpConn` is one. */
export interface ByteStream {
  /**
   * Reads bytes that have come, at most as many as there is room for; null at the end. One call at
   * a time.
   */
  read(into: Uint8Array<ArrayBuffer>): Promise<number | null>;
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
