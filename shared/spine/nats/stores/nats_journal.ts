/**
 * The journal on JetStream: one stream for all tenants, with a subject for each tenant and node. Each
 * block goes by its own age; the stream's size bounds all tenants together, and what bounds one tenant is
 * kept here, by who writes for it. What a block says is its writer's.
 */
import { headers as natsHeaders } from "@nats-io/transport-deno";
import {
  ALL_JOURNAL,
  journalSubject,
  parseJournalSubject,
  tenantJournalPattern,
} from "../../../subjects/subject.ts";
import { assertSize } from "../../contract/check.ts";
import {
  JOURNAL_BLOCK_BYTES_MAX,
  JOURNAL_BLOCK_OVERHEAD_BYTES,
  JOURNAL_STREAM,
} from "../../contract/journal_store.ts";
import type {
  JournalAppend,
  JournalBlock,
  JournalPage,
  JournalRead,
  JournalRetention,
  JournalStatus,
  JournalStore,
} from "../../contract/journal_store.ts";
import type { Answer, PubAck } from "../connection/nats_answer.ts";
import { Refusal } from "../log/nats_log_api.ts";
import { askDirect } from "../log/nats_log_direct.ts";
import type { Inbox } from "../log/nats_log_inbox.ts";
import { fromDirect, fromStored } from "../log/nats_log_message.ts";
import { KeptStream, NANOS } from "./nats_kept_stream.ts";
import type { KeptStreamOptions } from "./nats_kept_stream.ts";

/** Bytes of one page. */
const READ_BYTES = 4_194_304;
/** Appends under way at a time; their bytes are few beside those of messages. */
const UNDER_WAY_MAX = 4;
/** On each block: how many its node has stored for the tenant with it, and their bytes. */
const SUMS_HEADER = "x-arqon-journal";
/** A tenant's bound is looked at whenever this part of it has been written here. */
const STEP = 1 / 8;
/** And a tenant that is over is brought down to this part. */
const KEPT = 7 / 8;
/** Nodes of a tenant whose sums are read; of more the first stand for all. */
const NODES_READ = 16;

/** What the journal needs of its engine. */
export interface NatsJournalOptions extends KeptStreamOptions {
  readonly inbox: Inbox;
}

/** How much a node has ever stored for a tenant. */
interface Sums {
  blocks: number;
  bytes: number;
}

const sumsText = ({ blocks, bytes }: Sums): string => `${blocks} ${bytes}`;

function sumsOf(headers: Readonly<Record<string, string>>): Sums | undefined {
  const found = /^(\d{1,15}) (\d{1,15})$/.exec(headers[SUMS_HEADER] ?? "");
  return found === null ? undefined : { blocks: Number(found[1]), bytes: Number(found[2]) };
}

function configOf(retention: JournalRetention, replicas: number) {
  return {
    name: JOURNAL_STREAM,
    subjects: [ALL_JOURNAL],
    retention: "limits",
    storage: "file",
    discard: "old",
    allow_direct: true,
    allow_msg_ttl: true,
    max_msgs_per_subject: -1,
    max_age: retention.max_age_seconds * NANOS,
    max_bytes: retention.max_bytes,
    num_replicas: replicas,
  };
}

/** So many at once; the others wait in line. */
class Gate {
  #free = UNDER_WAY_MAX;
  readonly #waiting: (() => void)[] = [];

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

class NatsJournal implements JournalStore {
  readonly #options: NatsJournalOptions;
  readonly #stream: KeptStream;
  readonly #gate = new Gate();
  #opening: Promise<void> | undefined;
  /** By subject; as many as this process has written for. */
  readonly #sums = new Map<string, Promise<Sums>>();
  /** Bytes that were written here since a tenant's bound was looked at. */
  readonly #unchecked = new Map<string, number>();

  constructor(options: NatsJournalOptions, stream: KeptStream) {
    this.#options = options;
    this.#stream = stream;
  }

