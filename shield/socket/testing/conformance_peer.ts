/**
 * A hand-written WebSocket peer for the conformance suite and tests: it sends given frames unchanged, and returns
 * received frames.
 */

const WAIT_MS = 20_000;

/** Opcodes of RFC 6455, 5.2. */
export const CONTINUATION = 0x0, TEXT = 0x1, BINARY = 0x2, CLOSE = 0x8, PING = 0x9, PONG = 0xa;

/** One frame as it came. */
export interface RawFrame {
  readonly opcode: number;
  readonly body: Uint8Array;
}

/** A client's frame with mask 0, which leaves the bytes unchanged; `last`: no fragment follows. */
export function rawFrame(opcode: number, body: Uint8Array, last = true): Uint8Array<ArrayBuffer> {
  const extra = body.length < 126 ? 0 : body.length < 0x1_0000 ? 2 : 8;
  const frame = new Uint8Array(2 + extra + 4 + body.length);
  const view = new DataView(frame.buffer);
  frame[0] = (last ? 0x80 : 0) | opcode;
  frame[1] = 0x80 | (extra === 0 ? body.length : extra === 2 ? 126 : 127);
  if (extra === 2) view.setUint16(2, body.length);
  if (extra === 8) view.setBigUint64(2, BigInt(body.length));
  frame.set(body, 6 + extra);
  return frame;
}

/** An upgraded connection over TCP or TLS. Waits at most 20 s for anything. */
export class RawPeer implements Disposable {
  readonly #connection: Deno.Conn;
  #buffer = new Uint8Array(0);
  /** The head of the answer to the upgrade. */
  head = "";

  private constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  /**
   * Sends the handshake and reads the head of the answer, whatever it is. `url` is http(s). Headers replace the
   * handshake's own ones of the same name.
   */
  static async connect(
    url: string,
    headers: readonly string[] = [],
    ca?: string,
  ): Promise<RawPeer> {
    const { hostname, port, pathname } = new URL(url);
    const address = { hostname, port: Number(port) };
    const connection = ca === undefined
      ? await Deno.connect(address)
      : await Deno.connectTls({ ...address, hostname: "localhost", caCerts: [ca] });
    const peer = new RawPeer(connection);
    const nameOf = (line: string) => line.slice(0, line.indexOf(":")).toLowerCase();
    const given = headers.map(nameOf);
    const own = [
      `Host: ${hostname}:${port}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
      "Sec-WebSocket-Version: 13",
    ].filter((line) => !given.includes(nameOf(line)));
    const lines = [`GET ${pathname} HTTP/1.1`, ...own, ...headers];
    await peer.write(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`));
    await peer.#readHead();
    return peer;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
  }

  /** The next frame; undefined at any end of the connection. */
  async frame(wait_ms = WAIT_MS): Promise<RawFrame | undefined> {
    while (true) {
      const short = (this.#buffer[1] ?? 0) & 0x7f;
      const start = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (this.#buffer.length >= start) {
        const view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset);
        const size = short < 126
          ? short
          : short === 126
          ? view.getUint16(2)
          : Number(view.getBigUint64(2));
        if (this.#buffer.length >= start + size) {
          const opcode = (this.#buffer[0] ?? 0) & 0xf;
          const body = this.#buffer.slice(start, start + size);
          this.#buffer = this.#buffer.slice(start + size);
          return { opcode, body };
        }
      }
      if (!await this.#more(wait_ms)) return undefined;
    }
  }

  /** The code of the close frame, other frames are skipped; undefined if the connection ends. */
  async closeCode(): Promise<number | undefined> {
    for (let frame = await this.frame(); frame !== undefined; frame = await this.frame()) {
      if (frame.opcode !== CLOSE) continue;
      return frame.body.length < 2 ? 1005 : (frame.body[0] ?? 0) * 256 + (frame.body[1] ?? 0);
    }
    return undefined;
  }

  /** Reads up to the server's close frame, or to the end of the connection, and disconnects, as clients do. */
  async leave(): Promise<void> {
    await this.closeCode();
    this[Symbol.dispose]();
  }

  /** That many bytes as text; fewer at the end of the connection. */
  async text(size_bytes: number): Promise<string> {
    while (this.#buffer.length < size_bytes && await this.#more());
    return new TextDecoder().decode(this.#buffer.subarray(0, size_bytes));
  }

  [Symbol.dispose](): void {
    try {
      this.#connection.close();
    } catch {
      // Closed already.
    }
  }

  async #readHead(): Promise<void> {
    for (;;) {
      const text = new TextDecoder("latin1").decode(this.#buffer);
      const end = text.indexOf("\r\n\r\n");
      if (end >= 0) {
        this.head = text.slice(0, end);
        this.#buffer = this.#buffer.slice(end + 4);
        return;
      }
      if (!await this.#more()) throw new Error(`no answer to the handshake: ${text}`);
    }
  }

  async #more(wait_ms = WAIT_MS): Promise<boolean> {
    const chunk = new Uint8Array(65_536);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("nothing came from the server")), wait_ms);
    });
    // A reset counts as the end.
    const reading = this.#connection.read(chunk).catch(() => null);
    const count = await Promise.race([reading, late]).finally(() => clearTimeout(timer));
    if (count === null) return false;
    const joined = new Uint8Array(this.#buffer.length + count);
    joined.set(this.#buffer);
    joined.set(chunk.subarray(0, count), this.#buffer.length);
    this.#buffer = joined;
    return true;
  }
}
