/**
 * A store of blocks on JetStream: one stream for all tenants, with a subject for each tenant and node. Each block
 * expires by its own age; the stream's size bounds all tenants together, and the writers enforce the bound of one
 * tenant. The content of a block is up to its writer.
 */
import { ArqonError } from "@arqon/proto";
import { visitAll } from "../../../containers/top.ts";
import {
  allBlocksPattern,
  blockSubject,
  parseBlockSubject,
  tenantBlocksPattern,
} from "../../../subjects/subject.ts";
import { assertSize } from "../../contract/check.ts";
import { LEDGER_BYTES_MIN, ledgerBound, STORAGE_REMEDY } from "../../contract/storage_plan.ts";
import {
  BLOCK_BYTES_MAX,
  BLOCK_OVERHEAD_BYTES,
  BLOCK_STREAMS,
} from "../../contract/block_store.ts";
import type {
  BlockAppend,
  BlockPage,
  BlockRead,
  BlockRetention,
  BlockRoom,
  BlockStatus,
  BlockStore,
  BlockStoreName,
  StoredBlock,
} from "../../contract/block_store.ts";
import { openOnce } from "../../../turns/once.ts";
import { FairQueue } from "../../../turns/fair_queue.ts";
import type { Answer } from "../connection/nats_frames.ts";
import { hasNoResponder, insist, isRefused, lacksStorage } from "../connection/nats_errors.ts";
import { StreamLost } from "../connection/nats_errors.ts";
import type { Link } from "../connection/nats_link.ts";
import { differing, fromDirect, fromStored, LogApi, warnOfAltered } from "../log/nats_log_api.ts";
import type { StreamConfig } from "../log/nats_log_api.ts";
import { askDirect } from "../log/nats_log_read.ts";
import type { Inbox } from "../log/nats_log_inbox.ts";
import { makeBounded, type NatsStorage } from "../log/nats_storage.ts";

const READ_BYTES = 4_194_304;
/** The most concurrent appends, whose bytes are few compared to those of messages, and the most that wait. */
const APPENDS = { running_max: 4, waiting_max: 1_024 };
/** On each block: the number and bytes of the blocks that its node has stored for the tenant, itself included. */
const SUMS_HEADER = "x-arqon-blocks";
/** The expected sequence of the subject's newest message; if it differs, nothing is stored. */
const EXPECTED_HEADER = "Nats-Expected-Last-Subject-Sequence";
/** A tenant's bound is checked whenever this part of it has been written here. */
const STEP = 1 / 8;
/** A tenant above its bound is trimmed to this part. */
const KEPT = 7 / 8;
/** The most nodes of a tenant whose sums are read; with more, the first represent all. */
const NODES_READ = 16;

/** The last Unix ms that a server compares: it counts nanoseconds in 64 bits, and a later time wraps to the past. */
const LAST_MS = 9_223_372_036_854;
/** Nanoseconds of a second: JetStream's unit of ages. */
const NANOS = 1e9;

/** What the bus relies on: appends are confirmed and kept as they came, and the oldest go first. */
export const KEPT_RELIED = {
  retention: "limits",
  discard: "old",
  subject_transform: undefined,
  no_ack: false,
  allow_direct: true,
  max_msgs_per_subject: -1,
} as const;

/** Entries of the audit log can be neither deleted nor purged; of the other stores each block has its own age. */
const ownSettings = (store: BlockStoreName) =>
  store === "audit" ? { deny_delete: true, deny_purge: true } : { allow_msg_ttl: true };

/** The engine's parts that a store needs. */
interface NatsBlocksOptions {
  readonly link: Link;
  readonly inbox: Inbox;
  readonly storage: NatsStorage;
}

/** What a node has ever stored for a tenant. */
interface Sums {
  blocks: number;
  bytes: number;
}

/** The stored blocks of a tenant. */
interface Stored extends Sums {
  is_cut: boolean;
  readonly whole_ms: number | undefined;
}

/** Unix ms; a stream without messages has no time. */
function timeOf(timestamp: string): number | undefined {
  const time_ms = Date.parse(timestamp);
  return time_ms > 0 ? time_ms : undefined;
}

const sumsText = ({ blocks, bytes }: Sums): string => `${blocks} ${bytes}`;

function sumsOf(headers: Readonly<Record<string, string>>): Sums | undefined {
  const found = /^(\d{1,15}) (\d{1,15})$/.exec(headers[SUMS_HEADER] ?? "");
  return found === null ? undefined : { blocks: Number(found[1]), bytes: Number(found[2]) };
}

const tooMany = () => new ArqonError("log-unavailable", "too many blocks wait");

