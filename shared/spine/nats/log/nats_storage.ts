/**
 * The storage of the NATS servers as one connection sees it: its size, the promised bytes, our unbounded streams, and
 * streams without a leader. Buckets and object stores get their share of it, so that no tenant's log can use up their
 * room. Shares are in `storage_plan.ts`; the bounds of tenants' logs in `nats_log_stream.ts`.
 */
import type { NatsConnection } from "@nats-io/transport-deno";
import type { Logger } from "../../../logs/log.ts";
import {
  isForbidden,
  isRefused,
  lacksStorage,
  Refusal,
  StreamLost,
} from "../connection/nats_errors.ts";
import type { Link } from "../connection/nats_link.ts";
import { callApi, differing, warnOfAltered } from "./nats_log_api.ts";
import type { LogApi, StreamConfig, StreamInfo } from "./nats_log_api.ts";
import {
  BUCKET_BYTES_MIN,
  bucketBound,
  bucketShare,
  controlBudget,
  ledgerShare,
  roomyBytes,
  smaller,
  STORAGE_REMEDY,
} from "../../contract/storage_plan.ts";
import type { StorageReport } from "../../contract/spine.ts";
import { within } from "../../../within.ts";
import { ArqonError } from "@arqon/proto";

/** A name that no stream gets. */
const PROBE = "ARQON_STORAGE_PROBE";
const UNIT_BYTES = 65_536;
/** The most unbounded streams that are checked again for one report. */
const LOOKS = 20;
/** 2^50 bytes: more than any server has. */
const UNITS_MAX = 2 ** 34;
/** Requests only the number of log streams: no name has such a high offset. */
const COUNT_LOGS = { subject: "log.t.>", offset: 1_000_000_000 };
const COUNT_SHARED = { subject: "log.s.>", offset: 1_000_000_000 };

interface Limits {
  readonly max_storage: number;
}

/** JetStream's account info. Storage counts all replicas, reserved bytes count once. */
interface AccountInfo {
  readonly storage: number;
  readonly reserved_storage?: number;
  readonly limits: Limits;
  readonly tiers?: Readonly<Record<string, { readonly limits: Limits }>>;
}

interface StorageSource {
  readonly connection: NatsConnection;
  readonly timeout_ms: number;
  /** `[nats] storage_bytes`. */
  readonly storage_bytes: number | undefined;
}

const isClustered = ({ connection: { info } }: StorageSource) => info?.cluster !== undefined;
/** The default number of replicas. */
const copies = (source: StorageSource) => isClustered(source) ? 3 : 1;

function account({ connection, timeout_ms }: StorageSource): Promise<AccountInfo> {
  return callApi(connection, "INFO", {}, timeout_ms);
}

/** The account's limit, each message counted once; undefined: none. */
function accountLimit({ limits, tiers }: AccountInfo, replicas: number): number | undefined {
  const tier = tiers?.[`R${replicas}`]?.limits.max_storage;
  if (tier !== undefined) return tier < 0 ? undefined : tier;
  // Without tiers every replica counts.
  return limits.max_storage < 0 ? undefined : Math.floor(limits.max_storage / replicas);
}

/**
 * True if a stream of this size would fit. Requests one with subjects that are already in use, so that it is never
 * created: a standalone server (2.11 to 2.15) checks the storage first, and then refuses it.
 */
async function fits({ connection, timeout_ms }: StorageSource, taken: string, units: number) {
  const config = {
    name: PROBE,
    subjects: [taken],
    retention: "limits",
    storage: "file",
    discard: "new",
    max_bytes: units * UNIT_BYTES,
    num_replicas: 1,
  };
  try {
    await callApi(connection, `STREAM.CREATE.${PROBE}`, config, timeout_ms);
  } catch (error) {
    if (lacksStorage(error)) return false;
    if (isRefused(error, "overlap")) return true;
    throw error;
  }
  await callApi(connection, `STREAM.DELETE.${PROBE}`, {}, timeout_ms);
  throw new Error("NATS made a stream whose subjects are taken");
}

/** Bytes that can still be reserved, to 64 KiB; undefined: unknown. */
async function freeBytes(source: StorageSource, taken: string): Promise<number | undefined> {
  if (await fits(source, taken, UNITS_MAX)) return undefined;
  let low = 0;
  let high = UNITS_MAX;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await fits(source, taken, middle)) low = middle;
    else high = middle;
  }
  return low * UNIT_BYTES;
}

