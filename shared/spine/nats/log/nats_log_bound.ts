/**
 * What bounds the stream of a log: noted whenever it is heard, and a stream that nothing bounds gets no
 * more messages, for it could take everybody's storage. How bounds are asked for is
 * `nats_log_stream.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { StreamConfig, StreamInfo } from "./nats_log_api.ts";
import type { LogPlace } from "./nats_log_place.ts";
import type { NatsStorage } from "./nats_storage.ts";
import { STORAGE_REMEDY } from "../../contract/storage_plan.ts";

/** How often a stream that nothing bounds is tried to be bounded, while somebody publishes. */
const BOUND_AGAIN_MS = 5_000;

/** What it needs of its log. */
export interface BoundTools {
  readonly storage: NatsStorage;
  /** Milliseconds that only grow. */
  readonly monotonic: () => number;
}

/** Of one log. */
export class StreamBound {
  readonly #tools: BoundTools;
  readonly #place: LogPlace;
  /** The bound that was settled last. */
  #told_bytes: number | undefined;
  /** 0 or less: nothing bounds it. */
  #bytes = 0;
  #again_ms = 0;

  constructor(tools: BoundTools, place: LogPlace) {
    this.#tools = tools;
    this.#place = place;
  }

  get is_bounded(): boolean {
    return this.#bytes > 0;
  }

  /** Throws `log-unavailable`, and now and then has it tried to bound the stream after all. */
  refuse(stream: string, bound: () => Promise<void>): never {
    const now_ms = this.#tools.monotonic();
    if (now_ms >= this.#again_ms) {
      this.#again_ms = now_ms + BOUND_AGAIN_MS;
      bound().catch(() => {}); // The next publish tells.
    }
    const { bytes_key, max_bytes } = this.#place;
    const why = `nothing bounds the stream ${stream}, for NATS has no room to promise it ` +
      `${bytes_key} = ${max_bytes} of [durable]; ${STORAGE_REMEDY}`;
    throw new ArqonError("log-unavailable", why);
  }

  /** Takes what the leader says. */
  note({ name, max_bytes }: Pick<StreamConfig, "name" | "max_bytes">): void {
    this.#bytes = max_bytes;
    this.#tools.storage.note(name, max_bytes);
  }

  /** What a stream that was opened or changed has now; told where it is not what was asked for. */
  settle({ config }: StreamInfo): void {
    const { storage: { log } } = this.#tools;
    const { bytes_key, max_bytes: wanted_bytes, owner } = this.#place;
    this.note(config);
    const { name: stream, max_bytes } = config;
    const is_told = this.#told_bytes === max_bytes;
    this.#told_bytes = max_bytes;
    if (max_bytes === wanted_bytes || is_told) return;
    log.warn(`NATS cannot promise ${bytes_key}: a log keeps the bound that it has`, {
      ...owner,
      stream,
      bound_bytes: max_bytes > 0 ? max_bytes : "none",
      [bytes_key]: wanted_bytes,
      remedy: STORAGE_REMEDY,
    });
  }
}
