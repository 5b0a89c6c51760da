/**
 * Where a log lies in JetStream (its tenant's own stream, or one of a fixed number of shared ones), and how that
 * stream is found, made and changed. Other processes may do the same concurrently, so they agree on its name: a
 * standalone server (2.15.2) can create two streams with the same subjects at the same moment, and each would store
 * every message; of two with the same name it creates one.
 */
import { ArqonError } from "@arqon/proto";
import { isRefused, lacksStorage, Refusal } from "../connection/nats_errors.ts";
import { differing, messageId, warnOfAltered } from "./nats_log_api.ts";
import type { LogApi, StreamConfig, StreamInfo } from "./nats_log_api.ts";
import type { NatsStorage } from "./nats_storage.ts";
import { type Kept, LOG_DEDUPLICATION_MS, type Retention } from "../../contract/durable_log.ts";
import { STORAGE_REMEDY } from "../../contract/storage_plan.ts";
import type { Env } from "../../../env.ts";
import { changeDocument, isConflict } from "../../contract/compare_and_set.ts";
import type { KeyValue, KvEntry, KvKey } from "../../contract/spine.ts";
import {
  logSubject,
  sharedLogPattern,
  sharedLogSubject,
  sharedTenantPattern,
  tenantLogPattern,
} from "../../../subjects/subject.ts";
import type { Subject, SubjectPattern } from "../../../subjects/subject.ts";
import { samplingHash } from "../../../sampling.ts";

/** Their dependencies beside the wish. */
export interface StreamTools {
  readonly api: LogApi;
  readonly names: NameTools;
  readonly storage: Pick<NatsStorage, "inTurn">;
  /** Reserves the storage of buckets and ledgers before a log is created. */
  beforeMade(): Promise<void>;
}

/** The error with the configuration key whose value the server refused. */
function refused(error: unknown, config: StreamConfig, { what, bytes_key }: LogPlace): unknown {
  if (!(error instanceof Refusal)) return error;
  const { message } = error;
  const { num_replicas, max_bytes } = config;
  const replicas = `replicas = ${num_replicas} of [[rooms]]: ${message}`;
  const why = lacksStorage(error)
    ? `NATS has no room to promise ${what} ${bytes_key} = ${max_bytes} of [durable] ` +
      `(${message}); ${STORAGE_REMEDY}`
    : isRefused(error, "noReplicas")
    ? `${replicas}; set replicas = 1, or run a NATS cluster`
    : isRefused(error, "noPeers") && num_replicas > 1
    ? `${replicas}; so many servers with JetStream must be up`
    : isRefused(error, "noMoreStreams")
    ? `${message}: the NATS account may have no more of them, and each tenant's log is one`
    : /bytes|storage|resource/i.test(message)
    ? `${bytes_key} = ${max_bytes} of [durable]: ${message}`
    : message;
  return new ArqonError("log-unavailable", why, { cause: error });
}

/**
 * Updates a stream to `next`. If NATS cannot reserve the bytes of `next`, the stream keeps its bound; if that fails as
 * well, it stays unchanged.
 */
async function update(
  { api }: StreamTools,
  info: StreamInfo,
  next: StreamConfig,
  place: LogPlace,
  timeout_ms: number,
): Promise<StreamInfo> {
  const { max_bytes } = info.config;
  for (const config of [next, { ...next, max_bytes }]) {
    try {
      return await api.update(config, timeout_ms);
    } catch (error) {
      if (!lacksStorage(error)) throw refused(error, config, place);
    }
  }
  return info;
}