  async append(block: JournalAppend): Promise<void> {
    const { tenant_id, node_id, max_bytes } = block;
    const subject = journalSubject(tenant_id, node_id);
    assertSize(block.payload.length, JOURNAL_BLOCK_BYTES_MAX);
    const payload = block.payload.slice();
    await this.#gate.run(async () => {
      await this.#opened();
      const sums = await this.#sumsOf(subject);
      const bytes = payload.length + JOURNAL_BLOCK_OVERHEAD_BYTES;
      sums.blocks++;
      sums.bytes += bytes;
      const headers = natsHeaders();
      headers.set("Nats-Expected-Stream", JOURNAL_STREAM);
      // What an attempt whose answer was lost has stored is not stored again.
      headers.set("Nats-Msg-Id", crypto.randomUUID());
      headers.set("Nats-TTL", `${Math.max(1, Math.ceil(block.ttl_seconds))}s`);
      headers.set(SUMS_HEADER, sumsText(sums));
      await this.#stream.ask((timeout_ms) => this.#publish(subject, payload, headers, timeout_ms));
      const unchecked = (this.#unchecked.get(tenant_id) ?? Infinity) + bytes;
      this.#unchecked.set(tenant_id, unchecked);
      if (unchecked < max_bytes * STEP) return;
      this.#unchecked.set(tenant_id, 0);
      await this.#bound(tenant_id, max_bytes);
    });
  }

