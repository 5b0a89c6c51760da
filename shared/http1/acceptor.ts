/**
 * A port that stays open. Connections are accepted one after the other. If accepting fails, because file descriptors
 * ran out or the listener died, it is retried with growing delays, and the port is reopened if that helps. The caller
 * handles the connections.
 */
import { turn } from "../turns/next_turn.ts";
import type { Logger } from "../logs/log.ts";
import { type FileRoom, isOutOfFiles, NO_ROOM } from "./file_reserve.ts";

/** Counters for metrics. */
export interface DoorStats {
  /** Accept failures that were retried, as far as the runtime reports them. */
  readonly accept_failures: number;
  /** How often the port was reopened because it did not answer. */
  readonly reopened: number;
}

/** The used part of the runtime's listeners, with TLS and without. */
interface RawListener {
  readonly addr: Deno.Addr;
  accept(): Promise<Deno.TcpConn | Deno.TlsConn>;
  close(): void;
}

/** The dependencies and settings of `Acceptor`. */
export interface AcceptorOptions {
  /** The listener's name for messages: "client", "ops", "admin". */
  readonly name: string;
  /**
   * The free descriptors for each of the connections just accepted, oldest first. Without room, no connection is
   * accepted; absent: there is always room.
   */
  readonly rooms?: (count: number) => readonly FileRoom[];
  /** Closes a connection for another one; false if there is none to close. */
  readonly makeRoom?: () => boolean;
  /** Called before anything else when there was no descriptor for another connection. */
  readonly onFilesOut: () => void;
  /** Whether accepted connections have descriptors. */
  readonly holdsFiles: () => boolean;
  /** Called when accepting has ended for good. */
  readonly onGone: (error: Error) => void;
  /** How long accepting or reopening the port may fail until it is given up, in ms. */
  readonly gone_ms: number;
  /** Monotonic ms. */
  readonly now: () => number;
  readonly log?: Logger | undefined;
  /** Opens the port; later calls get its earlier number. Throws the runtime's own error. */
  readonly bind: (port: number | undefined) => RawListener;
  readonly onConnection: (conn: Deno.TcpConn | Deno.TlsConn, room: FileRoom) => void;
}

const RETRY_MS_MIN = 20;
const RETRY_MS_MAX = 1_000;
/** The longest pause between two checks for room. */
const LOOK_MS_MAX = 100;
/** The most connections accepted in one turn of the event loop, so that open connections are served in between. */
const ACCEPTED_A_TURN = 16;
/** How many turns to wait for the file descriptor of a closed connection. */
const LOOKS_MAX = 8;
/** Consecutive failures, other than for lack of descriptors, after which the port is reopened. */
const STRANGE_MAX = 3;

/** Accepts connections on one port. The constructor throws as `bind` does if the port cannot be opened. */
export class Acceptor {
  readonly stats: { -readonly [name in keyof DoorStats]: number } = {
    accept_failures: 0,
    reopened: 0,
  };
  readonly #options: AcceptorOptions;
  readonly port: number;
  #listener: RawListener;
  #closed = false;
  #opening: Promise<void> | undefined;
  /** Consecutive failures. */
  #failures = 0;
  #strange = 0;
  #failing_since_ms = 0;
  /** Whether it was logged that no connection can be accepted. */
  #is_logged = false;
  /** Ends the pause between two tries. */
  #wake: (() => void) | undefined;