async function find(
  { api }: StreamTools,
  place: LogPlace,
  timeout_ms: number,
): Promise<StreamInfo | undefined> {
  const subject = place.pattern;
  const ours: StreamInfo[] = [];
  for (const name of await api.names(subject, timeout_ms)) {
    const info = await api.find(name, timeout_ms);
    if (info === undefined) continue; // Deleted meanwhile.
    if (!isOurs(info.config, place)) {
      const why = `the JetStream stream ${name} takes ${subject} and is not ArqonBus's`;
      throw new ArqonError("log-unavailable", `${why}; change its subjects or delete it`);
    }
    ours.push(info);
  }
  if (ours.length < 2) return ours[0];
  const names = ours.map(({ config }) => config.name).join(" and ");
  throw new ArqonError("log-unavailable", `the streams ${names} take the same; delete one of them`);
}

/** Creates the stream; undefined if another process has created it meanwhile. */
async function create(
  { api, names, storage, beforeMade }: StreamTools,
  wish: StreamWish,
  timeout_ms: number,
): Promise<StreamInfo | undefined> {
  const { place } = wish;
  await beforeMade();
  const config = newConfig(await agreeOnName(names, place), wish);
  let made: StreamInfo | undefined;
  try {
    made = await storage.inTurn(() => api.create(config, timeout_ms));
  } catch (error) {
    if (!isRefused(error, "overlap", "nameInUse")) throw refused(error, config, place);
  }
  await noteMade(names, place, config.name);
  return made;
}

/** Opens the stream, creates it if missing, and raises it to the wish. */
export async function openStream(
  tools: StreamTools,
  wish: StreamWish,
  timeout_ms: number,
): Promise<StreamInfo> {
  const found = await find(tools, wish.place, timeout_ms) ??
    await create(tools, wish, timeout_ms) ?? await find(tools, wish.place, timeout_ms);
  // Other processes create and delete it concurrently; a retry resolves it.
  if (found === undefined) throw new Error("the stream comes and goes");
  const info = await changeStream(tools, found, wish, false, timeout_ms);
  if (!isRemoving(info.config)) return info;
  return await tools.api.update(withRemoval(info.config, info.state.last_seq), timeout_ms);
}

/** Raises the stream to the wish; with `shrink` sets it exactly. */
export async function changeStream(
  tools: StreamTools,
  info: StreamInfo,
  wish: StreamWish,
  shrink: boolean,
  timeout_ms: number,
): Promise<StreamInfo> {
  const { api } = tools;
  const config = changedConfig(info.config, wish, shrink);
  if (config === undefined) return info;
  const is_relied = relied(wish.place, info.config.duplicate_window);
  warnOfAltered(api.link, config.name, differing(info.config, is_relied));
  const keepsAsMuch = config.max_msgs_per_subject === info.config.max_msgs_per_subject &&
    config.max_age === info.config.max_age;
  if (keepsAsMuch) return await update(tools, info, config, wish.place, timeout_ms);
  // After the change, a room's size or age no longer proves what the old limits removed.
  const begun = await update(tools, info, withRemoval(config, "under way"), wish.place, timeout_ms);
  if (begun === info) return info;
  const { config: changed, state } = await api.info(config.name, timeout_ms);
  return await api.update(withRemoval(changed, state.last_seq), timeout_ms);
}

/** Trims a subject, and records a mark. */
export async function trimStream(
  { api }: StreamTools,
  stream: string,
  subject: string,
  keep: Kept,
  timeout_ms: number,
): Promise<void> {
  const { config } = await api.info(stream, timeout_ms);
  await api.update(withRemoval(config, "under way"), timeout_ms);
  await api.purge(stream, subject, keep, timeout_ms);
  const { config: marked, state } = await api.info(stream, timeout_ms);
  await api.update(withRemoval(marked, state.last_seq), timeout_ms);
}

/**
 * By tenant, and by the number of a shared stream: the name of the latest stream, and whether it has been created. For
 * a tenant in a shared stream: which stream.
 */
export const LOGS_BUCKET = "ARQON_LOGS";

/** The dependencies of naming. */
export interface NameTools extends Pick<Env, "now"> {
  /** Opens `LOGS_BUCKET`. */
  bucket(): Promise<KeyValue>;
}