/** A store whose stream is created and bounded when this process stores its first block. */
export class NatsBlocks implements BlockStore {
  readonly #store: BlockStoreName;
  readonly #api: LogApi;
  readonly #options: NatsBlocksOptions;
  /** Its `max_bytes` is the requested size: the storage may grant less. */
  readonly #wanted: StreamConfig;
  readonly #appends = new FairQueue(APPENDS);
  /** Rejects with `log-unavailable`; the next block tries again. */
  readonly #opened = openOnce(() => this.open());
  /** By subject: one for each tenant and node that this process has written for. */
  readonly #sums = new Map<string, Promise<Sums>>();
  /** Bytes written here since a tenant's bound was last checked. */
  readonly #unchecked = new Map<string, number>();

  constructor(options: NatsBlocksOptions, store: BlockStoreName, retention: BlockRetention) {
    const { max_age_seconds, max_bytes } = retention;
    this.#store = store;
    this.#api = new LogApi(options.link);
    this.#options = options;
    const wanted = {
      name: BLOCK_STREAMS[store],
      max_bytes,
      ...ownSettings(store),
      ...KEPT_RELIED,
      subjects: [allBlocksPattern(store)],
      storage: "file",
      max_age: max_age_seconds * NANOS,
      num_replicas: options.link.replicas,
    };
    this.#wanted = wanted;
  }

  async append(block: BlockAppend): Promise<void> {
    const { tenant_id, node_id, ttl_seconds, max_bytes } = block;
    const subject = blockSubject(this.#store, tenant_id, node_id);
    assertSize(block.payload.length, BLOCK_BYTES_MAX);
    const payload = block.payload.slice();
    await this.#appends.run(tenant_id, async () => {
      await this.#opened();
      const bytes = payload.length + BLOCK_OVERHEAD_BYTES;
      // A retry after a lost answer does not store the block twice.
      const named: Record<string, string> = { "Nats-Msg-Id": block.id ?? crypto.randomUUID() };
      if (ttl_seconds < Infinity) named["Nats-TTL"] = `${Math.max(1, Math.ceil(ttl_seconds))}s`;
      if (block.expected !== undefined) {
        named[EXPECTED_HEADER] = String(block.expected);
        // Other processes store under that name, too.
        this.#sums.delete(subject);
      }
      if (max_bytes < Infinity) {
        const sums = await this.#sumsOf(subject);
        sums.blocks++;
        sums.bytes += bytes;
        named[SUMS_HEADER] = sumsText(sums);
      }
      await this.#ask((timeout_ms) => this.#publish(subject, payload, named, timeout_ms));
      if (max_bytes === Infinity) return;
      const unchecked = (this.#unchecked.get(tenant_id) ?? Infinity) + bytes;
      this.#unchecked.set(tenant_id, unchecked);
      if (unchecked < max_bytes * STEP) return;
      this.#unchecked.set(tenant_id, 0);
      await this.#bound(tenant_id, max_bytes);
    }, tooMany);
  }

  read({ tenant_id, after, from_ms, limit }: BlockRead): Promise<BlockPage> {
    const wanted = {
      next_by_subj: tenantBlocksPattern(this.#store, tenant_id),
      batch: limit,
      max_bytes: READ_BYTES,
    };
    const question = after === undefined && from_ms !== undefined
      ? { start_time: new Date(Math.min(from_ms, LAST_MS)).toISOString(), ...wanted }
      : { seq: (after ?? 0) + 1, ...wanted };
    return this.#look(async (timeout_ms) => {
      const { link, inbox } = this.#options;
      const found = await askDirect(link, inbox, this.#name, question, timeout_ms);
      return { blocks: found.messages.map(blockOf), is_end: found.pending === 0 };
    }, { blocks: [], is_end: true });
  }

  async newest(tenant_id: string, node_id: string): Promise<StoredBlock | undefined> {
    const subject = blockSubject(this.#store, tenant_id, node_id);
    const stored = await this.#look(
      (timeout_ms) => this.#api.message(this.#name, subject, "newest", timeout_ms),
      undefined,
    );
    if (stored === undefined) return undefined;
    const { offset: cursor, time_ms, payload } = fromStored(stored);
    return { cursor, node_id, time_ms, payload };
  }

  async remove(tenant_id: string, node_id: string, below: number): Promise<void> {
    const subject = blockSubject(this.#store, tenant_id, node_id);
    await this.#look(
      (timeout_ms) => this.#api.purge(this.#name, subject, { through: below - 1 }, timeout_ms),
      undefined,
    );
  }