  constructor(options: AcceptorOptions) {
    this.#options = options;
    this.#listener = options.bind(undefined);
    this.port = (this.#listener.addr as Deno.NetAddr).port;
    void this.#acceptAll();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wake?.();
    closeListener(this.#listener);
  }

  /** Reopens the port with the current `bind`; open connections are unaffected. */
  renew(): Promise<void> {
    return this.#opening ??= this.#openAnew().finally(() => this.#opening = undefined);
  }

  /** As `renew`, and counted, because the port does not answer. */
  reopen(): Promise<void> {
    this.stats.reopened++;
    return this.renew();
  }

  async #acceptAll(): Promise<void> {
    const { onConnection } = this.#options;
    let room: FileRoom | undefined = "plenty";
    for (let accepted = 1; !this.#closed; accepted++) {
      const listener = this.#listener;
      try {
        if (room === "none") room = await this.#makeRoom();
        if (room === "none") throw NO_ROOM;
        const conn = await listener.accept();
        this.#recovered();
        room = await this.#makeRoom();
        if (this.#closed) return conn.close();
        // The only one accepted without a check: there is a descriptor to answer it.
        onConnection(conn, room === "none" ? "spare" : room);
      } catch (error) {
        // The port was reopened before the old listener reported its end.
        if (!this.#closed && listener !== this.#listener) continue;
        if (!isReset(error) && (this.#closed || !await this.#goOn(error as Error))) return;
      }
      if (accepted % ACCEPTED_A_TURN === 0) await turn();
    }
  }

  /**
   * The room after another connection was closed, if there is little. Its descriptor is free only when the runtime has
   * closed it, some turns later.
   */
  async #makeRoom(): Promise<FileRoom> {
    const { rooms = () => ["plenty"], makeRoom = () => false } = this.#options;
    let [room = "none"] = rooms(1);
    if (room === "plenty" || !makeRoom()) return room;
    for (let looks = 0; looks < LOOKS_MAX && (room === "spare" || room === "none"); looks++) {
      await turn();
      [room = "none"] = rooms(1);
    }
    return room;
  }

  /** Handles a failure; false if accepting has ended. */
  async #goOn(error: Error): Promise<boolean> {
    if (this.#opening !== undefined) return await this.#settled(this.#opening);
    const { now, log, name, onFilesOut, holdsFiles, onGone, gone_ms } = this.#options;
    const files_out = isOutOfFiles(error);
    // This comes first: until descriptors are free, opening any file may end the process.
    if (files_out && error !== NO_ROOM) onFilesOut();
    if (!files_out) this.#strange++;
    this.stats.accept_failures++;
    // Connections with descriptors end some day, and must not be cut off for new ones.
    if (this.#failures === 0 || files_out && holdsFiles()) this.#failing_since_ms = now();
    this.#failures++;
    // The file reserve has reported it.
    if (!this.#is_logged && error !== NO_ROOM) {
      this.#is_logged = true;
      // The log line has no stack, which would take a descriptor, too.
      const problem = error.message;
      log?.warn("no connection can be accepted; it is tried again", { listener: name, problem });
    }
    const dead = error instanceof Deno.errors.BadResource;
    if (dead || this.#strange >= STRANGE_MAX) {
      this.#strange = 0;
      return await this.#settled(this.reopen());
    }
    if (now() - this.#failing_since_ms > gone_ms) {
      this.close();
      onGone(error);
      return false;
    }
    const most_ms = error === NO_ROOM ? LOOK_MS_MAX : RETRY_MS_MAX;
    await this.#pause(Math.min(most_ms, RETRY_MS_MIN * 2 ** (this.#failures - 1)));
    return true;
  }

  #recovered(): void {
    const failures = this.#failures;
    this.#failures = this.#strange = 0;
    if (!this.#is_logged) return;
    this.#is_logged = false;
    const { log, name } = this.#options;
    log?.info("connections are accepted again", { listener: name, failures });
  }

  #settled(opening: Promise<void>): Promise<boolean> {
    // `onGone` was called.
    return opening.then(() => !this.#closed, () => false);
  }

  async #openAnew(): Promise<void> {
    const { bind, now, gone_ms, onGone } = this.#options;
    closeListener(this.#listener);
    const until_ms = now() + gone_ms;
    for (let wait_ms = 1; !this.#closed; wait_ms = Math.min(RETRY_MS_MAX, 2 * wait_ms)) {
      try {
        this.#listener = bind(this.port);
        return;
      } catch (error) {
        if (now() >= until_ms) {
          this.close();
          onGone(error as Error);
          throw error;
        }
      }
      await this.#pause(wait_ms);
    }
  }

  async #pause(wait_ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, wait_ms);
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
    this.#wake = undefined;
  }
}

/** Whether the peer reset the connection before it was accepted, which says nothing about the port. */
function isReset(error: unknown): boolean {
  const { NotConnected, ConnectionReset, ConnectionAborted } = Deno.errors;
  return [NotConnected, ConnectionReset, ConnectionAborted].some((kind) => error instanceof kind);
}

function closeListener(listener: RawListener): void {
  try {
    listener.close();
  } catch {
    // The listener has died, and so is closed already.
  }
}
