/**
 * All logs of one connection: one object a tenant and one a stream, and the notifications when a stream has moved,
 * reappeared or been lost. The logs are in `nats_log_tenant.ts` and `nats_log.ts`.
 */
import { tenantLogPattern } from "../../../subjects/subject.ts";
import { LEAST_RETENTION } from "../../contract/durable_log.ts";
import type { DurableLog, LogLimits, Retention } from "../../contract/durable_log.ts";
import { insist, lacksStorage } from "../connection/nats_errors.ts";
import type { Link } from "../connection/nats_link.ts";
import { type LogTools, StreamLog } from "./nats_log.ts";
import { LogApi } from "./nats_log_api.ts";
import { AppendLane, type ByteCount } from "./nats_log_append.ts";
import {
  DELETE_REQUESTS,
  filterOf,
  NOTED,
  noteForeign,
  PURGE_REQUESTS,
} from "./nats_log_erasures.ts";
import { EndedTails, SILENCE_MS, Silences, tellTail } from "./nats_log_lives.ts";
import {
  aloneIn,
  largerRetention,
  ownPlace,
  shardOf,
  sharedPlace,
  sharing,
} from "./nats_log_stream.ts";
import type { LogPlace, NameTools } from "./nats_log_stream.ts";
import type { Inbox } from "./nats_log_inbox.ts";
import {
  countStored,
  grantOf,
  readShared,
  shareBounds,
  TenantShare,
  writeShared,
} from "./nats_log_share.ts";
import { TenantLog } from "./nats_log_tenant.ts";
import type { GuardedStreams } from "../stores/nats_guarded.ts";
import type { NatsStorage } from "./nats_storage.ts";
import type { Wire } from "../connection/nats_wire.ts";
import { ArqonError } from "@arqon/proto";
import type { Msg } from "@nats-io/transport-deno";
import { changeDocument } from "../../contract/compare_and_set.ts";

/**
 * JetStream's advisories about streams; the last token is the stream's name. At most once: a busy server (2.15.2)
 * sometimes omits a deletion, and the next request to the log detects it.
 */
const DELETED = "$JS.EVENT.ADVISORY.STREAM.DELETED";
const ADVISORIES = ["$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED", DELETED];

/** How long a tenant without room for its log is refused without another attempt. */
const REFUSED_MS = 2_000;
/** The most refusals that are remembered. */
const REFUSALS = 1_000;

/** The engine's parts that the logs need. */
interface LogsOptions {
  readonly link: Link;
  readonly wire: Wire;
  readonly inbox: Inbox;
  readonly guarded: GuardedStreams;
  readonly bytes: ByteCount;
  readonly limits: LogLimits;
  readonly names: NameTools;
  readonly storage: NatsStorage;
  /** As in `StreamTools`. */
  readonly beforeMade: () => Promise<void>;
}

interface OpenStream {
  readonly log: StreamLog;
  readonly opened: Promise<void>;
  readonly tenants: Set<TenantLog>;
}

/** The open logs of this process: one for each tenant with durable rooms. */
export class NatsLogs {
  readonly #link: Link;
  readonly #lane: AppendLane;
  readonly #tools: PlacingTools;
  readonly #tenants = new Map<string, Promise<TenantLog>>();
  /** By the prefix of their names. */
  readonly #streams = new Map<string, OpenStream>();
  /** Tenants without room for their log: otherwise each publish would retry. */
  readonly #refusals = new Map<string, { readonly error: unknown; readonly until_ms: number }>();
  #listening = false;
  /** Patterns of requests that this process may not observe. */
  readonly #deaf = new Set<string>();

