/**
 * A connection as bytes in and bytes out: TCP as the runtime hands it over, or what `tls_stream.ts`
 * makes of a socket of Node's. What the bytes mean is not known here.
 */

/** `Deno.TcpConn` is one. */
export interface ByteStream {
  /** Bytes that have come, at most as many as there is room for; null at the end. One at a time. */
  read(into: Uint8Array<ArrayBuffer>): Promise<number | null>;
  /** How many of the bytes were taken. They must not change before it resolves. One at a time. */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<number>;
  /** Nothing more is written; the peer reads an end. */
  closeWrite(): Promise<void>;
  /** Ends it at once; what reads or writes rejects. Only once. */
  close(): void;
}

/** Writes everything. Rejects when the stream does. */
export async function writeAll(
  stream: ByteStream,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await stream.write(rest));
}

/** Ends it, also when it has ended. */
export function closeQuietly(stream: { close(): void }): void {
  try {
    stream.close();
  } catch {
    // It is gone, which was asked for.
  }
}
