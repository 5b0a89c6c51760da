/**
 * Watches the settings that a running process relies on: another client's change of one of its streams is observed as
 * a request, and set again once the server has carried it out. Logs do this by themselves (`nats_log.ts`).
 */
import { jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import type { Link } from "../connection/nats_link.ts";
import { differing } from "../log/nats_log_api.ts";
import { configIn, UPDATE_REQUESTS } from "../log/nats_log_erasures.ts";
import { setAgain } from "./nats_bucket.ts";

/** When the stream is looked at after a request, ms each after the previous: a cluster takes its time. */
const LOOKS_MS = [250, 1_000, 4_000];

/** The guarded streams of one connection. */
export class GuardedStreams {
  readonly #link: Link;
  readonly #relied = new Map<string, object>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(link: Link) {
    this.#link = link;
  }

  /** From now on the stream has these settings, whoever changes them. */
  guard(stream: string, relied: object): void {
    if (this.#relied.size === 0) this.#listen();
    this.#relied.set(stream, relied);
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#relied.clear();
  }

  #listen(): void {
    const { connection, log } = this.#link;
    const requests = `${UPDATE_REQUESTS}.*`;
    connection.subscribe(requests, {
      callback: (error, { subject, data }) => {
        if (error) {
          const remedy = `let its user subscribe to ${requests}`;
          return log.warn("does not observe changes of its streams' settings", { remedy, error });
        }
        const stream = subject.slice(UPDATE_REQUESTS.length + 1);
        const relied = this.#relied.get(stream);
        // Bounds are not guarded: two processes of different configurations would take turns.
        if (relied === undefined || differing(configIn(data), relied).length === 0) return;
        this.#look(stream, LOOKS_MS);
      },
    });
  }

  #look(stream: string, [wait_ms, ...later]: readonly number[]): void {
    clearTimeout(this.#timers.get(stream));
    this.#timers.delete(stream);
    // Closed meanwhile, it looks no more.
    if (wait_ms === undefined || !this.#relied.has(stream)) return;
    const look = () => void this.#setAgain(stream).then(() => this.#look(stream, later));
    this.#timers.set(stream, setTimeout(look, wait_ms));
  }

  async #setAgain(stream: string): Promise<void> {
    const relied = this.#relied.get(stream);
    if (relied === undefined) return;
    try {
      const { streams } = await jetstreamManager(this.#link.connection, { checkAPI: false });
      const { config } = await streams.info(stream);
      await setAgain(this.#link, streams, config, relied as Partial<StreamConfig>);
    } catch (error) {
      this.#link.log.warn("the settings of a stream could not be set again", { stream, error });
    }
  }
}