  constructor(options: LogsOptions) {
    const { link, guarded } = options;
    this.#link = link;
    this.#lane = new AppendLane(options);
    // Also before the first log: a bucket may be opened earlier.
    guarded.onDeaf = (requests, error) => this.#deafen(requests, error);
    link.onAccepted = (subjects) => this.#accept(subjects);
    this.#tools = {
      ...options,
      api: new LogApi(link),
      lane: this.#lane,
      silences: new Silences(SILENCE_MS),
      tails: new EndedTails(link),
      seesPurges: () => this.#deaf.size === 0,
      onAnotherStream: (log) => this.#tell(log),
      openShared: (shard, retention) => this.#openShared(shard, retention),
    };
  }

  /** As `Spine.log`. One opening at a time for a tenant; the next call retries a failed one. */
  async open(tenant_id: string, retention: Retention): Promise<DurableLog> {
    this.#link.assertConnected();
    tenantLogPattern(tenant_id); // Throws for an invalid tenant.
    this.#listen();
    const known = this.#tenants.get(tenant_id);
    if (known !== undefined) {
      const log = await known;
      await log.retain(retention);
      return log;
    }
    this.#throwRefusal(tenant_id);
    const opening = this.#open(tenant_id, retention);
    this.#tenants.set(tenant_id, opening);
    try {
      return await opening;
    } catch (error) {
      this.#tenants.delete(tenant_id);
      this.#noteRefusal(tenant_id, error);
      throw error;
    }
  }

  async existing(tenant_id: string): Promise<DurableLog | undefined> {
    this.#link.assertConnected();
    if (!this.#tenants.has(tenant_id) && await storedPlace(this.#tools, tenant_id) === undefined) {
      return undefined;
    }
    return await this.open(tenant_id, LEAST_RETENTION);
  }

  async #open(tenant_id: string, retention: Retention): Promise<TenantLog> {
    const placing = await placeOf(this.#tools, tenant_id, retention);
    const { shard } = placing;
    if (shard === undefined) {
      const { log_bytes } = this.#tools.limits;
      const stream = await this.#openStream(ownPlace(tenant_id, log_bytes), retention);
      const log = new TenantLog(this.#tools, tenant_id, stream.log, aloneIn(tenant_id), undefined);
      stream.tenants.add(log);
      return log;
    }
    const place = sharing(shard, tenant_id);
    const share = new TenantShare(this.#tools, tenant_id, shard, placing.granted);
    await this.#openShared(shard, retention);
    const stream = this.#streams.get(sharedPlace(shard, 0).prefix) as OpenStream;
    const log = new TenantLog(this.#tools, tenant_id, stream.log, place, share);
    stream.tenants.add(log);
    share.tell(retention);
    return log;
  }

  async #openShared(shard: string, retention: Retention): Promise<StreamLog> {
    const place = sharedPlace(shard, this.#tools.limits.shared_bytes);
    const { common = retention } = retention;
    const { log } = await this.#openStream(place, common);
    if (!log.covers(common)) await log.retain(common);
    return log;
  }

  async #openStream(place: LogPlace, retention: Retention): Promise<OpenStream> {
    const { prefix } = place;
    const known = this.#streams.get(prefix);
    if (known !== undefined) {
      await known.opened;
      return known;
    }
    const log = new StreamLog(this.#tools, place, retention);
    const stream: OpenStream = { log, opened: log.open(), tenants: new Set() };
    this.#streams.set(prefix, stream);
    try {
      await stream.opened;
      return stream;
    } catch (error) {
      this.#streams.delete(prefix);
      throw error;
    }
  }

  #throwRefusal(tenant_id: string): void {
    const refusal = this.#refusals.get(tenant_id);
    if (refusal === undefined) return;
    if (this.#link.monotonic() < refusal.until_ms) throw refusal.error;
    this.#refusals.delete(tenant_id);
  }

  #noteRefusal(tenant_id: string, error: unknown): void {
    if (!(error instanceof Error) || !lacksStorage(error.cause)) return;
    if (this.#refusals.size >= REFUSALS) this.#refusals.clear();
    this.#refusals.set(tenant_id, { error, until_ms: this.#link.monotonic() + REFUSED_MS });
  }

  /**
   * Called when the connection is lost: appends under way have an unknown outcome, and the streams must be compared
   * again.
   */
  cut(): void {
    for (const { log } of this.#streams.values()) log.doubt();
    this.#tools.tails.cut();
    this.#lane.stop();
  }

  /** Resolves when no append is under way, and the tails of the logs are published. */
  async end(): Promise<void> {
    await this.#lane.idle();
    for (const { log } of this.#streams.values()) {
      if (log.tail !== undefined) tellTail(this.#link, log.stream_name, log.tail);
    }
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    const { log } = this.#link;
    for (const advisory of ADVISORIES) {
      const ended = (error: Error) => log.error("NATS ended a subscription", { advisory, error });
      this.#observe(advisory, ended, (of) => {
        // An older copy may be restored under the same name.
        if (advisory === DELETED) of.doubt();
        this.#tell(of);
      });
    }
    this.#tools.guarded.listen();
    const deafen = (error: Error) => this.#deafen(`${PURGE_REQUESTS}.*`, error);
    this.#observe(PURGE_REQUESTS, deafen, (of, { data }) => of.purged(filterOf(data)));
    const warn = (error: unknown) => {
      const remedy = `let its user subscribe to ${DELETE_REQUESTS}.*; remove no message with nats`;
      log.warn("does not hear of single messages that others remove", { remedy, error });
    };
    // Every process that observes another client's erasure records the hole.
    this.#observe(DELETE_REQUESTS, warn, ({ stream_name }, { data, headers }) => {
      if (headers?.has(NOTED)) return;
      noteForeign(this.#tools.names, stream_name, data).catch(warn);
    });
    this.#link.onReconnect(() => void this.#back());
  }

  /** Takes the messages below that subject, whose last token is the stream of one of the logs. */
  #observe(
    below: string,
    onError: (error: Error) => void,
    take: (log: StreamLog, message: Msg) => void,
  ): void {
    this.#link.connection.subscribe(`${below}.*`, {
      callback: (error, message) => {
        if (error) return onError(error);
        const stream = message.subject.slice(below.length + 1);
        for (const { log } of this.#streams.values()) {
          if (log.stream_name === stream) take(log, message);
        }
      },
    });
  }

  /** Called when purges can no longer be observed. */
  #deafen(requests: string, error: Error): void {
    this.#deaf.add(requests);
    const remedy = `let its user subscribe to ${requests}`;
    this.#link.log.warn(
      "does not hear of purges and changed settings of its streams, and recovers less",
      { remedy, error },
    );
    for (const { log } of this.#streams.values()) log.purged(undefined);
  }

  /** As `Link.onAccepted`: from now on purges are observed again. */
  #accept(subjects: readonly (string | undefined)[]): void {
    const missed = subjects.filter((one) => one === undefined || this.#deaf.delete(one));
    if (missed.length === 0 || this.#deaf.size > 0) return;
    for (const { log } of this.#streams.values()) {
      // If it cannot be asked, it is compared when it can.
      log.observe().catch(() => {});
    }
  }

  /** Compares the logs only once the server has the subscriptions again. */
  async #back(): Promise<void> {
    try {
      await this.#link.guard(this.#link.connection.flush());
    } catch {
      return; // Lost again: the next reconnect compares them.
    }
    for (const { log } of this.#streams.values()) this.#tell(log);
  }

  #tell({ place: { prefix } }: StreamLog): void {
    for (const { tenant_id } of this.#streams.get(prefix)?.tenants ?? []) {
      this.#link.listeners.emit({ type: "log", tenant_id });
    }
  }
}