  read({ tenant_id, after, from_ms, limit }: JournalRead): Promise<JournalPage> {
    const { link, inbox } = this.#options;
    const wanted = {
      next_by_subj: tenantJournalPattern(tenant_id),
      batch: limit,
      max_bytes: READ_BYTES,
    };
    const question = after === undefined && from_ms !== undefined
      ? { start_time: new Date(from_ms).toISOString(), ...wanted }
      : { seq: (after ?? 0) + 1, ...wanted };
    return this.#stream.look(async (timeout_ms) => {
      const found = await askDirect(link, inbox, JOURNAL_STREAM, question, timeout_ms);
      return { blocks: found.messages.map(blockOf), is_end: found.pending === 0 };
    }, { blocks: [], is_end: true });
  }

  status(tenant_id: string): Promise<JournalStatus> {
    const pattern = tenantJournalPattern(tenant_id);
    return this.#stream.look(async (timeout_ms) => {
      const { blocks, bytes } = await this.#stored(tenant_id, timeout_ms);
      const [first, last] = await Promise.all([
        this.#stream.api.message(JOURNAL_STREAM, pattern, "oldest", timeout_ms),
        this.#stream.api.message(JOURNAL_STREAM, pattern, "newest", timeout_ms),
      ]);
      const time = (stored: typeof first) =>
        stored === undefined ? undefined : fromStored(stored).time_ms;
      return { blocks, bytes, first_ms: time(first), last_ms: time(last) };
    }, { blocks: 0, bytes: 0, first_ms: undefined, last_ms: undefined });
  }

  async purge(tenant_id: string): Promise<void> {
    const pattern = tenantJournalPattern(tenant_id);
    await this.#stream.look(
      (timeout_ms) => this.#stream.api.purge(JOURNAL_STREAM, pattern, 0, timeout_ms),
      undefined,
    );
  }

  async #publish(
    subject: string,
    payload: Uint8Array,
    headers: ReturnType<typeof natsHeaders>,
    timeout_ms: number,
  ): Promise<void> {
    const timeout = Math.max(1, Math.ceil(timeout_ms));
    const { connection } = this.#options.link;
    const answer = await connection.request(subject, payload, { timeout, headers });
    const { stream, error } = JSON.parse(new TextDecoder().decode(answer.data)) as PubAck;
    if (error !== undefined) throw new Refusal(error);
    if (stream !== JOURNAL_STREAM) throw new Error(`stream ${JOURNAL_STREAM} did not answer`);
  }

  /** Rejects with `log-unavailable`; the next block tries again. */
  #opened(): Promise<void> {
    if (this.#opening !== undefined) return this.#opening;
    const opening = this.#stream.open();
    this.#opening = opening;
    opening.catch(() => this.#opening = undefined);
    return opening;
  }

  /** The sums of this process for a subject, which go on from the newest block that is there. */
  #sumsOf(subject: string): Promise<Sums> {
    const known = this.#sums.get(subject);
    if (known !== undefined) return known;
    const reading = this.#stream.ask((timeout_ms) => this.#edge(subject, "newest", timeout_ms))
      .then((edge) => edge?.sums ?? { blocks: 0, bytes: 0 });
    this.#sums.set(subject, reading);
    reading.catch(() => this.#sums.delete(subject));
    return reading;
  }

  async #edge(subject: string, which: "newest" | "oldest", timeout_ms: number) {
    const stored = await this.#stream.api.message(JOURNAL_STREAM, subject, which, timeout_ms);
    if (stored === undefined) return undefined;
    const { headers, payload } = fromStored(stored);
    const own_bytes = payload.length + JOURNAL_BLOCK_OVERHEAD_BYTES;
    return { sums: sumsOf(headers) ?? { blocks: 1, bytes: own_bytes }, own_bytes };
  }

  /** The tenant's blocks, and their bytes: those of one are about the mean of what its node wrote. */
  async #stored(tenant_id: string, timeout_ms: number): Promise<Sums> {
    const pattern = tenantJournalPattern(tenant_id);
    const { state } = await this.#stream.api.info(JOURNAL_STREAM, timeout_ms, pattern);
    const subjects = Object.entries(state.subjects ?? {});
    const all = { blocks: 0, bytes: 0 };
    const read = { blocks: 0, bytes: 0 };
    for (const [at, [subject, blocks]] of subjects.entries()) {
      all.blocks += blocks;
      if (at >= NODES_READ) continue;
      const [first, last] = await Promise.all([
        this.#edge(subject, "oldest", timeout_ms),
        this.#edge(subject, "newest", timeout_ms),
      ]);
      if (first === undefined || last === undefined) continue;
      const wrote_blocks = Math.max(1, last.sums.blocks - first.sums.blocks + 1);
      const between_bytes = Math.max(0, last.sums.bytes - first.sums.bytes);
      read.blocks += blocks;
      read.bytes += blocks * (first.own_bytes + between_bytes) / wrote_blocks;
    }
    if (read.blocks === 0) return all;
    return { blocks: all.blocks, bytes: Math.round(read.bytes * all.blocks / read.blocks) };
  }

  /** Removes the oldest of a tenant that is over its bound. */
  async #bound(tenant_id: string, max_bytes: number): Promise<void> {
    await this.#stream.ask(async (timeout_ms) => {
      const { blocks, bytes } = await this.#stored(tenant_id, timeout_ms);
      if (bytes <= max_bytes) return;
      const keep = Math.floor(blocks * KEPT * max_bytes / bytes);
      const pattern = tenantJournalPattern(tenant_id);
      await this.#stream.api.purge(JOURNAL_STREAM, pattern, keep, timeout_ms);
    }).catch((error: unknown) => {
      // The block is stored, and the next one looks again.
      this.#unchecked.delete(tenant_id);
      this.#options.link.log.warn("a tenant's journal could not be bounded", { tenant_id, error });
    });
  }
}

function blockOf(answer: Answer): JournalBlock {
  const { offset, time_ms, payload } = fromDirect(answer);
  const node_id = parseJournalSubject(answer.headers["Nats-Subject"] ?? "")?.nodeId ?? "";
  return { cursor: offset, node_id, time_ms, payload };
}

/** The journal, whose stream is made, and gets its bounds, with the first block that is stored here. */
export function openNatsJournal(
  options: NatsJournalOptions,
  retention: JournalRetention,
): JournalStore {
  const replicas = options.link.connection.info?.cluster === undefined ? 1 : 3;
  const stream = new KeptStream(options, configOf(retention, replicas));
  return new NatsJournal(options, stream);
}
