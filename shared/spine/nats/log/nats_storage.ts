/**
 * The storage of the NATS servers as one connection sees it: how much there is, how much of it is
 * promised, and which of our streams nothing bounds. Shares are in `storage_plan.ts`; who makes a
 * stream bounds it.
 */
import type { NatsConnection } from "@nats-io/transport-deno";
import type { Logger } from "../../../logs/log.ts";
import { Leaders } from "./nats_leaders.ts";
import type { Link } from "../connection/nats_link.ts";
import { callApi, CODES, Refusal, StreamLost } from "./nats_log_api.ts";
import type { StreamInfo } from "./nats_log_api.ts";
import { isForbidden, lacksStorage } from "../connection/nats_persist.ts";
import {
  bucketShare,
  controlBudget,
  ledgerShare,
  roomyBytes,
} from "../../contract/storage_plan.ts";
import type { StorageReport } from "../../contract/spine.ts";

/** A name that no stream gets. */
const PROBE = "ARQON_STORAGE_PROBE";
const UNIT_BYTES = 65_536;
/** So many streams that nothing bounds are looked at again for one report. */
const LOOKS = 20;
/** 2^50 bytes: more than any server has. */
const UNITS_MAX = 2 ** 34;
/** Ask only how many streams of logs there are: the names from there on are none. */
const COUNT_LOGS = { subject: "log.t.>", offset: 1_000_000_000 };
const COUNT_SHARED = { subject: "log.s.>", offset: 1_000_000_000 };

interface Limits {
  readonly max_storage: number;
}

/** What JetStream says of an account. Storage is that of all copies, but for what is reserved. */
interface AccountInfo {
  readonly storage: number;
  readonly reserved_storage?: number;
  readonly limits: Limits;
  readonly tiers?: Readonly<Record<string, { readonly limits: Limits }>>;
}

/** Where the storage is asked for. */
export interface StorageSource {
  readonly connection: NatsConnection;
  readonly timeout_ms: number;
  /** `[nats] storage_bytes`. */
  readonly storage_bytes: number | undefined;
}

const isClustered = ({ connection: { info } }: StorageSource) => info?.cluster !== undefined;
/** Copies of a stream that does not say how many. */
const copies = (source: StorageSource) => isClustered(source) ? 3 : 1;

function account({ connection, timeout_ms }: StorageSource): Promise<AccountInfo> {
  return callApi(connection, "INFO", {}, timeout_ms);
}

/** The account's own limit, each message counted once; undefined: it has none. */
function accountLimit({ limits, tiers }: AccountInfo, replicas: number): number | undefined {
  const tier = tiers?.[`R${replicas}`]?.limits.max_storage;
  if (tier !== undefined) return tier < 0 ? undefined : tier;
  // Without tiers every copy counts.
  return limits.max_storage < 0 ? undefined : Math.floor(limits.max_storage / replicas);
}

/**
 * True when a stream of so many bytes would fit. Asks for one whose subjects are taken, so that none is
 * ever made: a server that runs alone looks at the storage first, and then refuses it (2.11 to 2.15).
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
    if (error instanceof Refusal && error.code === CODES.overlap) return true;
    throw error;
  }
  await callApi(connection, `STREAM.DELETE.${PROBE}`, {}, timeout_ms);
  throw new Error("NATS made a stream whose subjects are taken");
}

/** Bytes that can still be promised, to 64 KiB; undefined: nobody says. */
async function freeBytes(source: StorageSource, taken: string): Promise<number | undefined> {
  if (await fits(source, taken, UNITS_MAX)) return undefined;
  let [low, high] = [0, UNITS_MAX];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await fits(source, taken, middle)) low = middle;
    else high = middle;
  }
  return low * UNIT_BYTES;
}

/**
 * What there is in all, each message counted once; undefined: nobody says. `taken` are subjects of a
 * stream that is there. Rejects as `callApi`.
 */
export async function totalBytes(
  source: StorageSource,
  taken: string,
): Promise<number | undefined> {
  const info = await account(source);
  const limit = accountLimit(info, copies(source));
  if (source.storage_bytes !== undefined) return Math.min(source.storage_bytes, limit ?? Infinity);
  // No server of a cluster says what the others have.
  if (isClustered(source)) return limit;
  const free = await freeBytes(source, taken);
  return free === undefined ? limit : (info.reserved_storage ?? 0) + free;
}

