/**
 * Watches the settings that a running process relies on, of buckets, object stores, ledgers and logs: another client's
 * change of one of its streams is observed as a request, and set again once the server has carried it out.
 */
import type { Link } from "../connection/nats_link.ts";
import { differing, LogApi, setAgain, type StreamConfig } from "../log/nats_log_api.ts";
import { configIn, UPDATE_REQUESTS } from "../log/nats_log_erasures.ts";

/** When the stream is looked at after a request, ms each after the previous: a cluster takes its time. */
const LOOKS_MS = [250, 1_000, 4_000, 25_000];

/** What is known of a guarded stream. */
interface Guarded {
  /** The settings that are relied on, where it has that configuration. */
  relied(config: Partial<StreamConfig>): object;
  /** Called with each configuration that another client requests; `is_altered`: those settings differ. */
  requested?(config: Partial<StreamConfig>, is_altered: boolean): void;
}

/** The guarded streams of one connection. */
export class GuardedStreams {
  /** Called when this process may not observe requests of that pattern. */
  onDeaf: (requests: string, error: Error) => void = () => {};
  readonly #link: Link;
  readonly #streams = new Map<string, Guarded>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  #is_listening = false;
  #reconnects = 0;

  constructor(link: Link) {
    this.#link = link;
  }

  /** From now on the stream has these settings, whoever changes them; undefined: it is no longer used. */
  guard(stream: string, guarded: Guarded | undefined): void {
    this.listen();
    if (guarded === undefined) this.#streams.delete(stream);
    else this.#streams.set(stream, guarded);
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#streams.clear();
  }

  /** Every request that the server receives from now on is observed. */
  listen(): void {
    if (this.#is_listening) return;
    this.#is_listening = true;
    const requests = `${UPDATE_REQUESTS}.*`;
    this.#link.connection.subscribe(requests, {
      callback: (error, { subject, data }) => {
        if (error) return this.onDeaf(requests, error);
        const stream = subject.slice(UPDATE_REQUESTS.length + 1);
        const guarded = this.#streams.get(stream);
        if (guarded === undefined) return;
        const config = configIn(data);
        // Bounds are not guarded: two processes of different configurations would take turns.
        const is_altered = differing(config, guarded.relied(config)).length > 0;
        guarded.requested?.(config, is_altered);
        if (is_altered) this.#look(stream, LOOKS_MS);
      },
    });
    this.#link.onReconnect(() => void this.#lookAtAll());
  }

  /** Requests of the time without a connection were not observed. One by one: there may be thousands of streams. */
  async #lookAtAll(): Promise<void> {
    const reconnects = ++this.#reconnects;
    for (const stream of [...this.#streams.keys()]) {
      if (reconnects !== this.#reconnects) return;
      if (!await this.#setAgain(stream, false)) this.#look(stream, LOOKS_MS);
    }
  }

  #look(stream: string, [wait_ms, ...later]: readonly number[]): void {
    clearTimeout(this.#timers.get(stream));
    this.#timers.delete(stream);
    if (wait_ms === undefined) return;
    const timer = setTimeout(async () => {
      await this.#setAgain(stream, later.length === 0);
      // Closed meanwhile, it looks no more; another request has begun anew.
      if (this.#streams.has(stream) && this.#timers.get(stream) === timer) {
        this.#look(stream, later);
      }
    }, wait_ms);
    this.#timers.set(stream, timer);
  }

  /** False: the stream's settings are unknown. */
  async #setAgain(stream: string, is_last: boolean): Promise<boolean> {
    const { log, request_timeout_ms, state } = this.#link;
    const guarded = this.#streams.get(stream);
    // After a reconnect it is looked at anyway.
    if (guarded === undefined || state !== "connected") return true;
    try {
      const api = new LogApi(this.#link);
      const { config } = await api.info(stream, request_timeout_ms);
      await setAgain(api, config, guarded.relied(config), request_timeout_ms);
      return true;
    } catch (error) {
      if (is_last) log.warn("the settings of a stream could not be set again", { stream, error });
      return false;
    }
  }
}