  tenants(): Promise<readonly string[]> {
    return this.#look(async (timeout_ms) => {
      const found = new Set<string>();
      const pattern = allBlocksPattern(this.#store);
      for await (const subjects of this.#api.subjects(this.#name, pattern, timeout_ms)) {
        await visitAll(subjects, (subject) => {
          const { tenantId } = parseBlockSubject(subject) ?? {};
          if (tenantId !== undefined) found.add(tenantId);
        });
      }
      return [...found];
    }, []);
  }

  status(tenant_id: string): Promise<BlockStatus> {
    const pattern = tenantBlocksPattern(this.#store, tenant_id);
    return this.#look(async (timeout_ms) => {
      const { blocks, bytes, is_cut, whole_ms } = await this.#stored(tenant_id, timeout_ms);
      const [first, last] = await Promise.all([
        this.#api.message(this.#name, pattern, "oldest", timeout_ms),
        this.#api.message(this.#name, pattern, "newest", timeout_ms),
      ]);
      const time = (stored: typeof first) =>
        stored === undefined ? undefined : fromStored(stored).time_ms;
      const first_ms = time(first);
      const last_ms = time(last);
      return { blocks, bytes, first_ms, last_ms, whole_ms: is_cut ? first_ms : whole_ms };
    }, { blocks: 0, bytes: 0, first_ms: undefined, last_ms: undefined, whole_ms: undefined });
  }

  aheadMs(): Promise<number> {
    return this.#look(async (timeout_ms) => {
      const { ts } = await this.#api.info(this.#name, timeout_ms);
      return Date.parse(ts) - this.#api.link.now();
    }, 0);
  }

  room(): Promise<BlockRoom> {
    return this.#look(async (timeout_ms) => {
      const { state, config } = await this.#api.info(this.#name, timeout_ms);
      const newest_ms = Date.parse(state.last_ts ?? "") || 0;
      const { bytes, last_seq: last } = state;
      return { bytes, max_bytes: config.max_bytes, newest_ms, last };
    }, { bytes: 0, max_bytes: Infinity, newest_ms: 0, last: 0 });
  }

  async purge(tenant_id: string): Promise<void> {
    const pattern = tenantBlocksPattern(this.#store, tenant_id);
    await this.#look(
      (timeout_ms) => this.#api.purge(this.#name, pattern, 0, timeout_ms),
      undefined,
    );
  }

  async #publish(
    subject: string,
    payload: Uint8Array,
    named: Readonly<Record<string, string>>,
    timeout_ms: number,
  ): Promise<void> {
    try {
      await this.#api.publish(this.#name, subject, payload, named, timeout_ms);
    } catch (error) {
      // The newest block, stored or under way, is not the expected one.
      if (isRefused(error, "wrongLast", "wrongLastInProcess")) {
        throw new ArqonError("version-conflict", `another newest block of ${subject}`);
      }
      // Without a leader, nobody answers either.
      if (!hasNoResponder(error) || await this.#api.find(this.#name, timeout_ms) !== undefined) {
        throw error;
      }
      throw new StreamLost("the stream is gone");
    }
  }

  /** The sums of this process for a subject, continued from the newest stored block. */
  #sumsOf(subject: string): Promise<Sums> {
    const known = this.#sums.get(subject);
    if (known !== undefined) return known;
    const reading = this.#ask((timeout_ms) => this.#edge(subject, "newest", timeout_ms))
      .then((edge) => edge?.sums ?? { blocks: 0, bytes: 0 });
    this.#sums.set(subject, reading);
    reading.catch(() => this.#sums.delete(subject));
    return reading;
  }

  async #edge(subject: string, which: "newest" | "oldest", timeout_ms: number) {
    const stored = await this.#api.message(this.#name, subject, which, timeout_ms);
    if (stored === undefined) return undefined;
    const { headers, payload } = fromStored(stored);
    const own_bytes = payload.length + BLOCK_OVERHEAD_BYTES;
    return { sums: sumsOf(headers) ?? { blocks: 1, bytes: own_bytes }, own_bytes };
  }

  /**
   * The tenant's blocks and their bytes, estimated from the mean block of each node. `is_cut`: some were removed.
   * `whole_ms`: since then no block of the stream was removed, except by a tenant's own bound.
   */
  async #stored(tenant_id: string, timeout_ms: number): Promise<Stored> {
    const pattern = tenantBlocksPattern(this.#store, tenant_id);
    const { state } = await this.#api.info(this.#name, timeout_ms, pattern);
    const subjects = Object.entries(state.subjects ?? {});
    const whole_ms = state.first_seq > 1 ? timeOf(state.first_ts) : undefined;
    const all = { blocks: 0, bytes: 0, is_cut: false, whole_ms };
    const read = { blocks: 0, bytes: 0 };
    for (const [at, [subject, blocks]] of subjects.entries()) {
      all.blocks += blocks;
      if (at >= NODES_READ) continue;
      const [first, last] = await Promise.all([
        this.#edge(subject, "oldest", timeout_ms),
        this.#edge(subject, "newest", timeout_ms),
      ]);
      if (first === undefined || last === undefined) continue;
      all.is_cut ||= first.sums.blocks > 1;
      const wrote_blocks = Math.max(1, last.sums.blocks - first.sums.blocks + 1);
      const between_bytes = Math.max(0, last.sums.bytes - first.sums.bytes);
      read.blocks += blocks;
      read.bytes += blocks * (first.own_bytes + between_bytes) / wrote_blocks;
    }
    if (read.blocks === 0) return all;
    return { ...all, bytes: Math.round(read.bytes * all.blocks / read.blocks) };
  }

  /** Removes the oldest blocks of a tenant above its bound. */
  async #bound(tenant_id: string, max_bytes: number): Promise<void> {
    await this.#ask(async (timeout_ms) => {
      const { blocks, bytes } = await this.#stored(tenant_id, timeout_ms);
      if (bytes <= max_bytes) return;
      const keep = Math.floor(blocks * KEPT * max_bytes / bytes);
      const pattern = tenantBlocksPattern(this.#store, tenant_id);
      await this.#api.purge(this.#name, pattern, keep, timeout_ms);
    }).catch((error: unknown) => {
      // The block is stored; the next one checks again.
      this.#unchecked.delete(tenant_id);
      this.#api.link.log.warn("a tenant's blocks could not be bounded", { tenant_id, error });
    });
  }

  /** Runs a request; a deleted stream is created again once, and its entries begin at 1. */
  async #ask<T>(ask: (timeout_ms: number) => Promise<T>): Promise<T> {
    for (let attempt = 1;; attempt++) {
      try {
        return await insist(this.#options.link, ask);
      } catch (error) {
        if (!(error instanceof StreamLost)) throw error;
        if (attempt > 1) throw new ArqonError("log-unavailable", error.message, { cause: error });
      }
      await this.open();
    }
  }

  /** Runs a request that creates no stream: without one, the answer is `absent`. */
  async #look<T>(ask: (timeout_ms: number) => Promise<T>, absent: T): Promise<T> {
    try {
      return await insist(this.#options.link, ask);
    } catch (error) {
      if (error instanceof StreamLost) return absent;
      throw error;
    }
  }

  /** Creates the stream if missing, and sets its bounds. Rejects with `log-unavailable`. */
  async open(within_ms?: number): Promise<void> {
    await insist(this.#options.link, (timeout_ms) => this.#ensure(timeout_ms), within_ms);
  }

  get #name(): string {
    return this.#wanted.name;
  }

  async #ensure(timeout_ms: number): Promise<void> {
    const { link, storage } = this.#options;
    const { name, subjects = [], max_age, max_bytes: asked_bytes } = this.#wanted;
    const share_bytes = await storage.ledgerBytes(asked_bytes);
    const found = await this.#api.find(name, timeout_ms);
    if (found === undefined) return await this.#create(share_bytes, timeout_ms);
    const { config } = found;
    if (config.subjects?.length !== 1 || config.subjects[0] !== subjects[0]) {
      const why = `the JetStream stream ${name} has other subjects than ${subjects[0]}`;
      throw new ArqonError("log-unavailable", `${why}; delete it, or rename it`);
    }
    storage.note(name, config.max_bytes);
    const max_bytes = ledgerBound(config.max_bytes, found.state.bytes, asked_bytes, share_bytes);
    const next = { ...config, ...KEPT_RELIED, max_age, max_bytes };
    const settings = differing(config, next);
    if (settings.length === 0) return;
    warnOfAltered(link, name, differing(config, KEPT_RELIED));
    // The account may lack the permission to change it, so that nobody shortens it: then it stays unchanged.
    await this.#api.update(next, timeout_ms).then(
      () => storage.note(name, max_bytes),
      (error: unknown) => {
        link.log.warn("a ledger keeps the settings that it has: they could not be changed", {
          stream: name,
          settings: settings.join(", "),
          error,
        });
      },
    );
  }

  async #create(max_bytes: number, timeout_ms: number): Promise<void> {
    const { storage } = this.#options;
    const { name, max_bytes: wanted_bytes } = this.#wanted;
    const bounds = { least_bytes: LEDGER_BYTES_MIN, wanted_bytes };
    try {
      await makeBounded(storage, this.#api, { ...this.#wanted, max_bytes }, bounds, timeout_ms);
    } catch (cause) {
      if (!lacksStorage(cause)) throw cause;
      const why =
        `NATS has no ${LEDGER_BYTES_MIN} bytes to promise the ledger ${name}; ${STORAGE_REMEDY}`;
      throw new ArqonError("log-unavailable", why, { cause });
    }
  }
}

function blockOf(answer: Answer): StoredBlock {
  const { offset, time_ms, payload } = fromDirect(answer);
  const node_id = parseBlockSubject(answer.headers["Nats-Subject"] ?? "")?.nodeId ?? "";
  return { cursor: offset, node_id, time_ms, payload };
}
