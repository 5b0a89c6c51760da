/**
 * Finds, makes and changes the stream of a log. Other processes may do the same concurrently: the second one finds the
 * stream of the first.
 */
import { ArqonError } from "@arqon/proto";
import { CODES, Refusal, StreamLost } from "./nats_log_api.ts";
import type { LogApi, StreamConfig, StreamInfo } from "./nats_log_api.ts";
import { changedConfig, isOurs, isRemoving, newConfig, withRemoval } from "./nats_log_config.ts";
import type { StreamWish } from "./nats_log_config.ts";
import { agreeOnName, type NameTools, noteMade } from "./nats_log_names.ts";
import type { LogPlace } from "./nats_log_place.ts";
import { lacksStorage } from "../connection/nats_persist.ts";
import type { NatsStorage } from "./nats_storage.ts";
import type { Kept } from "../../contract/durable_log.ts";
import { STORAGE_REMEDY } from "../../contract/storage_plan.ts";

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
  const { code, message } = error;
  const { num_replicas, max_bytes } = config;
  const replicas = `replicas = ${num_replicas} of [[rooms]]: ${message}`;
  const why = lacksStorage(error)
    ? `NATS has no room to promise ${what} ${bytes_key} = ${max_bytes} of [durable] ` +
      `(${message}); ${STORAGE_REMEDY}`
    : code === CODES.noReplicas
    ? `${replicas}; set replicas = 1, or run a NATS cluster`
    : code === CODES.noPeers && num_replicas > 1
    ? `${replicas}; so many servers with JetStream must be up`
    : code === CODES.noMoreStreams
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
    const info = await api.info(name, timeout_ms).catch((error) => {
      // Deleted meanwhile.
      if (error instanceof StreamLost) return undefined;
      throw error;
    });
    if (info === undefined) continue;
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
    const raced = error instanceof Refusal &&
      (error.code === CODES.overlap || error.code === CODES.nameInUse);
    if (!raced) throw refused(error, config, place);
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