/** The placement of a tenant's log. */
type Placing =
  | { readonly shard: undefined }
  /** `granted`: bytes that this process may already store there. */
  | { readonly shard: string; readonly granted: number };

/** True if the classes for all tenants have at least this tenant's retention. Pure. */
function mayShare({ common, ...own }: Retention, { shared_streams }: LogLimits): boolean {
  if (common === undefined || shared_streams === 0) return false;
  const most = largerRetention(common, own);
  return most.history_size === common.history_size &&
    most.history_ttl_seconds === common.history_ttl_seconds && own.replicas === common.replicas;
}

/** The dependencies of placement beside the tools: the shared streams. */
interface PlacingTools extends LogTools {
  openShared(shard: string, retention: Retention): Promise<StreamLog>;
}

/** Where the tenant's log is stored; undefined: it is not. */
async function storedPlace(
  { api, link, names }: PlacingTools,
  tenant_id: string,
): Promise<Placing | undefined> {
  const pattern = tenantLogPattern(tenant_id);
  const own = await insist(link, (timeout_ms) => api.names(pattern, timeout_ms));
  if (own.length > 0) return { shard: undefined };
  const entry = await (await names.bucket()).get([tenant_id]);
  const shared = entry && readShared(entry);
  return shared && { shard: shared.shared, granted: 0 };
}

/** Decides the placement of the tenant's log. Rejects as opening a log does. */
async function placeOf(
  tools: PlacingTools,
  tenant_id: string,
  retention: Retention,
): Promise<Placing> {
  const { limits, names } = tools;
  const stored = await storedPlace(tools, tenant_id);
  if (stored !== undefined) return stored;
  return await changeDocument<Placing>(async (mayLose) => {
    const bucket = await names.bucket();
    const entry = await bucket.get([tenant_id]);
    const shared = entry && readShared(entry);
    if (shared !== undefined) return { shard: shared.shared, granted: 0 };
    // It had its own stream, which was deleted or is being created.
    if (entry !== undefined || !mayShare(retention, limits)) return { shard: undefined };
    const shard = shardOf(tenant_id, limits.shared_streams);
    const log = await tools.openShared(shard, retention);
    // Zero, unless the bucket was lost, or is older than the stream.
    const held = await log.ask((reading) =>
      countStored(reading, sharing(shard, tenant_id).pattern)
    );
    const granted = grantOf(held.bytes, 0, shareBounds(limits), false);
    const made = writeShared({ shared: shard, held: held.bytes + granted });
    await mayLose(bucket.update([tenant_id], made, 0));
    return { shard, granted };
  }, {
    overtaken: () =>
      new ArqonError("log-unavailable", "too many processes decide where its log lies"),
  });
}
