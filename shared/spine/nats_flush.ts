/**
 * Knows how many bytes are handed to the connection and not confirmed, and confirms them: one PING a
 * turn of the event loop for all callers, whose PONG says that the server has everything before it.
 */
import { setImmediate } from "node:timers";
import { ArqonError } from "@arqon/proto";
import type { Link } from "./nats_link.ts";

/** Unconfirmed bytes after which a PING is sent though nobody asked, to learn how far the server is. */
const PROBE_BYTES = 1_048_576;

/** Counts and confirms what one connection was given. */
export class Flusher {
  readonly #link: Link;
  readonly #pending_bytes_max: number;
  readonly #probe_bytes: number;
  /** Running totals of bytes: handed over, covered by a PING, confirmed. */
  #handed = 0;
  #covered = 0;
  #confirmed = 0;
  #turn: Promise<void> | undefined;

  constructor(link: Link, pending_bytes_max: number) {
    this.#link = link;
    this.#pending_bytes_max = pending_bytes_max;
    this.#probe_bytes = Math.min(PROBE_BYTES, pending_bytes_max / 4);
  }

  /** Bytes handed over and not confirmed. */
  get pending_bytes(): number {
    return this.#handed - this.#confirmed;
  }

  /** Throws `spine-unavailable` when `size_bytes` more would exceed the bound. */
  assertRoom(size_bytes: number): void {
    if (this.pending_bytes + size_bytes <= this.#pending_bytes_max) return;
    throw new ArqonError("spine-unavailable", "too many bytes are not yet confirmed by NATS");
  }

  /** Counts bytes that were just handed to the connection. */
  handed(size_bytes: number): void {
    this.#handed += size_bytes;
    if (this.#handed - this.#covered < this.#probe_bytes) return;
    // A flush that fails has been told to the log by the link already.
    this.flush().catch(() => {});
    this.#covered = this.#handed;
  }

  /** What was under way is gone with the connection. */
  forget(): void {
    this.#confirmed = this.#handed;
    this.#covered = this.#handed;
  }

  /** Resolves with the PONG to a PING sent at the end of this turn. Rejects with `spine-unavailable`. */
  flush(): Promise<void> {
    if (this.#link.state !== "connected") return Promise.reject(this.#link.unavailable());
    if (this.#turn !== undefined) return this.#turn;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // The guard begins now: a connection that drops within the turn has dropped the publishes too.
    this.#turn = this.#link.guard(promise);
    setImmediate(() => {
      this.#turn = undefined;
      this.#ping().then(resolve, reject);
    });
    return this.#turn;
  }

  async #ping(): Promise<void> {
    this.#link.assertConnected();
    const upTo = this.#handed;
    this.#covered = upTo;
    const { promise: late, reject } = Promise.withResolvers<never>();
    const { request_timeout_ms } = this.#link;
    const timer = setTimeout(
      () =>
        reject(
          new ArqonError("spine-unavailable", `NATS confirmed nothing in ${request_timeout_ms} ms`),
        ),
      request_timeout_ms,
    );
    try {
      await Promise.race([this.#link.connection.flush(), late]);
      this.#confirmed = Math.max(this.#confirmed, upTo);
    } catch (cause) {
      if (cause instanceof ArqonError) throw cause;
      throw new ArqonError("spine-unavailable", "the flush was cut off", { cause });
    } finally {
      clearTimeout(timer);
    }
  }
}
