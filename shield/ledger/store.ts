/**
 * Starts the storage of ledgers: the writer of this Shield's ledger, and the reader of others. Nothing is opened,
 * created or written unless `[ledger] store` is true.
 */
import { scraped } from "../../shared/metrics/metrics.ts";
import type { Env } from "../../shared/env.ts";
import type { BlockStore } from "../../shared/spine/contract/block_store.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { LivingPart, OwnLife } from "../../shared/lives/own_life.ts";
import { type FormerReading, registerReads, storeReads } from "./former_ledgers.ts";
import { type Ledger, REFUSED_BYTES } from "./ledger.ts";
import { turn } from "../../shared/turns/next_turn.ts";
import { openOnce } from "../../shared/turns/once.ts";
import { BlockQueue, type WaitingBlock } from "../../shared/blocks/block_queue.ts";
import type { LivingConnection, SubscriptionMark } from "../fanout/delivery_notes.ts";
import { clipped, isNumbered, KIND, writeHead } from "./row_form.ts";
import type { ConnectionBegin, SubscriptionBegin } from "./row_form.ts";
import { factsOf, type Passed, piecesOf, scan } from "./scan.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { HubPatterns } from "../fanout/patterns.ts";
import { BlockDraft } from "./stored_block.ts";

/** The dependencies of `startStore`. */
export interface StoreStart extends Pick<Env, "registry" | "now" | "log" | "node_id"> {
  readonly config: Pick<Config, "ledger">;
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
  const reads = storeReads(config.ledger);
  registerReads(registry, reads);
  const former = { store, lives, reads, kept_ms: 1_000 * seconds, now };
  return { writer, former, life_ms: life.began_ms };
}

// Writes the ledger to the store: every few seconds the new rows, as blocks of one tenant each, with the existing
// connections and subscriptions. Nothing waits for it; blocks that do not fit its queue, or that the store rejects, are
// dropped, and the tenant's next blocks record that. Rows of unauthenticated clients, which have no tenant, stay in
// memory.

/** The most blocks that one pass stores; the others wait for the next. */
const PASS_BLOCKS = 512;
/** How often existing connections are written during the retention of a block. */
const AGAIN = 4;
/** How long a stopping process waits for the store, in ms. */
const CLOSE_MS = 5_000;

interface StoreWriterOptions extends Pick<Env, "log" | "node_id" | "now"> {
  readonly ledger: Ledger;
  /** Called again after a failure. */
  readonly store: () => Promise<Pick<BlockStore, "append" | "newest" | "remove">>;
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
  /** The end of the copied rows, and the position of the next message. */
  #next = { segment: 0, start: 0, position: 1 };
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

  /** Drops a deleted tenant's rows, and removes the blocks of this Shield. Rejects as the store does. */
  async forget(tenant_id: string): Promise<void> {
    const { node_id, store } = this.#options;
    this.#of(tenant_id).draft = new BlockDraft();
    this.#beginAgain(tenant_id);
    await this.#waiting.forget(tenant_id, node_id, store);
  }