interface Agreed {
  readonly stream: string;
  readonly made: boolean;
}

function decode({ value }: KvEntry): Agreed | { readonly shared: string } {
  return JSON.parse(new TextDecoder().decode(value));
}

function encode(agreed: Agreed): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(agreed));
}

function newStreamName(prefix: string, now_ms: number): string {
  const suffix = Math.floor(Math.random() * 36 ** 4).toString(36).padStart(4, "0");
  return `${prefix}${now_ms.toString(36)}${suffix}`;
}

/** The name under which any process creates the missing stream. */
async function agreeOnName(
  tools: NameTools,
  { name_key, prefix }: LogPlace,
): Promise<string> {
  const bucket = await tools.bucket();
  return await changeDocument(async (mayLose) => {
    const entry = await bucket.get(name_key);
    const agreed = entry === undefined ? undefined : decode(entry);
    if (agreed !== undefined && "shared" in agreed) {
      throw new ArqonError("log-unavailable", "the tenant's log shares a stream by now");
    }
    if (agreed?.made === false) return agreed.stream;
    const stream = newStreamName(prefix, tools.now());
    const value = encode({ stream, made: false });
    await mayLose(bucket.update(name_key, value, entry?.revision ?? 0));
    return stream;
  }, { overtaken: () => new ArqonError("log-unavailable", "too many processes name its stream") });
}

/** Records that the stream has been created: if it is missing later, it was deleted. */
async function noteMade(
  tools: NameTools,
  { name_key }: LogPlace,
  stream: string,
): Promise<void> {
  const bucket = await tools.bucket();
  const entry = await bucket.get(name_key);
  if (entry === undefined) return;
  const agreed = decode(entry);
  if ("shared" in agreed || agreed.stream !== stream || agreed.made) return;
  try {
    await bucket.update(name_key, encode({ stream, made: true }), entry.revision);
  } catch (error) {
    if (!isConflict(error)) throw error; // Otherwise another process has recorded it.
  }
}

/**
 * Retention beyond twice the requested age: clocks differ, and a late subscriber can still learn why it missed
 * messages.
 */
const AGE_SPARE_S = 120;
const NANOS = 1e9;
/** Stream metadata: the offset up to which trims and changed limits may have removed messages of any room. */
const REMOVED = "arqon-removed";
/** Its value during such a removal: any message may be removed. */
const REMOVING = String(Number.MAX_SAFE_INTEGER);

/** Everything that defines a stream. */
export interface StreamWish {
  readonly place: LogPlace;
  readonly retention: Retention;
  /** Replicas if the retention has none. */
  readonly replicas_default: number;
}

/** True for a stream that this engine created at that location. */
function isOurs(
  { name, subjects = [] }: StreamConfig,
  { prefix, pattern }: LogPlace,
): boolean {
  return name.startsWith(prefix) && subjects.length === 1 && subjects[0] === pattern;
}

/** What the bus relies on: every append is confirmed, kept as it came and once for each key, and read directly. */
export const relied = (place: LogPlace, duplicate_window = 0) => ({
  retention: "limits",
  discard: "new",
  discard_new_per_subject: false,
  subject_transform: undefined,
  no_ack: false,
  allow_direct: true,
  duplicate_window: Math.max(duplicate_window, LOG_DEDUPLICATION_MS * 1e6),
  republish: { src: place.pattern, dest: place.republish_to },
});

/** Limits in JetStream's terms; there -1 and 0 are "no limit". */
function limits({ retention, replicas_default, place }: StreamWish) {
  return {
    // One more than requested: a client that missed exactly `history_size` messages still finds its position.
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
    storage: "file",
    ...relied(wish.place),
    ...limits(wish),
  };
  return wanted;
}

const larger = (left: number, right: number) => left <= 0 || right <= 0 ? 0 : Math.max(left, right);
const unlimited = (value: number) => value <= 0 ? -1 : value;