/**
 * The total storage, each message counted once; undefined: unknown. `taken` are subjects of an existing stream. Rejects
 * as `callApi`.
 */
export async function totalBytes(
  source: StorageSource,
  taken: string,
): Promise<number | undefined> {
  const info = await account(source);
  const limit = accountLimit(info, copies(source));
  if (source.storage_bytes !== undefined) return Math.min(source.storage_bytes, limit ?? Infinity);
  // No server of a cluster reports the storage of the others.
  if (isClustered(source)) return limit;
  const free = await freeBytes(source, taken);
  return free === undefined ? limit : (info.reserved_storage ?? 0) + free;
}

/** The promised and used bytes, each message counted once, and the number of logs. */
export async function readUsage(
  source: StorageSource,
): Promise<Omit<StorageReport, "limit_bytes" | "unbounded">> {
  const { connection, timeout_ms } = source;
  const count = (question: unknown) =>
    callApi<{ total?: number }>(connection, "STREAM.NAMES", question, timeout_ms);
  const [info, { total: logs = 0 }, { total: shared_streams = 0 }] = await Promise.all([
    account(source),
    count(COUNT_LOGS),
    count(COUNT_SHARED),
  ]);
  return {
    used_bytes: Math.round(info.storage / copies(source)),
    promised_bytes: info.reserved_storage ?? 0,
    logs,
    shared_streams,
  };
}

interface NatsStorageOptions {
  readonly link: Link;
  readonly control_bytes: number;
  /** Requested bytes of the buckets and object stores that are not control data, by name. */
  readonly own_bytes: Readonly<Record<string, number>>;
  readonly storage_bytes: number | undefined;
  /** Creates the smallest bucket if missing; resolves with its subjects. */
  readonly anchor: () => Promise<string>;
}

/** The storage behind one connection. */
export class NatsStorage {
  readonly log: Logger;
  /** Tracks streams that do not answer. */
  readonly leaders: Leaders;
  readonly #options: NatsStorageOptions;
  readonly #source: StorageSource;
  readonly #unbounded = new Set<string>();
  /** The bounds of the buckets; logs, which are many, do not use it. */
  readonly #buckets = new Map<string, number>();
  #forbidden: unknown;
  /** Resolves when the last requested stream has been created. */
  #turn: Promise<void> = Promise.resolve();
  /** Measured once a connection: after a reconnect the server's storage may differ. */
  #budget: Promise<number> | undefined;
  #total: Promise<number | undefined> | undefined;

  constructor(options: NatsStorageOptions) {
    const { link, storage_bytes } = options;
    const { connection, request_timeout_ms: timeout_ms } = link;
    this.log = link.log;
    this.leaders = new Leaders(link);
    this.#options = options;
    this.#source = { connection, timeout_ms, storage_bytes };
    link.onReconnect(() => {
      this.#budget = undefined;
      this.#total = undefined;
    });
  }

  /** Records the bound of a stream that is used here; 0 or less: none. */
  note(stream: string, bound_bytes: number): void {
    if (bound_bytes > 0) this.#unbounded.delete(stream);
    else this.#unbounded.add(stream);
    if (stream.startsWith("KV_")) this.#buckets.set(stream, bound_bytes);
  }

  boundOf(stream: string): number | undefined {
    const bound_bytes = this.#buckets.get(stream) ?? 0;
    return bound_bytes > 0 ? bound_bytes : undefined;
  }

  /** Called when the stream was deleted, or is no longer used here. */
  forget(stream: string): void {
    this.#unbounded.delete(stream);
  }

