/**
 * The bound of a log's stream, as last reported. A stream without a bound gets no more messages, because it could use
 * up all storage. `nats_log_stream.ts` sets bounds.
 */
import { ArqonError } from "@arqon/proto";
import type { StreamConfig, StreamInfo } from "./nats_log_api.ts";
import type { LogPlace } from "./nats_log_place.ts";
import type { Link } from "../connection/nats_link.ts";
import type { NatsStorage } from "./nats_storage.ts";
import { STORAGE_REMEDY } from "../../contract/storage_plan.ts";

/** Interval between attempts to bound an unbounded stream while clients publish, in ms. */
const BOUND_AGAIN_MS = 5_000;

/** The log's parts that it needs. */
export interface BoundTools {
  readonly storage: NatsStorage;
  readonly link: Link;
}

/** The bound of one log's stream. */
export class StreamBound {
  readonly #tools: BoundTools;
  readonly #place: LogPlace;
  /** The last bound that was logged. */
  #logged_bytes: number | undefined;
  /** 0 or less: no bound. */
  #bytes = 0;
  #again_ms = 0;

  constructor(tools: BoundTools, place: LogPlace) {
    this.#tools = tools;
    this.#place = place;
  }

  get is_bounded(): boolean {
    return this.#bytes > 0;
  }

  /** Throws `log-unavailable`, and occasionally retries to bound the stream. */
  refuse(stream: string, bound: () => Promise<void>): never {
    const now_ms = this.#tools.link.monotonic();
    if (now_ms >= this.#again_ms) {
      this.#again_ms = now_ms + BOUND_AGAIN_MS;
      bound().catch(() => {}); // The next publish shows the result.
    }
    const { bytes_key, max_bytes } = this.#place;
    const why = `nothing bounds the stream ${stream}, for NATS has no room to promise it ` +
      `${bytes_key} = ${max_bytes} of [durable]; ${STORAGE_REMEDY}`;
    throw new ArqonError("log-unavailable", why);
  }

  note({ name, max_bytes }: Pick<StreamConfig, "name" | "max_bytes">): void {
    this.#bytes = max_bytes;
    this.#tools.storage.note(name, max_bytes);
  }

  /** Records the bound of an opened or changed stream; logs it if it is not the requested one. */
  settle({ config }: StreamInfo): void {
    const { storage: { log } } = this.#tools;
    const { bytes_key, max_bytes: wanted_bytes, owner } = this.#place;
    this.note(config);
    const { name: stream, max_bytes } = config;
    const is_logged = this.#logged_bytes === max_bytes;
    this.#logged_bytes = max_bytes;
    if (max_bytes === wanted_bytes || is_logged) return;
    log.warn(`NATS cannot promise ${bytes_key}: a log keeps the bound that it has`, {
      ...owner,
      stream,
      bound_bytes: max_bytes > 0 ? max_bytes : "none",
      [bytes_key]: wanted_bytes,
      remedy: STORAGE_REMEDY,
    });
  }
}