/** What is promised and used, each message counted once, and how many logs there are. */
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

/** What the storage of one connection needs. */
export interface NatsStorageOptions {
  readonly link: Link;
  readonly control_bytes: number;
  /** Buckets and object stores that are no control data, by name: what each asks for. */
  readonly own_bytes: Readonly<Record<string, number>>;
  readonly storage_bytes: number | undefined;
  /** Makes the smallest of the buckets, unless it is there; resolves with its subjects. */
  readonly anchor: () => Promise<string>;
}

/** The storage behind one connection. */
export class NatsStorage {
  readonly log: Logger;
  /** Learns of streams that do not answer. */
  readonly leaders: Leaders;
  readonly #options: NatsStorageOptions;
  readonly #source: StorageSource;
  readonly #unbounded = new Set<string>();
  /** What bounds the buckets; logs, of which there are many, ask nobody. */
  readonly #buckets = new Map<string, number>();
  #forbidden: unknown;
  /** Resolves when the stream that was asked for last has been made. */
  #turn: Promise<void> = Promise.resolve();
  /** Measured once a connection: a server that comes back may have more, or less. */
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

  /** Takes note of what bounds a stream that is used here; 0 or less: nothing does. */
  note(stream: string, bound_bytes: number): void {
    if (bound_bytes > 0) this.#unbounded.delete(stream);
    else this.#unbounded.add(stream);
    if (stream.startsWith("KV_")) this.#buckets.set(stream, bound_bytes);
  }

  /** What bounds the stream of a bucket that is used here; undefined: nothing does. */
  boundOf(stream: string): number | undefined {
    const bound_bytes = this.#buckets.get(stream) ?? 0;
    return bound_bytes > 0 ? bound_bytes : undefined;
  }

  /** The stream is gone, or is no longer used here. */
  forget(stream: string): void {
    this.#unbounded.delete(stream);
  }

  /** The streams that are used here and that nothing bounds. */
  get unbounded(): readonly string[] {
    return [...this.#unbounded];
  }

  /**
   * Makes a stream, on a server that runs alone one after the other: of two at once it may promise the
   * same bytes to both (2.15.2). Rejects when its turn does not come in time.
   */
  async inTurn<T>(make: () => Promise<T>): Promise<T> {
    if (isClustered(this.#source)) return await make();
    const before = this.#turn;
    const { promise: turn, resolve: done } = Promise.withResolvers<void>();
    this.#turn = before.then(() => turn);
    const { promise: late, reject } = Promise.withResolvers<never>();
    const why = new Error("other tenants' logs are being made");
    const timer = setTimeout(() => reject(why), this.#source.timeout_ms);
    try {
      await Promise.race([before, late]);
      return await make();
    } finally {
      clearTimeout(timer);
      done();
    }
  }

  /** What a bucket or object store reserves. */
  async bucketBytes(bucket: string): Promise<number> {
    const own_bytes = this.#options.own_bytes[bucket];
    if (own_bytes !== undefined) return ledgerShare(own_bytes, await this.#measured());
    this.#budget ??= this.#measureBudget();
    return bucketShare(bucket, await this.#budget);
  }

  /** What a ledger reserves that asks for `wanted_bytes`. */
  async ledgerBytes(wanted_bytes: number): Promise<number> {
    return ledgerShare(wanted_bytes, await this.#measured());
  }

  /** As `Spine.storage`. Once the account has not let it ask, it asks no more. */
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

  /** Others bound streams too, and operators do. */
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

  /** A storage that has much for all is not measured any closer. */
  async #measureBudget(): Promise<number> {
    const { control_bytes, storage_bytes, anchor } = this.#options;
    const units = Math.ceil(roomyBytes(control_bytes) / UNIT_BYTES);
    if (storage_bytes === undefined && !isClustered(this.#source)) {
      const roomy = anchor().then((taken) => fits(this.#source, taken, units));
      // Who cannot be asked this way is measured below.
      if (await roomy.catch(() => false)) return control_bytes;
    }
    const total = await this.#measured();
    // Perhaps nobody answered: asked again for the next one.
    if (total === undefined) this.#budget = undefined;
    return controlBudget(control_bytes, total);
  }

  #measured(): Promise<number | undefined> {
    return this.#total ??= this.#measureTotal();
  }

  /** Without the rights to ask, or an answer, nothing is known. */
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
