/**
 * Accepts connections, one by one, on the runtime's listeners; `acceptor.ts` keeps them open. Our own TLS has
 * `tls_stream.ts`; `listener.ts` decides which connections stay.
 */
import { Acceptor, type AcceptorOptions, type DoorStats } from "./acceptor.ts";
import type { ByteStream } from "./byte_stream.ts";
import type { FileRoom } from "./file_reserve.ts";

/** PEM texts. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** An accepted connection, still unread. */
export interface Visitor {
  readonly remoteAddr: Deno.NetAddr;
  /** The free descriptors for it. */
  readonly room: FileRoom;
  /** The TCP connection, with Nagle's algorithm off if possible. */
  readonly stream: ByteStream;
  /**
   * Runs the TLS handshake; resolves with the stream inside TLS, and rejects if it fails. Afterwards `stream` may only
   * be closed. Absent without TLS.
   */
  readonly secure?: () => Promise<ByteStream>;
}

/** The address of a door, and its callbacks. */
export interface DoorOptions extends Omit<AcceptorOptions, "bind" | "onConnection"> {
  readonly host: string;
  /** The port; 0 picks a free one. */
  readonly port: number;
  /** True if other processes serve the same port. */
  readonly reuse_port: boolean;
  readonly onVisitor: (visitor: Visitor) => void;
  readonly rooms: NonNullable<AcceptorOptions["rooms"]>;
  readonly makeRoom: NonNullable<AcceptorOptions["makeRoom"]>;
  /** Called for each connection that was closed at once. */
  readonly onRefused: () => void;
  /** Whether a client may keep a descriptor of this number. */
  readonly mayKeep: (number: number) => boolean;
}

/** A listening port. */
export interface Door {
  readonly port: number;
  readonly stats: DoorStats;
  close(): void;
  /** Uses another certificate and key for further handshakes; open connections are unaffected. */
  renew(pair: TlsPair): Promise<void>;
  /** Reopens the port because it does not answer; open connections are unaffected. */
  reopen(): Promise<void>;
}

/**
 * Opens a door without TLS. Throws the runtime's own error if the address is in use, forbidden or not of this machine.
 */
export function openPlainDoor(options: DoorOptions): Door {
  return new RuntimeDoor(options, undefined);
}

/**
 * Opens a door with the runtime's own TLS, whose streams only the runtime's HTTP can serve. Throws as `openPlainDoor`
 * does.
 */
export function openRuntimeTlsDoor(options: DoorOptions, pair: TlsPair): Door {
  return new RuntimeDoor(options, pair);
}

class RuntimeDoor implements Door {
  readonly #acceptor: Acceptor;
  #pair: TlsPair | undefined;

  constructor(options: DoorOptions, pair: TlsPair | undefined) {
    this.#pair = pair;
    const { host, reuse_port, onVisitor } = options;
    this.#acceptor = new Acceptor({
      ...options,
      bind: (before) => {
        const port = before ?? options.port;
        const where = { hostname: host, port, ...(reuse_port ? { reusePort: true } : {}) };
        const pair = this.#pair;
        return pair === undefined ? Deno.listen(where) : Deno.listenTls({ ...where, ...pair });
      },
      onConnection(stream, room) {
        try {
          if ("setNoDelay" in stream) stream.setNoDelay(true);
        } catch {
          // The peer has reset the connection meanwhile.
          return stream.close();
        }
        const visitor = {
          room,
          stream: stream as ByteStream,
          remoteAddr: stream.remoteAddr as Deno.NetAddr,
        };
        if (!("handshake" in stream)) return onVisitor(visitor);
        const secure = () => stream.handshake().then(() => visitor.stream);
        onVisitor({ ...visitor, secure });
      },
    });
  }

  get port(): number {
    return this.#acceptor.port;
  }

  get stats(): DoorStats {
    return this.#acceptor.stats;
  }

  close(): void {
    this.#acceptor.close();
  }

  async renew(pair: TlsPair): Promise<void> {
    if (this.#pair === undefined) return;
    this.#pair = pair;
    // The runtime needs another listener for another certificate.
    await this.#acceptor.renew();
  }

  reopen(): Promise<void> {
    return this.#acceptor.reopen();
  }
}
