/**
 * Finds, makes and changes the stream of a tenant's log. Another process may do the same at the same
 * time: whoever comes second finds what the first has made.
 */
import { ArqonError } from "@arqon/proto";
import type { Logger } from "../log.ts";
import { tenantLogPattern } from "../subject.ts";
import { CODES, Refusal, StreamLost } from "./nats_log_api.ts";
import type { LogApi, StreamConfig, StreamInfo } from "./nats_log_api.ts";
import { changedConfig, isOurs, isRemoving, newConfig, withRemoval } from "./nats_log_config.ts";
import type { StreamWish } from "./nats_log_config.ts";
import { agreeOnName, noteMade } from "./nats_log_names.ts";
import type { NameTools } from "./nats_log_names.ts";

/** What the functions here need beside the wish. */
export interface StreamTools {
  readonly api: LogApi;
  readonly names: NameTools;
}

/** What says that there is too little storage to reserve `max_bytes`. */
function lacksStorage(error: unknown): boolean {
  if (!(error instanceof Refusal)) return false;
  return error.code === CODES.noStorage ||
    (error.code === CODES.noPeers && /storage/i.test(error.message));
}

/** Says which of our keys asks for what the server refused. */
function refused(error: unknown, config: StreamConfig): unknown {
  if (!(error instanceof Refusal)) return error;
  const { code, message } = error;
  const { num_replicas, max_bytes } = config;
  const replicas = `replicas = ${num_replicas} of [[rooms]]: ${message}`;
  const why = code === CODES.noReplicas
    ? `${replicas}; set replicas = 1, or run a NATS cluster`
    : code === CODES.noPeers && num_replicas > 1
    ? `${replicas}; so many servers with JetStream must be up`
    : /bytes|storage|resource/i.test(message)
    ? `log_bytes = ${max_bytes} of [durable]: ${message}`
    : message;
  return new ArqonError("log-unavailable", why, { cause: error });
}

/** Runs a request with a configuration; without a size limit when the server cannot reserve it. */
async function apply(
  log: Logger,
  config: StreamConfig,
  request: (config: StreamConfig) => Promise<StreamInfo>,
): Promise<StreamInfo> {
  try {
    return await request(config);
  } catch (error) {
    if (!lacksStorage(error) || config.max_bytes <= 0) throw refused(error, config);
    const { name: stream, max_bytes: log_bytes } = config;
    const why = error instanceof Error ? error.message : "";
    log.warn("NATS cannot reserve log_bytes; the log goes without a size limit", {
      stream,
      log_bytes,
      why,
    });
  }
  const unlimited = { ...config, max_bytes: -1 };
  try {
    return await request(unlimited);
  } catch (error) {
    throw refused(error, unlimited);
  }
}

async function find(
  { api }: StreamTools,
  tenant_id: string,
  timeout_ms: number,
): Promise<StreamInfo | undefined> {
  const subject = tenantLogPattern(tenant_id);
  const ours: StreamInfo[] = [];
  for (const name of await api.names(subject, timeout_ms)) {
    const info = await api.info(name, timeout_ms).catch((error) => {
      // Deleted in between.
      if (error instanceof StreamLost) return undefined;
      throw error;
    });
    if (info === undefined) continue;
    if (!isOurs(info.config, tenant_id)) {
      const why = `the JetStream stream ${name} takes ${subject} and is not ArqonBus's`;
      throw new ArqonError("log-unavailable", `${why}; change its subjects or delete it`);
    }
    ours.push(info);
  }
  if (ours.length < 2) return ours[0];
  const names = ours.map(({ config }) => config.name).join(" and ");
  throw new ArqonError("log-unavailable", `the streams ${names} take the same; delete one of them`);
}

/** Undefined when another process has made it meanwhile. */
async function create(
  { api, names }: StreamTools,
  wish: StreamWish,
  timeout_ms: number,
): Promise<StreamInfo | undefined> {
  const { tenant_id } = wish;
  const config = newConfig(await agreeOnName(names, tenant_id), wish);
  let made: StreamInfo | undefined;
  try {
    made = await apply(api.link.log, config, (config) => api.create(config, timeout_ms));
  } catch (error) {
    const cause = error instanceof ArqonError ? error.cause : error;
    const raced = cause instanceof Refusal &&
      (cause.code === CODES.overlap || cause.code === CODES.nameInUse);
    if (!raced) throw error;
  }
  await noteMade(names, tenant_id, config.name);
  return made;
}

/** The tenant's stream as it is now, made when there is none; with at least what is wished for. */
export async function openStream(
  tools: StreamTools,
  wish: StreamWish,
  timeout_ms: number,
): Promise<StreamInfo> {
  const found = await find(tools, wish.tenant_id, timeout_ms) ??
    await create(tools, wish, timeout_ms) ?? await find(tools, wish.tenant_id, timeout_ms);
  // Made and deleted by others at once; asking again sorts it out.
  if (found === undefined) throw new Error("the stream comes and goes");
  const info = await changeStream(tools, found, wish, false, timeout_ms);
  if (!isRemoving(info.config)) return info;
  return await tools.api.update(withRemoval(info.config, info.state.last_seq), timeout_ms);
}

/** Grows the stream to the wish; with `shrink` makes it exactly that. */
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
  const update = (next: StreamConfig) => api.update(next, timeout_ms);
  const keepsAsMuch = config.max_msgs_per_subject === info.config.max_msgs_per_subject &&
    config.max_age === info.config.max_age;
  if (keepsAsMuch) {
    return await apply(api.link.log, config, update);
  }
  // What the old limits have removed can no longer be told by how full a room is, or how old.
  await apply(api.link.log, withRemoval(config, "under way"), update);
  const { config: changed, state } = await api.info(config.name, timeout_ms);
  return await api.update(withRemoval(changed, state.last_seq), timeout_ms);
}

/** Removes all but the newest `keep` messages of a subject, and leaves a mark that it did. */
export async function trimStream(
  { api }: StreamTools,
  stream: string,
  subject: string,
  keep: number,
  timeout_ms: number,
): Promise<void> {
  const { config } = await api.info(stream, timeout_ms);
  await api.update(withRemoval(config, "under way"), timeout_ms);
  await api.purge(stream, subject, keep, timeout_ms);
  const { config: marked, state } = await api.info(stream, timeout_ms);
  await api.update(withRemoval(marked, state.last_seq), timeout_ms);
}
