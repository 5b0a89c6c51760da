/**
 * Where connections are accepted, one by one, on the runtime's listeners; how they stay open is
 * `acceptor.ts`. TLS of our own has a door of its own, `tls_door.ts`; who may stay is `listener.ts`.
 */
import type { Logger } from "../logs/log.ts";
import { Acceptor } from "./acceptor.ts";
import type { ByteStream } from "./byte_stream.ts";
import type { FileRoom } from "./file_reserve.ts";

/** PEM texts. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** An accepted connection of which nothing was read yet. */
export interface Visitor {
  readonly remoteAddr: Deno.NetAddr;
  /** How much room there is for it. */
  readonly room: FileRoom;
  /** The TCP connection, without the delays of Nagle's algorithm where there is a way. */
  readonly stream: ByteStream;
  /**
   * Does the TLS handshake; resolves with the stream inside TLS, and rejects when it fails.
   * Afterwards `stream` is only good for ending it. Absent without TLS.
   */
  readonly secure?: () => Promise<ByteStream>;
}

/** Where a door accepts connections, and its callbacks. */
export interface DoorOptions {
  /** The listener's name for messages: "client", "ops", "admin". */
  readonly name: string;
  readonly host: string;
  /** The port; 0 picks a free one. */
  readonly port: number;
  /** True when other processes serve the same port. */
  readonly reuse_port: boolean;
  readonly onVisitor: (visitor: Visitor) => void;
  /** How much room there is for each of so many connections that have just been accepted, oldest first. */
  readonly rooms: (count: number) => readonly FileRoom[];
  /** Ends a connection for another one; false when there is none to end. */
  readonly makeRoom: () => boolean;
  /** Called for each connection that was ended at once. */
  readonly onRefused: () => void;
  /** Whether a client may keep a descriptor of this number. */
  readonly mayKeep: (number: number) => boolean;
  /** Called when there was no file for another connection, before anything else is done about it. */
  readonly onFilesOut: () => void;
  /** Whether accepted connections hold files. */
  readonly holdsFiles: () => boolean;
  /** Called when nothing is accepted any longer, and will not be. */
  readonly onGone: (error: Error) => void;
  /**
   * For how long nothing could be accepted, or the port not be opened anew, until it is given up;
   * in ms.
   */
  readonly gone_ms: number;
  /** Milliseconds of a clock that is never set. */
  readonly now: () => number;
  readonly log?: Logger | undefined;
}

/** Counts of what happened at a door, for metrics. */
export interface DoorStats {
  /** Times that accepting failed and was tried again, as far as the runtime tells. */
  readonly accept_failures: number;
  /** Times that the port was closed and opened again, because it did not answer. */
  readonly reopened: number;
}

/** A door that accepts connections. */
export interface Door {
  readonly port: number;
  readonly stats: DoorStats;
  /** Stops accepting. */
  close(): void;
  /** Uses another certificate and key for further handshakes; open connections notice nothing. */
  renew(pair: TlsPair): Promise<void>;
  /**
   * Closes the port and opens it again, because it does not answer; open connections notice
   * nothing.
   */
  reopen(): Promise<void>;
}

/**
 * Opens a door without TLS. Throws the runtime's own error when the address is taken, forbidden or
 * not of this machine.
 */
export function openPlainDoor(options: DoorOptions): Door {
  return new RuntimeDoor(options, undefined);
}

/**
 * Opens a door with the runtime's own TLS, whose streams only the runtime's HTTP can serve. Throws
 * as `openPlainDoor` does.
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
    // The runtime takes another certificate only with another listener.
    await this.#acceptor.renew();
  }

  reopen(): Promise<void> {
    return this.#acceptor.reopen();
  }
}