/**
 * `config` raised to the wish, or exactly the wish with `shrink`; undefined if nothing changes. The size in bytes is
 * always exact: a smaller one removes nothing, it only refuses new messages.
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
  const next = { ...config, ...sizes, ...relied(wish.place, config.duplicate_window) };
  return differing(config, next).length === 0 ? undefined : next;
}

/** The retention of a configuration; without a limit, the largest number. */
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

/** The offset up to which trims and changed limits may have removed messages of any room. */
export function removedBelow({ metadata }: StreamConfig): number {
  return Number(metadata?.[REMOVED] ?? "0");
}

/** True when a removal is under way, or was cut short. */
function isRemoving({ metadata }: StreamConfig): boolean {
  return metadata?.[REMOVED] === REMOVING;
}

/** `config` with the mark of a removal: under way, or done up to an offset. */
export function withRemoval(config: StreamConfig, upTo: number | "under way"): StreamConfig {
  const value = upTo === "under way" ? REMOVING : String(upTo);
  return { ...config, metadata: { ...config.metadata, [REMOVED]: value } };
}

/** A stream, independent of its present name. */
export interface LogPlace {
  readonly name_key: KvKey;
  readonly prefix: string;
  readonly pattern: SubjectPattern;
  /** Where it republishes stored messages. */
  readonly republish_to: string;
  /** Its bound, and the key of `[durable]` that sets it. */
  readonly max_bytes: number;
  readonly bytes_key: "log_bytes" | "shared_bytes";
  /** A description for sentences and for fields of log lines. */
  readonly what: string;
  readonly owner: { readonly tenant_id: string } | { readonly shard: string };
}

/** One tenant's part of a location. */
export interface TenantPlace {
  readonly pattern: SubjectPattern;
  /** Throws `invalid-room`. */
  subjectOf(room_id: string): Subject;
  /** The id for the server's deduplication, unique among the rooms of the stream. */
  messageIdOf(room_id: string, key: string): string;
}

/** A stream for one tenant. Throws `tenant-mismatch` for an invalid tenant. */
export function ownPlace(tenant_id: string, log_bytes: number): LogPlace {
  return {
    name_key: [tenant_id],
    prefix: `LOG_${tenant_id}_`,
    pattern: tenantLogPattern(tenant_id),
    republish_to: `in.t.${tenant_id}.r.{{wildcard(1)}}`,
    max_bytes: log_bytes,
    bytes_key: "log_bytes",
    what: "the tenant's log",
    owner: { tenant_id },
  };
}

/** A stream that tenants share. */
export function sharedPlace(shard: string, shared_bytes: number): LogPlace {
  return {
    name_key: ["shared", shard],
    prefix: `LOGS_${shard}_`,
    pattern: sharedLogPattern(shard),
    republish_to: "in.t.{{wildcard(1)}}.r.{{wildcard(2)}}",
    max_bytes: shared_bytes,
    bytes_key: "shared_bytes",
    what: "a stream that tenants share",
    owner: { shard },
  };
}

/** A tenant in a stream of its own. */
export function aloneIn(tenant_id: string): TenantPlace {
  return {
    pattern: tenantLogPattern(tenant_id),
    subjectOf: (room_id) => logSubject(tenant_id, room_id),
    messageIdOf: messageId,
  };
}

/** A tenant in a stream that it shares. */
export function sharing(shard: string, tenant_id: string): TenantPlace {
  return {
    pattern: sharedTenantPattern(shard, tenant_id),
    subjectOf: (room_id) => sharedLogSubject(shard, tenant_id, room_id),
    // No id has a slash.
    messageIdOf: (room_id, key) => messageId(`${tenant_id}/${room_id}`, key),
  };
}

/** The shared stream of a tenant, of `streams`: two digits or more. */
export function shardOf(tenant_id: string, streams: number): string {
  return String(samplingHash(tenant_id) % BigInt(streams)).padStart(2, "0");
}