  /** The unbounded streams that are used here. */
  get unbounded(): readonly string[] {
    return [...this.#unbounded];
  }

  /**
   * Creates a stream; on a standalone server one after the other, because it (2.15.2) may reserve the same bytes for
   * two concurrent ones. Rejects if its turn does not come in time.
   */
  async inTurn<T>(make: () => Promise<T>): Promise<T> {
    if (isClustered(this.#source)) return await make();
    const before = this.#turn;
    const { promise: turn, resolve: done } = Promise.withResolvers<void>();
    this.#turn = before.then(() => turn);
    try {
      await within(this.#source.timeout_ms, before, () => {
        throw new Error("other tenants' logs are being made");
      });
      return await make();
    } finally {
      done();
    }
  }

  /** The bytes that a bucket or object store reserves. */
  async bucketBytes(bucket: string): Promise<number> {
    const own_bytes = this.#options.own_bytes[bucket];
    if (own_bytes !== undefined) return ledgerShare(own_bytes, await this.#measured());
    this.#budget ??= this.#measureBudget();
    return bucketShare(bucket, await this.#budget);
  }

  /** The bytes that a ledger reserves if it requests `wanted_bytes`. */
  async ledgerBytes(wanted_bytes: number): Promise<number> {
    return ledgerShare(wanted_bytes, await this.#measured());
  }

  /** As `Spine.storage`. If the account does not permit the query, it is not repeated. */
  async report(): Promise<StorageReport> {
    if (this.#forbidden !== undefined) throw this.#forbidden;
    try {
      const [usage, limit_bytes] = await Promise.all([
        readUsage(this.#source),
        this.#measured(),
        this.#lookAgain(),
      ]);
      return { ...usage, limit_bytes, unbounded: this.unbounded };
    } catch (error) {
      if (isForbidden(error)) this.#forbidden = error;
      throw error;
    }
  }

  /** Checks unbounded streams again: other processes and operators bound streams, too. */
  async #lookAgain(): Promise<void> {
    const { connection, timeout_ms } = this.#source;
    for (const stream of this.unbounded.slice(0, LOOKS)) {
      try {
        const info = await callApi<StreamInfo>(connection, `STREAM.INFO.${stream}`, {}, timeout_ms);
        this.note(stream, info.config.max_bytes);
      } catch (error) {
        if (!(error instanceof StreamLost)) throw error;
        this.forget(stream);
      }
    }
  }

  /** A storage with ample space is not measured more precisely. */
  async #measureBudget(): Promise<number> {
    const { control_bytes, storage_bytes, anchor } = this.#options;
    const units = Math.ceil(roomyBytes(control_bytes) / UNIT_BYTES);
    if (storage_bytes === undefined && !isClustered(this.#source)) {
      const roomy = anchor().then((taken) => fits(this.#source, taken, units));
      // A server without this query is measured below.
      if (await roomy.catch(() => false)) return control_bytes;
    }
    const total = await this.#measured();
    // Perhaps there was no answer: the next call asks again.
    if (total === undefined) this.#budget = undefined;
    return controlBudget(control_bytes, total);
  }

  #measured(): Promise<number | undefined> {
    return this.#total ??= this.#measureTotal();
  }

  /** The total bytes; undefined without permission or an answer. */
  async #measureTotal(): Promise<number | undefined> {
    try {
      return await totalBytes(this.#source, await this.#options.anchor());
    } catch (error) {
      this.log.info("NATS does not say how much storage there is", { error });
      if (!isForbidden(error)) this.#total = undefined;
      return undefined;
    }
  }
}

interface Led {
  readonly cluster?: { readonly leader?: string };
}

/** The most streams named in one error text; the rest are counted. */
const NAMED_MAX = 5;

/** Why a stream does not answer; undefined: it does, or it was deleted, which others detect. */
async function silenceOf(link: Link, stream: string): Promise<string | undefined> {
  const timeout_ms = link.request_timeout_ms / 2;
  try {
    const { cluster } = await callApi<Led>(
      link.connection,
      `STREAM.INFO.${stream}`,
      {},
      timeout_ms,
    );
    // A replica that knows no leader may answer.
    return cluster === undefined || (cluster.leader ?? "") !== "" ? undefined : "it has no leader";
  } catch (error) {
    if (error instanceof StreamLost) return undefined;
    if (!(error instanceof Refusal)) return "its leader does not answer";
    const codes = ["temporarilyUnavailable", "notLeader", "offline", "offlineBecause"] as const;
    return isRefused(error, ...codes) ? "it has no leader" : undefined;
  }
}

/** The streams in doubt of one connection, at most as many as it has opened. */
class Leaders {
  readonly #link: Link;
  readonly #doubted = new Set<string>();

  constructor(link: Link) {
    this.#link = link;
  }

  /** Records that a request to the stream had no answer, for any reason. */
  doubt(stream: string): void {
    this.#doubted.add(stream);
  }

  /**
   * Checks all streams in doubt. Rejects with `spine-unavailable`, naming those without an answer; they stay in doubt.
   */
  async prove(): Promise<void> {
    const found = await Promise.all([...this.#doubted].map(async (stream) => {
      const why = await silenceOf(this.#link, stream);
      if (why === undefined) this.#doubted.delete(stream);
      return why === undefined ? [] : [`${stream} (${why})`];
    }));
    const silent = found.flat();
    if (silent.length === 0) return;
    const more = silent.length > NAMED_MAX ? `, and ${silent.length - NAMED_MAX} more` : "";
    const named = silent.slice(0, NAMED_MAX).join(", ");
    throw new ArqonError("spine-unavailable", `nobody answers in NATS for ${named}${more}`);
  }
}

/** The bucket or store of a stream named `KV_NAME` or `OBJ_NAME`. */
const bucketOf = (stream: string): string => stream.replace(/^[A-Z]+_/, "");

function tellShort(
  storage: NatsStorage,
  stream: string,
  bound_bytes: number,
  wanted_bytes: number,
): void {
  storage.log.warn("NATS has too little room to promise a stream what it should keep", {
    stream,
    bound_bytes: bound_bytes > 0 ? bound_bytes : "none",
    wanted_bytes,
    remedy: STORAGE_REMEDY,
  });
}

/**
 * Creates a stream with a bound: `config.max_bytes`, or a smaller one if there is no room, at least `least_bytes`. Logs
 * a bound that is not `wanted_bytes`.
 */
export async function makeBounded(
  storage: NatsStorage,
  api: LogApi,
  config: StreamConfig,
  { least_bytes, wanted_bytes }: { readonly least_bytes: number; readonly wanted_bytes: number },
  timeout_ms: number,
): Promise<void> {
  const { name } = config;
  let { max_bytes } = config;
  for (;; max_bytes = Math.max(least_bytes, smaller(max_bytes))) {
    try {
      const bounded = { ...config, max_bytes };
      await storage.inTurn(() => api.create(bounded, timeout_ms));
      break;
    } catch (error) {
      // Another process was faster, with its own bound.
      if (isRefused(error, "nameInUse")) break;
      if (!lacksStorage(error) || max_bytes <= least_bytes) throw error;
    }
  }
  storage.note(name, max_bytes);
  if (max_bytes !== wanted_bytes) tellShort(storage, name, max_bytes, wanted_bytes);
}

/** Creates the stream of a bucket or object store, bounded by its share. */
export async function makeShared(
  storage: NatsStorage,
  api: LogApi,
  config: Omit<StreamConfig, "max_bytes">,
  timeout_ms: number,
): Promise<void> {
  const wanted_bytes = await storage.bucketBytes(bucketOf(config.name));
  const bounds = { least_bytes: BUCKET_BYTES_MIN, wanted_bytes };
  await makeBounded(storage, api, { ...config, max_bytes: wanted_bytes }, bounds, timeout_ms);
}

/**
 * Sets the bound of such a stream, and what the bus relies on. If there is no room for the new bound, a bounded stream
 * keeps its own, and an unbounded one gets the largest that fits.
 */
export async function boundStream(
  storage: NatsStorage,
  api: LogApi,
  { config, state }: StreamInfo,
  relied: object,
  timeout_ms: number,
): Promise<void> {
  const { name: stream, max_bytes } = config;
  storage.note(stream, max_bytes);
  const altered = differing(config, relied);
  warnOfAltered(api.link, stream, altered);
  const share_bytes = await storage.bucketBytes(bucketOf(stream));
  const wanted_bytes = bucketBound(max_bytes, state.bytes, share_bytes);
  const least_bytes = max_bytes > 0 ? wanted_bytes : Math.max(BUCKET_BYTES_MIN, 2 * state.bytes);
  let bound_bytes = wanted_bytes;
  while (bound_bytes !== max_bytes || altered.length > 0) {
    try {
      await api.update({ ...config, ...relied, max_bytes: bound_bytes }, timeout_ms);
      storage.note(stream, bound_bytes);
      break;
    } catch (error) {
      // A process with the permission will bound it.
      if (isForbidden(error) && altered.length === 0) return;
      if (!lacksStorage(error) || bound_bytes === max_bytes) throw error;
      const is_least = bound_bytes <= least_bytes;
      bound_bytes = is_least ? max_bytes : Math.max(least_bytes, smaller(bound_bytes));
    }
  }
  if (bound_bytes !== wanted_bytes) tellShort(storage, stream, bound_bytes, wanted_bytes);
}
