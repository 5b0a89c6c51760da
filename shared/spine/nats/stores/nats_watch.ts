/**
 * A watch that survives reconnects: after a reconnect, or whenever its listing may have missed a write, it lists again,
 * and reports known keys that are missing as deleted.
 */
import { ArqonError } from "@arqon/proto";
import type { Bucket } from "./nats_bucket.ts";
import { type Listed, type Listing, openListing } from "./nats_listing.ts";
import { reconnectDelay_ms } from "../connection/nats_pauses.ts";
import type { KvChange, KvWatch } from "../../contract/spine.ts";
import { awaitedLater } from "../../../awaited_later.ts";

interface NatsWatchOptions {
  readonly bucket: Bucket;
  /** A stored prefix; "" is the whole bucket. */
  readonly prefix: string;
  /** Tokens below the prefix; undefined: any number. */
  readonly depth: number | undefined;
  readonly onChange: (change: KvChange) => void;
  /** Called when the watch has ended. */
  readonly onStop: (watch: NatsWatch) => void;
}

/** One watch, through all reconnects. */
export class NatsWatch implements KvWatch {
  readonly ready: Promise<void>;
  readonly #options: NatsWatchOptions;
  readonly #settle: { resolve(): void; reject(error: ArqonError): void };
  /** Stored keys that were reported as present, with their revisions. As large as the bucket. */
  readonly #known = new Map<string, number>();
  readonly #forget: () => void;
  #listing: Listing | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** Listings in a row that could not begin. */
  #failures = 0;
  /** The number of the current listing; earlier ones are ignored. */
  #generation = 0;
  #stopped = false;

  constructor(options: NatsWatchOptions) {
    this.#options = options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ready = awaitedLater(promise);
    this.#settle = { resolve, reject };
    this.#forget = options.bucket.link.onReconnect(() => this.#relist("reconnect"));
    void this.#list();
  }

  stop(): void {
    this.end(new ArqonError("spine-unavailable", "the watch was stopped"));
  }

  /** Ends the watch; those still waiting for `ready` get `error`. */
  end(error: ArqonError): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#generation++;
    clearTimeout(this.#retry);
    this.#forget();
    this.#listing?.stop();
    this.#settle.reject(error);
    this.#options.onStop(this);
  }

  #relist(why: string): void {
    const { bucket } = this.#options;
    // While disconnected, the reconnect lists anew.
    if (this.#stopped || bucket.link.state !== "connected") return;
    bucket.link.log.info("a key-value watch lists anew", { stream: bucket.stream, why });
    clearTimeout(this.#retry);
    this.#listing?.stop();
    void this.#list();
  }

  async #list(): Promise<void> {
    const { bucket, prefix, depth } = this.#options;
    const generation = ++this.#generation;
    const current = () => generation === this.#generation;
    const seen = new Set<string>();
    let caughtUp = false;
    try {
      if (generation > 1) await bucket.link.guard(bucket.ensure());
      if (!current()) return;
      const listing = await openListing({
        bucket,
        prefix,
        depth,
        headers_only: false,
        onListed: (listed) => {
          if (!current()) return;
          if (!caughtUp) seen.add(listed.storedKey);
          this.#tell(listed, caughtUp);
        },
        onCaughtUp: () => {
          if (!current()) return;
          caughtUp = true;
          this.#failures = 0;
          this.#tellGone(seen);
          seen.clear();
          this.#settle.resolve();
        },
        onBroken: (why) => void (current() && this.#relist(why)),
      });
      if (current()) this.#listing = listing;
      else listing.stop();
    } catch (error) {
      // The timer is for a server that is not ready.
      if (!current()) return;
      const { log } = bucket.link;
      log.warn("a key-value watch cannot list", { stream: bucket.stream, error });
      const pause_ms = reconnectDelay_ms(this.#failures++, Math.random);
      this.#retry = setTimeout(() => this.#relist("retry"), pause_ms);
    }
  }

  #tell(listed: Listed, caughtUp: boolean): void {
    const key = this.#options.bucket.keys.decode(listed.storedKey);
    if (key === undefined) return this.#foreign(listed);
    const { storedKey, revision } = listed;
    if (listed.deleted) {
      // Deletions before the watch began are not reported.
      if (this.#known.delete(storedKey) || caughtUp) this.#call({ type: "delete", key, revision });
      return;
    }
    const value = this.#options.bucket.valueOf(listed.payload);
    if (value === undefined) return this.#foreign(listed);
    this.#known.set(storedKey, revision);
    this.#call({ type: "put", key, value, revision });
  }

  /** Reports as lost the known keys that the new listing has neither as an entry nor as a deletion. */
  #tellGone(seen: ReadonlySet<string>): void {
    for (const [storedKey, revision] of [...this.#known]) {
      if (seen.has(storedKey)) continue;
      this.#known.delete(storedKey);
      const key = this.#options.bucket.keys.decode(storedKey);
      if (key !== undefined) this.#call({ type: "delete", key, revision, is_lost: true });
    }
  }

  #foreign({ storedKey, revision }: Listed): void {
    const { link, stream } = this.#options.bucket;
    link.log.warn("a bucket holds what ArqonBus did not write", { stream, storedKey, revision });
  }

  #call(change: KvChange): void {
    if (this.#stopped) return;
    try {
      this.#options.onChange(change);
    } catch (error) {
      const { link, stream } = this.#options.bucket;
      link.log.error("a key-value watcher threw", { stream, error });
    }
  }
}
