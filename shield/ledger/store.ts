/**
 * Starts the storage of ledgers: the writer of this Shield's ledger, and the reader of others. Nothing is opened,
 * created or written unless `[ledger] store` is true.
 */
import { scraped } from "../../shared/metrics/metrics.ts";
import type { Env } from "../../shared/env.ts";
import type { BlockStore } from "../../shared/spine/contract/block_store.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { LivingPart, OwnLife } from "../../shared/lives/own_life.ts";
import type { FormerReading } from "./former_ledgers.ts";
import { type Ledger, REFUSED_BYTES, type Segment } from "./ledger.ts";
import { registerReads, StoreReads } from "./store_reads.ts";
import { turn } from "../../shared/turns/next_turn.ts";
import { openOnce } from "../../shared/turns/once.ts";
import { BlockQueue, type WaitingBlock } from "../../shared/blocks/block_queue.ts";
import { Presences } from "./presences.ts";
import type { LivingConnection } from "../fanout/delivery_notes.ts";
import { HEAD_BYTES, isNumbered, KIND, readHead } from "./row_form.ts";
import { BlockDraft } from "./stored_block.ts";
import type { Config } from "../../shared/config/schema.ts";

interface LedgerStart extends Pick<Env, "registry" | "now"> {
  readonly config: Pick<Config, "ledger">;
}

/** The dependencies of `startStore`. */
export interface StoreStart extends LedgerStart, Pick<Env, "log" | "node_id"> {
  readonly spine: Pick<Spine, "blocks">;
  readonly life: OwnLife;
}

/** The store of ledgers. */
export interface LedgerStore {
  readonly writer: StoreWriter;
  readonly former: FormerReading;
  /** The incarnation in this Shield's answers. */
  readonly life_ms: number;
}

/** Starts it; undefined if ledgers are not stored. */
export function startStore(start: StoreStart, ledger: Ledger): LedgerStore | undefined {
  const { config, registry, spine, life, now } = start;
  const { store: is_stored, log_bytes, seconds } = config.ledger;
  if (!is_stored) return undefined;
  const bounds_of_all = { max_bytes: log_bytes, max_age_seconds: seconds };
  const store = openOnce(() => spine.blocks("ledger", bounds_of_all));
  const log = start.log.child({ part: "ledger" });
  const writer = new StoreWriter({ ...start, ...config.ledger, ledger, store, log });
  scraped(registry, {
    "shield_ledger_waiting_bytes": [
      "Bytes of the ledger that are queued for its store.",
      () => writer.waiting_bytes,
    ],
    "shield_ledger_stored_bytes_total": [
      "Bytes of the ledger that were stored.",
      () => writer.totals.stored_bytes,
    ],
    "shield_ledger_lost_blocks_total": [
      "Blocks of the ledger that were not stored: the queue was full, or the store refused them.",
      () => writer.totals.lost_blocks,
    ],
  });
  const lives = () => life.lives.all();
  const reads = new StoreReads(config.ledger);
  registerReads(registry, reads);
  const former = { store, lives, reads, kept_ms: 1_000 * seconds, now };
  return { writer, former, life_ms: life.began_ms };
}

// Writes the ledger to the store: every few seconds the new rows, as blocks of one tenant each, with the existing
// connections and subscriptions. Nothing waits for it; blocks that do not fit its queue, or that the store rejects, are
// dropped, and the tenant's next blocks record that. Rows of unauthenticated clients, which have no tenant, stay in
// memory.

const SLICE_ROWS = 500;
/** The most blocks that one pass stores; the others wait for the next. */
const PASS_BLOCKS = 512;
/** How often existing connections are written during the retention of a block. */
const AGAIN = 4;
/** How long a stopping process waits for the store, in ms. */
const CLOSE_MS = 5_000;

interface StoreWriterOptions extends Pick<Env, "log" | "node_id" | "now"> {
  readonly ledger: Ledger;
  /** Called again after a failure. */
  readonly store: () => Promise<Pick<BlockStore, "append">>;
  readonly life: Pick<OwnLife, "begin" | "began_ms">;
  readonly flush_ms: number;
  /** The retention of a block, in seconds. */
  readonly seconds: number;
  readonly queue_bytes: number;
  readonly tenant_bytes: number;
}

/** The state of one tenant's blocks. */
interface Tenant {
  draft: BlockDraft;
  /** The number of its next block, and the time from which nothing of it is missing, Unix ms. */
  number: number;
  since_ms: number;
}