  /** The tenant's ledger starts again. */
  #beginAgain(tenant_id: string): void {
    this.#of(tenant_id).since_ms = this.#options.now();
    this.#presences.forget(tenant_id);
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
    const [first] = segments;
    const last = segments.at(-1);
    if (first === undefined || last === undefined) return;
    const { segment, start: copied } = this.#next;
    // The oldest rows were dropped before they were copied.
    if (segment > 0 && first.number > segment) this.#loseAll(first.start_ms);
    const start = first.number === segment ? copied : 0;
    const end = last.used;
    let position = start === 0 ? first.first_position : this.#next.position;
    const from = { start, position };
    await scan(
      { segments },
      (row) => {
        this.#take(row);
        position = row.position + (isNumbered(row.head.kind) ? 1 : 0);
      },
      turn,
      from,
    );
    this.#next = { segment: last.number, start: end, position };
  }

  #take(row: Passed): void {
    const { head, segment } = row;
    const room = head.room === 0 ? undefined : this.#options.ledger.rooms.of(head.room);
    const tenant_id = room?.tenant_id ?? (head.room === 0 ? tenantIn(row) : "");
    if (tenant_id === "") return;
    const draft = this.#draftOf(tenant_id);
    if (room !== undefined) draft.name(room.number, room.room_id);
    const bytes = segment.bytes.subarray(head.start, head.end);
    const place = { start_ms: segment.start_ms, position: row.position };
    draft.copy(bytes, place, isNumbered(head.kind) ? 1 : 0);
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

  #lose({ tenant_id, payload }: Waiting, error?: unknown): void {
    this.totals.lost_blocks++;
    this.#beginAgain(tenant_id);
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
    if (this.#waiting.is_idle) return;
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

/** Owner of a row without a room (disconnect or refusal); "" if none. */
function tenantIn(row: Passed): string {
  const behind = row.head.kind === KIND.refused ? REFUSED_BYTES : 0;
  return String(factsOf<{ tenant_id?: string }>(row, behind).tenant_id ?? "");
}

/** No room has this number, and nobody reads its rows. */
const NO_ROOM = 0xffff_ffff;

/** Makes all rows of a deleted tenant unreadable, in memory and in the store. Rejects as the store does. */
export async function forgetTenant(
  ledger: Ledger,
  writer: Pick<StoreWriter, "forget"> | undefined,
  tenant_id: string,
): Promise<void> {
  ledger.seal();
  ledger.rooms.renumber(tenant_id);
  await scan(ledger, (row) => {
    const { head: { kind, start, end }, segment: { bytes, view } } = row;
    if (kind !== KIND.ended && kind !== KIND.refused || tenantIn(row) !== tenant_id) return;
    bytes.fill(0, start, end);
    writeHead(view, start, KIND.gap, end - start, NO_ROOM, 0, 0);
  }, piecesOf({ tenant: tenant_id }));
  await writer?.forget(tenant_id);
}

// A killed Shield cannot record the end of connections and subscriptions, so existing ones are written when they are
// new, and again periodically; a subscription also until it has caught up.

const SLICE = 1_000;

/** The connections and subscriptions of one Shield. */
class Presences {
  /** Connections with an unwritten subscription. */
  readonly joined = new Set<LivingConnection>();
  connections: Iterable<LivingConnection> = [];
  /** Absent: no room is received by a pattern. */
  patterns: Pick<HubPatterns, "of"> | undefined;
  readonly #ledger: Pick<Ledger, "rooms">;
  readonly #draftOf: (tenant_id: string) => BlockDraft;
  #written = new WeakSet<SubscriptionMark>();
  /** The number of the last written connection. */
  #last = 0;
  /** Tenants whose connections are written again. */
  #again = new Set<string>();

  constructor(ledger: Pick<Ledger, "rooms">, draftOf: (tenant_id: string) => BlockDraft) {
    this.#ledger = ledger;
    this.#draftOf = draftOf;
  }

  /** Schedules all connections for another write, or those of one tenant. */
  forget(tenant_id?: string): void {
    if (tenant_id !== undefined) return void this.#again.add(tenant_id);
    this.#written = new WeakSet();
    this.#last = 0;
  }

  /** Writes new connections and subscriptions. `now` is in Unix ms. */
  async write(now: () => number): Promise<void> {
    const first = this.#last;
    const again = this.#again;
    this.#again = new Set();
    let last = first;
    let looked = 0;
    for (const connection of this.connections) {
      if (++looked % SLICE === 0) await turn();
      if (connection.ended) continue;
      const { number, outbox, identity: { tenant_id } } = connection;
      const from = outbox?.queued_from ?? 0;
      if (from > 0) this.#draftOf(tenant_id).add(KIND.waiting, 0, number, { from }, now());
      const is_again = again.has(tenant_id);
      if (number <= first && !is_again) continue;
      if (is_again) this.#forgetMarks(connection);
      last = Math.max(last, number);
      this.#writeConnection(connection, now());
    }
    // Not if another write of all was scheduled meanwhile.
    if (this.#last === first) this.#last = last;
    await this.#writeJoined(now);
  }

  #forgetMarks(connection: LivingConnection): void {
    for (const [, { mark }] of this.#marksOf(connection)) {
      if (mark !== undefined) this.#written.delete(mark);
    }
  }

  async #writeJoined(now: () => number): Promise<void> {
    let looked = 0;
    for (const connection of [...this.joined]) {
      if (++looked % SLICE === 0) await turn();
      if (connection.ended || this.#writeSubscriptions(connection, now())) {
        this.joined.delete(connection);
      }
    }
  }

  #writeConnection(connection: LivingConnection, now_ms: number): void {
    const { number, id, identity: { tenant_id, user_id }, caller, noted_ms } = connection;
    const batch = connection.outbox?.has_batches ?? false;
    const facts: ConnectionBegin = {
      connection_id: id,
      tenant_id,
      user_id,
      remote_ip: clipped(caller.remote_ip),
      began_ms: noted_ms,
      batch,
    };
    this.#draftOf(tenant_id).add(KIND.opened, 0, number, facts, now_ms);
    if (!this.#writeSubscriptions(connection, now_ms)) this.joined.add(connection);
  }

  /** Writes new subscriptions, and those that have advanced; false if some have not caught up yet. */
  #writeSubscriptions(connection: LivingConnection, now_ms: number): boolean {
    const { number, identity: { tenant_id } } = connection;
    let is_final = true;
    for (const [room_id, { mark }] of this.#marksOf(connection)) {
      if (mark === undefined || this.#written.has(mark)) continue;
      const room = this.#ledger.rooms.find(tenant_id, room_id);
      if (room === undefined) {
        // The ledger has no number for the room before its first message.
        is_final = false;
        continue;
      }
      const { number: own, since, since_ms, episode: caught_up, filters } = mark;
      const draft = this.#draftOf(tenant_id);
      draft.name(room.number, room_id);
      const facts: SubscriptionBegin = { number: own, since, since_ms, caught_up, filters };
      draft.add(KIND.joined, room.number, number, facts, now_ms);
      if (caught_up?.live === 0) is_final = false;
      else this.#written.add(mark);
    }
    return is_final;
  }

  *#marksOf(connection: LivingConnection): Generator<
    readonly [room_id: string, subscription: { readonly mark?: SubscriptionMark | undefined }]
  > {
    yield* connection.subscriptions;
    const { rooms = [] } = this.patterns?.of(connection) ?? {};
    for (const [room_id, { subscriber }] of rooms) yield [room_id, subscriber];
  }
}
