/** How the stream of a log is configured in JetStream, and what its configuration says. Pure. */
import { LOG_DEDUPLICATION_MS } from "../../contract/durable_log.ts";
import type { Retention } from "../../contract/durable_log.ts";
import type { StreamConfig } from "./nats_log_api.ts";
import type { LogPlace } from "./nats_log_place.ts";

/** Kept beyond twice the age that is asked for: clocks differ, and a late subscriber learns why. */
const AGE_SPARE_S = 120;
const NANOS = 1e9;
/**
 * In the stream's metadata: the offset up to which trims and limits that were changed may have removed
 * messages anywhere.
 */
const REMOVED = "arqon-removed";
/** While such a removal is under way: everything may be gone. */
const REMOVING = String(Number.MAX_SAFE_INTEGER);

/** Everything that a stream is made from. */
export interface StreamWish {
  readonly place: LogPlace;
  readonly retention: Retention;
  /** Copies when the retention does not say. */
  readonly replicas_default: number;
}

/** True for a stream that this engine made there. */
export function isOurs(
  { name, subjects = [] }: StreamConfig,
  { prefix, pattern }: LogPlace,
): boolean {
  return name.startsWith(prefix) && subjects.length === 1 && subjects[0] === pattern;
}

const republish = ({ pattern, republish_to }: LogPlace) => ({ src: pattern, dest: republish_to });

/** Limits as JetStream has them; -1 and 0 are "no limit" there. */
function limits({ retention, replicas_default, place }: StreamWish) {
  return {
    // One more than asked for: who missed exactly `history_size` finds his own position still there.
    max_msgs_per_subject: retention.history_size + 1,
    max_age: (2 * retention.history_ttl_seconds + AGE_SPARE_S) * NANOS,
    max_bytes: place.max_bytes,
    num_replicas: retention.replicas ?? replicas_default,
  };
}

/** The configuration of a new stream. */
export function newConfig(name: string, wish: StreamWish): StreamConfig {
  const wanted = {
    name,
    subjects: [wish.place.pattern],
    retention: "limits",
    storage: "file",
    discard: "new",
    allow_direct: true,
    duplicate_window: LOG_DEDUPLICATION_MS * 1e6,
    republish: republish(wish.place),
    ...limits(wish),
  };
  return wanted;
}

const larger = (left: number, right: number) => left <= 0 || right <= 0 ? 0 : Math.max(left, right);
const unlimited = (value: number) => value <= 0 ? -1 : value;

/**
 * `config` with at least what is wished for, exactly that with `shrink`; undefined when nothing has to
 * change. Its size in bytes is always the one wished for: a smaller one removes nothing, new messages
 * are refused.
 */
export function changedConfig(
  config: StreamConfig,
  wish: StreamWish,
  shrink: boolean,
): StreamConfig | undefined {
  const wanted = limits(wish);
  const sizes = shrink ? wanted : {
    max_msgs_per_subject: unlimited(
      larger(config.max_msgs_per_subject, wanted.max_msgs_per_subject),
    ),
    max_age: larger(config.max_age, wanted.max_age),
    max_bytes: wanted.max_bytes,
    num_replicas: Math.max(config.num_replicas, wanted.num_replicas),
  };
  const { src, dest } = republish(wish.place);
  const next = { ...config, ...sizes };
  const right = config.allow_direct === true && config.discard === "new" &&
    config.republish?.src === src && config.republish.dest === dest;
  const same = next.max_msgs_per_subject === config.max_msgs_per_subject &&
    next.max_age === config.max_age && next.max_bytes === config.max_bytes &&
    next.num_replicas === config.num_replicas;
  if (right && same) return undefined;
  return {
    ...next,
    allow_direct: true,
    discard: "new",
    republish: { src, dest },
  };
}

/** What a configuration keeps, in our terms; without a limit, the largest number there is. */
export function retentionOf(config: StreamConfig): Retention {
  const { max_msgs_per_subject, max_age, num_replicas } = config;
  return {
    history_size: max_msgs_per_subject <= 0 ? Number.MAX_SAFE_INTEGER : max_msgs_per_subject - 1,
    history_ttl_seconds: max_age <= 0
      ? Number.MAX_SAFE_INTEGER
      : Math.max(0, (max_age / NANOS - AGE_SPARE_S) / 2),
    replicas: num_replicas,
  };
}

/** The larger of each. */
export function largerRetention(left: Retention, right: Retention): Retention {
  const replicas = Math.max(left.replicas ?? 0, right.replicas ?? 0);
  return {
    history_size: Math.max(left.history_size, right.history_size),
    history_ttl_seconds: Math.max(left.history_ttl_seconds, right.history_ttl_seconds),
    replicas: replicas === 0 ? undefined : replicas,
  };
}

/** Up to which offset trims and changed limits may have removed messages of any room. */
export function removedBelow({ metadata }: StreamConfig): number {
  return Number(metadata?.[REMOVED] ?? "0");
}

/** True when a removal is under way, or was cut short. */
export function isRemoving({ metadata }: StreamConfig): boolean {
  return metadata?.[REMOVED] === REMOVING;
}

/** `config` with the mark of a removal: under way, or done up to an offset. */
export function withRemoval(config: StreamConfig, upTo: number | "under way"): StreamConfig {
  const value = upTo === "under way" ? REMOVING : String(upTo);
  return { ...config, metadata: { ...config.metadata, [REMOVED]: value } };
}