interface Waiting extends WaitingBlock {
  /** All earlier rows are in earlier blocks, Unix ms. */
  readonly from_ms: number;
}

/** The writer of one Shield. */
export class StoreWriter {
  /** Running totals: bytes stored, blocks dropped. */
  readonly totals = { stored_bytes: 0, lost_blocks: 0 };
  readonly #options: StoreWriterOptions;
  readonly #tenants = new Map<string, Tenant>();
  readonly #presences: Presences;
  readonly #waiting: BlockQueue<Waiting>;
  #next = { segment: 0, start: 0 };
  /** The time up to which rows were copied, Unix ms. */
  #copied_ms: number;
  #again_ms: number;
  #living: LivingPart | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #pass: Promise<void> | undefined;
  #failed = false;
  #closed = false;

  constructor(options: StoreWriterOptions) {
    this.#options = options;
    this.#copied_ms = this.#again_ms = options.life.began_ms;
    const lost = (block: Waiting, error?: unknown) => this.#lose(block, error);
    this.#waiting = new BlockQueue({ bytes_max: options.queue_bytes, lost });
    this.#presences = new Presences(options.ledger, (tenant_id) => this.#draftOf(tenant_id));
    options.ledger.joined = this.#presences.joined;
  }

  /** Bytes queued for the store. */
  get waiting_bytes(): number {
    return this.#waiting.bytes;
  }

