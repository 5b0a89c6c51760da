/**
 * Where connections are accepted, one by one, on the runtime's TCP. It goes on when descriptors run
 * out. TLS has a door of its own, `tls_door.ts`; who may stay is `listener.ts`.
 */
import type { TlsPair } from "../tls_reload.ts";
import type { ByteStream } from "./byte_stream.ts";

/** A connection of which nothing was read yet. */
export interface Visitor {
  readonly remoteAddr: Deno.NetAddr;
  /** TCP, without delays of Nagle's algorithm. */
  readonly stream: ByteStream;
  /**
   * Resolves with what the peer says and hears once the TLS handshake is done, and rejects when it
   * fails; `early` has been read of the stream, which is no longer to be used but to end it. Absent
   * without TLS.
   */
  readonly secure?: (early: Uint8Array<ArrayBuffer>) => Promise<ByteStream>;
}

/** Where to accept, and who is told. */
export interface DoorOptions {
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** Other processes serve the same port. */
  readonly reuse_port: boolean;
  readonly onVisitor: (visitor: Visitor) => void;
  /** Nothing is accepted any more, and will not be. */
  readonly onGone: (error: Error) => void;
}

/** An open one. */
export interface Door {
  readonly port: number;
  /** How often nothing could be accepted, as far as the runtime tells. */
  readonly accept_failures: number;
  /** Accepts nobody any more. */
  close(): void;
  /** Handshakes from now on use another pair. */
  renew(pair: TlsPair): void;
}

const RETRY_MS_MIN = 20;
const RETRY_MS_MAX = 1_000;
/** Failures in a row, some 30 s of them, without a connection in between: it will not come back. */
const FAILURES_MAX = 40;

/** Throws the runtime's own error when the address is taken, forbidden or not of this machine. */
export function openPlainDoor(options: DoorOptions): Door {
  return new PlainDoor(options);
}

class PlainDoor implements Door {
  readonly port: number;
  readonly #options: DoorOptions;
  readonly #listener: Deno.TcpListener;
  #closed = false;
  /** In a row. */
  #failures = 0;
  #accept_failures = 0;

  constructor(options: DoorOptions) {
    const { host, port, reuse_port } = options;
    this.#options = options;
    const shared = reuse_port ? { reusePort: true } : {};
    this.#listener = Deno.listen({ hostname: host, port, ...shared });
    this.port = this.#listener.addr.port;
    void this.#acceptAll();
  }

  get accept_failures(): number {
    return this.#accept_failures;
  }

  close(): void {
    this.#closed = true;
    this.#listener.close();
  }

  renew(): void {}

  async #acceptAll(): Promise<void> {
    while (!this.#closed) {
      let stream: Deno.TcpConn;
      try {
        stream = await this.#listener.accept();
      } catch (error) {
        if (this.#closed) return;
        if (!await this.#onFailure(error as Error)) return;
        continue;
      }
      this.#failures = 0;
      try {
        stream.setNoDelay(true);
      } catch {
        // The peer has reset it meanwhile.
        stream.close();
        continue;
      }
      this.#options.onVisitor({ stream, remoteAddr: stream.remoteAddr as Deno.NetAddr });
    }
  }

  /** Waits, longer each time: what ran out comes back when somebody leaves. False when it is over. */
  async #onFailure(error: Error): Promise<boolean> {
    this.#accept_failures++;
    const gone = error instanceof Deno.errors.BadResource || ++this.#failures > FAILURES_MAX;
    if (gone) {
      this.#options.onGone(error);
      return false;
    }
    const wait_ms = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (this.#failures - 1));
    await new Promise((resolve) => setTimeout(resolve, wait_ms));
    return true;
  }
}
