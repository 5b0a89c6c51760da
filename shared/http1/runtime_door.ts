/**
 * A door on the runtime's listeners. Connections are accepted one after the other. If accepting fails, because file
 * descriptors ran out or the listener died, it is retried with growing delays, and the port is reopened if that helps.
 * Our own TLS has `tls_stream.ts`.
 */
import { turn } from "../turns/next_turn.ts";
import type { ByteStream } from "./byte_stream.ts";
import { type DoorOptions, KeptDoor, RETRY_MS_MAX, type TlsPair } from "./door.ts";
import { type FileRoom, isOutOfFiles, NO_ROOM } from "./file_reserve.ts";

/** The used part of the runtime's listeners, with TLS and without. */
interface RawListener {
  readonly addr: Deno.Addr;
  accept(): Promise<Deno.TcpConn | Deno.TlsConn>;
  close(): void;
}

const RETRY_MS_MIN = 20;
/** The longest pause between two checks for room. */
const LOOK_MS_MAX = 100;
/** The most connections accepted in one turn of the event loop, so that open connections are served in between. */
const ACCEPTED_A_TURN = 16;
/** How many turns to wait for the file descriptor of a closed connection. */
const LOOKS_MAX = 8;
/** How many connections are closed for a newcomer. */
const CLOSED_FOR_ONE_MAX = 16;
/** Consecutive failures, other than for lack of descriptors, after which the port is reopened. */
const STRANGE_MAX = 3;

/** Without TLS, or with the runtime's own, whose streams only the runtime's HTTP can serve. */
export class RuntimeDoor extends KeptDoor {
  readonly port: number;
  #pair: TlsPair | undefined;
  #listener: RawListener;
  /** Consecutive failures. */
  #failures = 0;
  #strange = 0;
  #failing_since_ms = 0;

  /** Throws the runtime's own error if the address is in use, forbidden or not of this machine. */
  constructor(options: DoorOptions, pair?: TlsPair) {
    super(options);
    this.#pair = pair;
    this.#listener = this.listen(options.port);
    this.port = (this.#listener.addr as Deno.NetAddr).port;
    void this.#acceptAll();
  }

  async renew(pair: TlsPair): Promise<void> {
    if (this.#pair === undefined) return;
    this.#pair = pair;
    // The runtime needs another listener for another certificate.
    await this.openAnew();
  }

  protected listen(port: number): RawListener {
    const { host, reuse_port } = this.options;
    const where = { hostname: host, port, ...(reuse_port ? { reusePort: true } : {}) };
    const pair = this.#pair;
    return pair === undefined ? Deno.listen(where) : Deno.listenTls({ ...where, ...pair });
  }

  protected listenAgain(): void {
    this.#listener = this.listen(this.port);
  }

  protected closeListener(): void {
    try {
      this.#listener.close();
    } catch {
      // The listener has died, and so is closed already.
    }
  }

  #admit(stream: Deno.TcpConn | Deno.TlsConn, room: FileRoom): void {
    try {
      if ("setNoDelay" in stream) stream.setNoDelay(true);
    } catch {
      // The peer has reset the connection meanwhile.
      return stream.close();
    }
    const { onVisitor } = this.options;
    const visitor = {
      room,
      stream: stream as ByteStream,
      remoteAddr: stream.remoteAddr as Deno.NetAddr,
    };
    if (!("handshake" in stream)) return onVisitor(visitor);
    const secure = () => stream.handshake().then(() => visitor.stream);
    onVisitor({ ...visitor, secure });
  }

  async #acceptAll(): Promise<void> {
    let room: FileRoom | undefined = "plenty";
    for (let accepted = 1; !this.closed; accepted++) {
      const listener = this.#listener;
      try {
        if (room === "none") room = await this.#makeRoom();
        if (room === "none") throw NO_ROOM;
        const conn = await listener.accept();
        this.#recovered();
        room = await this.#makeRoom();
        if (this.closed) return conn.close();
        // The only one accepted without a check: there is a descriptor to answer it.
        this.#admit(conn, room === "none" ? "spare" : room);
      } catch (error) {
        // The port was reopened before the old listener reported its end.
        if (!this.closed && listener !== this.#listener) continue;
        if (!isReset(error) && (this.closed || !await this.#goOn(error as Error))) return;
      }
      if (accepted % ACCEPTED_A_TURN === 0) await turn();
    }
  }

  /**
   * The room after another connection was closed, if there is little. Its descriptor is free only when the runtime has
   * closed it, some turns later, and another port may take it first: then another connection is closed.
   */
  async #makeRoom(): Promise<FileRoom> {
    const { rooms, makeRoom } = this.options;
    let [room = "none"] = rooms(1);
    if (room === "plenty") return room;
    for (let closed = 0; closed < CLOSED_FOR_ONE_MAX && makeRoom(); closed++) {
      for (let looks = 0; looks < LOOKS_MAX && isReserved(room); looks++) {
        await turn();
        [room = "none"] = rooms(1);
      }
      if (!isReserved(room)) break;
    }
    return room;
  }

  /** Handles a failure; false if accepting has ended. */
  async #goOn(error: Error): Promise<boolean> {
    if (this.opening !== undefined) return await this.#settled(this.opening);
    const { now, onFilesOut, holdsFiles, gone_ms } = this.options;
    const files_out = isOutOfFiles(error);
    // This comes first: until descriptors are free, opening any file may end the process.
    if (files_out && error !== NO_ROOM) onFilesOut();
    if (!files_out) this.#strange++;
    this.stats.accept_failures++;
    // Connections with descriptors end some day, and must not be cut off for new ones.
    if (this.#failures === 0 || files_out && holdsFiles()) this.#failing_since_ms = now();
    this.#failures++;
    // The file reserve has reported it. The log line has no stack, which would take a descriptor, too.
    if (error !== NO_ROOM) this.logFailure(error.message);
    const dead = error instanceof Deno.errors.BadResource;
    if (dead || this.#strange >= STRANGE_MAX) {
      this.#strange = 0;
      return await this.#settled(this.reopen());
    }
    if (now() - this.#failing_since_ms > gone_ms) {
      this.end(error);
      return false;
    }
    const most_ms = error === NO_ROOM ? LOOK_MS_MAX : RETRY_MS_MAX;
    await this.pause(Math.min(most_ms, RETRY_MS_MIN * 2 ** (this.#failures - 1)));
    return true;
  }

  #recovered(): void {
    const failures = this.#failures;
    this.#failures = this.#strange = 0;
    if (!this.is_logged) return;
    this.is_logged = false;
    const { log, name } = this.options;
    log?.info("connections are accepted again", { listener: name, failures });
  }

  #settled(opening: Promise<void>): Promise<boolean> {
    // `onGone` was called.
    return opening.then(() => !this.closed, () => false);
  }
}

const isReserved = (room: FileRoom) => room === "spare" || room === "none";

/** Whether the peer reset the connection before it was accepted, which says nothing about the port. */
function isReset(error: unknown): boolean {
  const { NotConnected, ConnectionReset, ConnectionAborted } = Deno.errors;
  return [NotConnected, ConnectionReset, ConnectionAborted].some((kind) => error instanceof kind);
}