  /** The time up to which everything is stored, or reported as lost, Unix ms. */
  get until_ms(): number {
    let until_ms = this.#copied_ms;
    for (const { from_ms } of this.#waiting.heads()) until_ms = Math.min(until_ms, from_ms);
    return until_ms;
  }

  /** Starts to write, with the existing connections. */
  begin(connections: Iterable<LivingConnection>, patterns?: Presences["patterns"]): void {
    this.#presences.connections = connections;
    this.#presences.patterns = patterns;
    this.#living = this.#options.life.begin("ledger", () => this.until_ms);
    this.#timer = setInterval(() => this.tick(), this.#options.flush_ms);
    Deno.unrefTimer(this.#timer);
  }

  /** Stops writing, as if the process were killed. */
  stop(): void {
    clearInterval(this.#timer);
    this.#closed = true;
  }

  /** Starts a write of everything due, unless the last one still runs. */
  tick(): void {
    this.#pass ??= this.#flush().finally(() => this.#pass = undefined);
  }

  /** Resolves once everything due was written, or failed. */
  async idle(): Promise<void> {
    await this.#pass;
  }

  /** Writes everything and ends; blocks that cannot be written in time are reported as lost. Never rejects. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    const timer = setTimeout(() => this.#closed = true, CLOSE_MS);
    await this.#pass;
    await this.#flush();
    clearTimeout(timer);
    this.#living?.end(this.#waiting.is_empty);
  }

  async #flush(): Promise<void> {
    const { now, seconds } = this.#options;
    const from_ms = this.#copied_ms;
    if (now() - this.#again_ms >= 1_000 * seconds / AGAIN) {
      this.#again_ms = now();
      this.#presences.forget();
    }
    // An open connection is written, or its end is among the rows copied later.
    const until_ms = now();
    await this.#presences.write(now);
    await this.#copy();
    for (const [tenant_id, tenant] of this.#tenants) {
      this.#close(tenant_id, tenant, from_ms, until_ms);
    }
    this.#copied_ms = until_ms;
    await this.#store();
    this.#living?.mark();
  }

  /** Copies the current rows into the drafts of their tenants. */
  async #copy(): Promise<void> {
    const { ledger } = this.#options;
    ledger.seal();
    const segments = ledger.segments.filter(({ number }) => number >= this.#next.segment);
    const ends = segments.map(({ used }) => used);
    const [first] = segments;
    // The oldest rows were dropped before they were copied.
    if (first !== undefined && this.#next.segment > 0 && first.number > this.#next.segment) {
      this.#loseAll(first.start_ms);
    }
    let rows = 0;
    for (const [at, segment] of segments.entries()) {
      const start = segment.number === this.#next.segment ? this.#next.start : 0;
      const walk = new Walk(segment, start, ends[at]!, this.#positionIn(segment, start));
      while (walk.next()) {
        this.#take(walk);
        if (++rows % SLICE_ROWS === 0) await turn();
      }
      this.#next = { segment: segment.number, start: ends[at]! };
      this.#position = walk.position;
    }
  }

  /** The position of the next message after the copied ones. */
  #position = 1;

  #positionIn({ first_position }: Segment, start: number): number {
    return start === 0 ? first_position : this.#position;
  }

  #take(walk: Walk): void {
    const { head, segment } = walk;
    const room = head.room === 0 ? undefined : this.#options.ledger.rooms.of(head.room);
    const tenant_id = room?.tenant_id ?? (head.room === 0 ? tenantIn(walk) : "");
    if (tenant_id === "") return;
    const draft = this.#draftOf(tenant_id);
    if (room !== undefined) draft.name(room.number, room.room_id);
    const row = segment.bytes.subarray(head.start, head.end);
    const place = { start_ms: segment.start_ms, position: walk.row_position };
    draft.copy(row, place, isNumbered(head.kind) ? 1 : 0);
  }

  /** The block for the tenant's next row; called before each row, so that every block is closed in time. */
  #draftOf(tenant_id: string): BlockDraft {
    const tenant = this.#of(tenant_id);
    const from_ms = this.#copied_ms;
    if (tenant.draft.is_full) this.#close(tenant_id, tenant, from_ms, from_ms);
    return tenant.draft;
  }

  #of(tenant_id: string): Tenant {
    const { began_ms: since_ms } = this.#options.life;
    return this.#tenants.getOrInsertComputed(
      tenant_id,
      () => ({ draft: new BlockDraft(), number: 0, since_ms }),
    );
  }

  /** Queues a tenant's rows. */
  #close(tenant_id: string, tenant: Tenant, from_ms: number, until_ms: number): void {
    const { draft, since_ms, number } = tenant;
    if (draft.bytes === 0) return;
    const { began_ms: life_ms } = this.#options.life;
    const payload = draft.close({ life_ms, number, since_ms, from_ms, until_ms });
    tenant.number++;
    tenant.draft = new BlockDraft();
    this.#waiting.push({ id: crypto.randomUUID(), tenant_id, payload, from_ms });
  }

  /** Handles a dropped block: its tenant's ledger starts again. */
  #lose({ tenant_id, payload }: Waiting, error?: unknown): void {
    this.totals.lost_blocks++;
    this.#of(tenant_id).since_ms = this.#options.now();
    this.#presences.forget(tenant_id);
    if (error === undefined) return;
    const { log } = this.#options;
    const bytes = payload.length;
    log.error("a block of the ledger is lost: its store refuses it", { tenant_id, bytes, error });
  }

  #loseAll(since_ms: number): void {
    for (const tenant of this.#tenants.values()) tenant.since_ms = since_ms;
    this.totals.lost_blocks++;
    this.#presences.forget();
  }

  async #store(): Promise<void> {
    const { log, node_id, seconds: ttl_seconds, tenant_bytes: max_bytes } = this.#options;
    if (this.#waiting.is_empty) return;
    let tried = 0;
    const refusal = await this.#options.store().then((store) =>
      this.#waiting.store(async ({ id, tenant_id, payload }) => {
        tried++;
        await store.append({ id, tenant_id, node_id, ttl_seconds, max_bytes, payload });
        this.totals.stored_bytes += payload.length;
      }, () => this.#closed || tried >= PASS_BLOCKS)
    ).catch((error) => error);
    if (refusal !== undefined && !this.#failed) {
      log.warn("the ledger was not stored; it is retried", { error: refusal });
    }
    this.#failed = refusal !== undefined;
  }
}

class Walk {
  readonly segment: Segment;
  readonly head = { kind: 0, flags: 0, start: 0, end: 0, room: 0, after_ms: 0, connection: 0 };
  /** The position of the current row, and that of the next message. */
  row_position: number;
  position: number;
  readonly #end: number;

  constructor(segment: Segment, start: number, end: number, position: number) {
    this.segment = segment;
    this.head.end = start;
    this.#end = end;
    this.row_position = this.position = position;
  }

  /** Moves to the next row; false if there is none. */
  next(): boolean {
    if (this.head.end >= this.#end) return false;
    readHead(this.segment.view, this.head.end, this.head);
    this.row_position = this.position;
    if (isNumbered(this.head.kind)) this.position++;
    return true;
  }
}

const decoder = new TextDecoder();

/** Owner of a row without a room (disconnect or refusal); "" if none. */
function tenantIn({ head: { kind, start, end }, segment: { bytes } }: Walk): string {
  const facts = start + HEAD_BYTES + (kind === KIND.refused ? REFUSED_BYTES : 0);
  return String(JSON.parse(decoder.decode(bytes.subarray(facts, end))).tenant_id ?? "");
}
