/**
 * Doors: ports that accept connections and stay open. `runtime_door.ts` has the runtime's, `node_door.ts` those on
 * `node:net`; `listener.ts` decides which connections stay.
 */
import type { Logger } from "../logs/log.ts";
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
export interface DoorOptions {
  /** The listener's name for messages: "client", "ops", "admin". */
  readonly name: string;
  readonly host: string;
  /** The port; 0 picks a free one. */
  readonly port: number;
  /** True if other processes serve the same port. */
  readonly reuse_port: boolean;
  readonly onVisitor: (visitor: Visitor) => void;
  /**
   * The free descriptors for each of the connections just accepted, oldest first. Without room, no connection is
   * accepted.
   */
  readonly rooms: (count: number) => readonly FileRoom[];
  /** Closes a connection for another one; false if there is none to close. */
  readonly makeRoom: () => boolean;
  /** Called for each connection that was closed at once. */
  readonly onRefused: () => void;
  /** Whether a client may keep a descriptor of this number. */
  readonly mayKeep: (number: number) => boolean;
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
}

/** Counters for metrics. */
export interface DoorStats {
  /** Accept failures that were retried, as far as the runtime reports them. */
  readonly accept_failures: number;
  /** How often the port was reopened because it did not answer. */
  readonly reopened: number;
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

/** The longest pause between two tries, in ms. */
export const RETRY_MS_MAX = 1_000;

/** A port that is reopened, and given up if that fails for too long. */
export abstract class KeptDoor implements Door {
  abstract readonly port: number;
  readonly stats: { -readonly [name in keyof DoorStats]: number } = {
    accept_failures: 0,
    reopened: 0,
  };
  protected readonly options: DoorOptions;
  protected closed = false;
  protected opening: Promise<void> | undefined;
  /** Whether it was logged that no connection can be accepted. */
  protected is_logged = false;
  /** Ends the pause between two tries. */
  #wake: (() => void) | undefined;

  constructor(options: DoorOptions) {
    this.options = options;
  }

  /** Opens the port again. Throws the runtime's own error. */
  protected abstract listenAgain(): Promise<void> | void;
  protected abstract closeListener(): void;
  abstract renew(pair: TlsPair): Promise<void>;

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#wake?.();
    this.closeListener();
  }

  reopen(): Promise<void> {
    this.stats.reopened++;
    return this.openAnew();
  }

  /** As `reopen`, not counted. */
  protected openAnew(): Promise<void> {
    return this.opening ??= this.#openAnew().finally(() => this.opening = undefined);
  }

  async #openAnew(): Promise<void> {
    const { now, gone_ms } = this.options;
    this.closeListener();
    const until_ms = now() + gone_ms;
    for (let wait_ms = 1; !this.closed; wait_ms = Math.min(RETRY_MS_MAX, 2 * wait_ms)) {
      try {
        await this.listenAgain();
        // The door was closed meanwhile.
        if (this.closed) this.closeListener();
        return;
      } catch (error) {
        if (now() >= until_ms) {
          this.end(error as Error);
          throw error;
        }
      }
      await this.pause(wait_ms);
    }
  }

  /** Until then, or until the door closes. */
  protected async pause(wait_ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, wait_ms);
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
    this.#wake = undefined;
  }

  protected logFailure(problem: string): void {
    const { log, name: listener } = this.options;
    if (!this.is_logged) {
      log?.warn("no connection can be accepted; it is tried again", { listener, problem });
    }
    this.is_logged = true;
  }

  protected end(error: Error): void {
    this.close();
    this.options.onGone(error);
  }
}
