/**
 * The transparency logs of one Shield: their list, and when each looks for new entries of its record. Once a second
 * every Shield reads the newest offset of the tenants' logs. None of this is on the path of a message.
 */
import type { Env } from "../../shared/env.ts";
import { ArqonError, isId, TILE_WIDTH } from "@arqon/proto";
import { signReceipt } from "../../shared/proof/signing.ts";
import { openAuditLog } from "../../shared/audit/log.ts";
import type { Config } from "../../shared/config/schema.ts";
import { RecentMap } from "../../shared/containers/recent_map.ts";
import { fnvText } from "../../shared/fnv.ts";
import { AUDIT_TREE, blockTree, blockTreeOf, PROOF_BUCKET } from "../../shared/proof/entry.ts";
import { type BlockRecord, roomTree } from "../../shared/proof/entry.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { reservedRoom } from "../../shared/rooms/reserved.ts";
import type { OwnedClass } from "../../shared/rooms/room_class.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import type { KeyValue, KvKey, Spine } from "../../shared/spine/contract/spine.ts";
import { openOnce } from "../../shared/turns/once.ts";
import { slice, STRANGERS } from "../../shared/turns/slices.ts";
import type { KeptBlocks } from "../capability.ts";
import type { Logs } from "../message/logs.ts";
import type { Receipts } from "../message/pipeline.ts";
import type { TenantTable } from "../stats/tenant_stats.ts";
import type { ProofKeys } from "./keys.ts";
import {
  type ProofCounts,
  RecordTree,
  type RecordTreeOptions,
  type Writing,
} from "./record_tree.ts";
import { auditSource, blockSource, leafAt, type Position, roomSource } from "./sources.ts";
import { Witnesses } from "./witnesses.ts";

/** The interval of looking for new entries, and the least time between two checkpoints on request, in ms. */
const LOOK_MS = 1_000;
/** How often rooms of a pattern are listed, in ms. A new room gets a tree then, or at its first request. */
const LIST_MS = 5_000;
/** The rooms of one tenant whose trees are kept current. Further rooms get a tree on request. */
const ROOMS_MAX = 10_000;
const ROOMS_PAGE = 500;
/**
 * The tenants processed at a time, and the trees of each. With 64 tenants, a NATS on a busy machine answered some too
 * late.
 */
const TENANTS_AT_A_TIME = 16;
const TREES_AT_A_TIME = 8;
/** The known trees, and for those with few entries after their last full tile also the edge: some 5 KB each. */
const TREES_MAX = 10_000;
const FEW = 16;
/** The other trees whose edge is in memory, up to 100 KB each. */
const LARGE_MAX = 500;
/** The tenants whose rooms and heads are cached. Those of further tenants are read again when something is new. */
const TENANTS_MAX = 1_000;
/**
 * The tenants whose state at the last look is cached. Each look goes through all tenants, so with fewer places than
 * tenants the cache would never hit.
 */
const LOOKED_MAX = 100_000;
/**
 * The time within which the entry of a receipt is in a checkpoint, in ms: longer than the takeover from a killed
 * Shield.
 */
const PROMISE_MS = 60_000;
/**
 * How often the blocks of recently active tenants, and those of all tenants, are looked for, in ms. A minute of usage
 * is stored at its end, and folded an hour later.
 */
const BLOCKS_MS = 5_000;
const LATELY_MS = 120_000;
const ALL_BLOCKS_MS = 600_000;
/**
 * The prefix of the bucket's keys for tenants whose logs a Shield follows. When it dies, another Shield takes over,
 * even one that has never served them. Below: how often they are recorded, read and forgotten, in ms.
 */
const LATELY = "+lately";
const NOTE_MS = 600_000;
const LEFT_MS = 10_000;
const FORGET_MS = 3_600_000;
const NO_RECEIPT = "the message is stored, and could not be read back for its receipt";
/** The owner of the bus's own trees. It is not a tenant id. */
export const BUS = "+bus";

/** The dependencies and settings of the service. */
export interface ProofServiceOptions extends Pick<Env, "log" | "node_id" | "monotonic_ms"> {
  readonly config: Pick<Config, "proof" | "audit">;
  readonly keys: ProofKeys;
  readonly spine: Pick<Spine, "keyValue" | "blocks">;
  readonly logs: Pick<Logs, "of" | "has" | "recent">;
  readonly classes: Pick<RoomClasses, "of" | "list">;
  readonly tenants: Pick<TenantTable, "entries" | "has">;
  /** The records that capabilities keep of tenants in blocks. */
  readonly blocks: readonly KeptBlocks[];
}

/** A tree by its name, with who may read it. */
export interface NamedTree extends Pick<RecordTreeOptions, "place" | "source"> {
  readonly name: string;
  /** The tenant; absent: the bus. */
  readonly tenant_id?: string;
  /** Absent: the tree is not a room's. */
  readonly room_id?: string;
  readonly is_public: boolean;
  /** Whether its readers do not get all messages of the room, as its class says; absent: they do. */
  readonly is_partial?: boolean;
}

type TreeBlocks = Parameters<typeof blockSource>[0] & { readonly name: BlockRecord };

/** The known state of a tenant's log. */
interface Watched {
  stream: string;
  /** The log's state when the trees of all listed rooms were current; "": they were not. */
  state: string;
  listed_ms: number;
  rooms: readonly string[];
  /** The newest offset of each room in its tree. */
  readonly heads: Map<string, number>;
}

/** A repeated look; one runs at a time. */
interface Look {
  readonly every_ms: number;
  /** The name of the records, for the warning of a failure. */
  readonly of: string;
  readonly look: () => Promise<void>;
  begun_ms?: number;
  is_failing?: boolean;
  looking?: Promise<void> | undefined;
}

/** All trees of a process. */
export class ProofService {
  readonly counts: ProofCounts = {
    entries: 0,
    checkpoints: 0,
    failed: 0,
    breaks: 0,
    forks: 0,
    cosigned: 0,
    uncosigned: 0,
  };
  readonly #cosign: Witnesses["cosign"] | undefined;
  readonly #options: ProofServiceOptions;
  readonly #trees = new RecentMap<string, RecordTree>(TREES_MAX);
  readonly #small = new RecentMap<string, Writing>(TREES_MAX);
  readonly #large = new RecentMap<string, Writing>(LARGE_MAX);
  readonly #writings: RecordTreeOptions["writings"] = {
    get: (name) => this.#small.get(name) ?? this.#large.get(name),
    set: (name, one) =>
      (one.edge.size % TILE_WIDTH > FEW ? this.#large : this.#small).set(name, one),
    delete: (name) => [this.#small, this.#large].forEach((edges) => edges.delete(name)),
  };
  readonly #tenants = new RecentMap<string, Watched>(TENANTS_MAX);
  /** The newest offset of a tenant's log when all trees were current. */
  readonly #settled = new RecentMap<string, string>(LOOKED_MAX);
  readonly #openBucket = openOnce(() =>
    this.#options.spine.keyValue(PROOF_BUCKET, { unwatched: true })
  );
  readonly #auditLog = openOnce(() => {
    const { spine, config: { audit } } = this.#options;
    return openAuditLog(spine, audit);
  });
  #audit_offset = -1;
  #timer: ReturnType<typeof setInterval> | undefined;
  readonly #looks: readonly Look[] = [
    { every_ms: 0, of: "rooms", look: () => this.#look() },
    { every_ms: 0, of: "the audit log", look: () => this.#lookAtAudit() },
    { every_ms: LEFT_MS, of: "other Shields", look: () => this.#lookAtLeft() },
    { every_ms: BLOCKS_MS, of: "tenants' records", look: () => this.#lookAtBlocks() },
  ];
  readonly #noted = new RecentMap<string, number>(LOOKED_MAX);
  /** The records of Shields: the revision of each, and since when it is known here. */
  readonly #left = new RecentMap<string, { readonly revision: number; readonly since_ms: number }>(
    LOOKED_MAX,
  );
  readonly #blocks: readonly TreeBlocks[];
  /** The tenants whose blocks are followed: the state of their last activity, and since when. */
  readonly #doing = new RecentMap<string, { readonly done: string; readonly since_ms: number }>(
    LOOKED_MAX,
  );
  #all_blocks_ms = -Infinity;

  constructor(options: ProofServiceOptions) {
    this.#options = options;
    this.#blocks = options.config.proof.records.flatMap((name) => {
      const { open, leavesOf } = options.blocks.find((kept) => kept.name === name) ?? {};
      if (name === "audit" || open === undefined || leavesOf === undefined) return [];
      return [{ name, open, leavesOf }];
    });
    const { config: { proof: { witnesses } }, log, monotonic_ms } = options;
    if (witnesses.length === 0) return;
    this.#cosign = new Witnesses({ witnesses, counts: this.counts, log, monotonic_ms }).cosign;
  }

  begin(): void {
    this.#timer = setInterval(() => {
      for (const one of this.#looks) {
        one.looking ??= this.#again(one).finally(() => one.looking = undefined);
      }
    }, LOOK_MS);
    Deno.unrefTimer(this.#timer);
  }

  /** Stops; resolves when running work has ended. Never rejects. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#looks.map(({ looking }) => looking));
  }

  /** Looks when it is time. A failure is logged once, until a look succeeds again. */
  async #again(one: Look): Promise<void> {
    const { log, monotonic_ms } = this.#options;
    const now_ms = monotonic_ms();
    if (now_ms - (one.begun_ms ?? -Infinity) < one.every_ms) return;
    one.begun_ms = now_ms;
    try {
      await one.look();
      one.is_failing = false;
    } catch (error) {
      const { of, is_failing } = one;
      if (!is_failing) log.warn(`transparency logs of ${of} are behind; retrying`, { error });
      one.is_failing = true;
    }
  }

  find(name: string): NamedTree | undefined {
    const { config: { proof: { records, public_records } }, classes, logs } = this.#options;
    if (name === AUDIT_TREE) {
      if (!records.includes("audit")) return undefined;
      const source = auditSource(this.#auditLog);
      return { name, place: [BUS, name], source, is_public: public_records };
    }
    const block = blockTreeOf(name);
    const [tenant_id = "", room_id = "", ...rest] = block ? [block.tenant_id] : name.split(".");
    if (!isId(tenant_id) || rest.length > 0) return undefined;
    if (block !== undefined) {
      const blocks = this.#blocks.find((one) => one.name === block.record);
      if (blocks === undefined) return undefined;
      // No room has the name of a record.
      const place = [tenant_id, `+${block.record}`];
      return { name, place, source: blockSource(blocks, tenant_id), is_public: false, tenant_id };
    }
    // Clients read no reserved room as another one, and a class may make all trees public.
    if (!isId(room_id) || reservedRoom(room_id) !== undefined) return undefined;
    const one = classes.of(tenant_id, room_id);
    if (!one.durable || !one.proof) return undefined;
    const recent = (after: Position, limit: number) =>
      logs.recent(tenant_id, room_id, after, limit);
    const source = roomSource(() => logs.of(tenant_id), room_id, recent);
    const place = [tenant_id, room_id];
    const is_partial = one.filter !== undefined || !one.echo;
    return { name, place, source, is_public: one.proof_public, is_partial, tenant_id, room_id };
  }

  /**
   * Whether a found tree exists, or its tenant is known here. No request may create keys and logs for unknown tenants.
   * Rejects as the Spine does.
   */
  async isThere({ tenant_id, room_id }: NamedTree): Promise<boolean> {
    if (tenant_id === undefined || room_id === undefined) return true;
    if (this.#options.tenants.has(tenant_id)) return true;
    return await (await this.#openBucket()).get([tenant_id, room_id, "head"]) !== undefined;
  }

  /** Opens a tree that `find` has found. Rejects as the Spine does. */
  async open({ name, tenant_id: owner = BUS, place, source }: NamedTree): Promise<RecordTree> {
    const bucket = await this.#openBucket();
    const known = this.#trees.get(name);
    if (known !== undefined) return known;
    const { keys, node_id, log, monotonic_ms } = this.#options;
    const origin = this.#originOf(name);
    const tree = new RecordTree({
      origin,
      place,
      bucket,
      source,
      node_id,
      log,
      counts: this.counts,
      monotonic_ms,
      keys: () => keys.of(owner, origin),
      cosign: this.#cosign,
      writings: this.#writings,
    });
    this.#trees.set(name, tree);
    return tree;
  }

  /**
   * The newest checkpoint: at most a second old, and signed by every served key. Rejects as `RecordTree.advance` does.
   */
  async checkpoint(tree: RecordTree): Promise<string> {
    if (this.#options.monotonic_ms() - tree.worked_ms >= LOOK_MS) await this.#advance(tree);
    // Running work may have begun with earlier keys.
    for (let turn = 0; turn < 2 && !await tree.isSignedByAll(); turn++) await this.#advance(tree);
    const checkpoint = await tree.checkpoint();
    if (checkpoint !== "") return checkpoint;
    throw new ArqonError("log-unavailable", "the tree has no checkpoint yet", {
      retry_after_ms: LOOK_MS,
    });
  }

  /** The receipt of a stored message, or why there is none, as the result of an ACK. Never rejects. */
  readonly receipt: Receipts = async (room, stored) => {
    const { logs, keys, log } = this.#options;
    try {
      const { tenant_id, room_id } = room;
      const durable = await logs.of(tenant_id);
      const bytes = await leafAt(durable, room_id, stored);
      const origin = this.#originOf(roomTree(tenant_id, room_id));
      await this.#note(tenant_id);
      const { signers } = await keys.of(tenant_id, origin);
      // By the log's clock, as the entry's time: a Shield whose own is behind would break its promise when it signs.
      const by_ms = durable.now() + PROMISE_MS;
      return resultOf({ receipt: await signReceipt({ origin, bytes, by_ms }, signers) });
    } catch (error) {
      log.warn("a message has no receipt", { ...room, error });
      const { reason, message } = new ArqonError("log-unavailable", NO_RECEIPT);
      return resultOf({ receipt: null, reason, message });
    }
  };

  #originOf(name: string): string {
    return `${this.#options.config.proof.origin}/${name}`;
  }

  async #advance(tree: RecordTree): Promise<boolean> {
    try {
      return await tree.advance();
    } catch (error) {
      this.counts.failed++;
      throw error;
    }
  }

  /** Advances the trees of tenants that this Shield serves. */
  async #look(): Promise<void> {
    const { tenants } = this.#options;
    const proven = this.#proven();
    const named = proven.flatMap(({ tenant }) => tenant === "*" ? [] : [tenant]);
    const seen = proven.length === 0 ? [] : [...tenants.entries()].map(([tenant_id]) => tenant_id);
    const tenant_ids = [...new Set([...seen, ...named])];
    await eachOf(tenant_ids, TENANTS_AT_A_TIME, (tenant_id) => this.#lookAt(tenant_id, proven));
  }

  /** Advances the trees that Shields of other tenants may have left behind. */
  async #lookAtLeft(): Promise<void> {
    const proven = this.#proven();
    if (proven.length === 0) return;
    const bucket = await this.#openBucket();
    await eachOf(await bucket.keys([LATELY]), TENANTS_AT_A_TIME, async (key) => {
      const [, tenant_id = ""] = key;
      if (!this.#options.tenants.has(tenant_id)) await this.#lookAt(tenant_id, proven);
      await this.#forget(bucket, key);
    });
  }

  /** The classes of rooms that have trees. */
  #proven(): readonly OwnedClass[] {
    return this.#options.classes.list().filter(({ proof, durable }) => proof && durable);
  }

  /**
   * Removes records that no Shield has renewed for FORGET_MS by this Shield's clock, since the wall clocks of Shields
   * differ. Rejects as the Spine does.
   */
  async #forget(bucket: KeyValue, key: KvKey): Promise<void> {
    const name = key.join("/");
    const now_ms = this.#options.monotonic_ms();
    const seen = this.#left.get(name);
    if (seen !== undefined && now_ms - seen.since_ms < FORGET_MS) return;
    const revision = (await bucket.get(key))?.revision;
    if (revision === undefined) return;
    if (seen?.revision === revision) await bucket.delete(key, revision);
    this.#left.set(name, { revision, since_ms: now_ms });
  }

  /** Records for other Shields that this one follows a tenant's log. Rejects as the Spine does. */
  async #note(tenant_id: string): Promise<void> {
    const { monotonic_ms } = this.#options;
    const noted_ms = monotonic_ms();
    if (noted_ms - (this.#noted.get(tenant_id) ?? -Infinity) < NOTE_MS) return;
    const bucket = await this.#openBucket();
    await bucket.put([LATELY, tenant_id], new Uint8Array());
    this.#noted.set(tenant_id, noted_ms);
  }

  async #lookAtAudit(): Promise<void> {
    if (this.find(AUDIT_TREE) === undefined) return;
    const { last } = await (await this.#auditLog()).status();
    if (last === this.#audit_offset) return;
    if (await this.#advanced(AUDIT_TREE)) this.#audit_offset = last;
  }

  /** Advances the trees of blocks. */
  async #lookAtBlocks(): Promise<void> {
    if (this.#blocks.length === 0) return;
    const { tenants, monotonic_ms } = this.#options;
    const now_ms = monotonic_ms();
    const lately: string[] = [];
    for (const [tenant_id, totals] of tenants.entries()) {
      const done = Object.values(totals).join();
      const known = this.#doing.get(tenant_id);
      const since_ms = known?.done === done ? known.since_ms : now_ms;
      if (since_ms === now_ms) this.#doing.set(tenant_id, { done, since_ms });
      if (now_ms - since_ms < LATELY_MS) lately.push(tenant_id);
    }
    const is_all = now_ms - this.#all_blocks_ms >= ALL_BLOCKS_MS;
    for (const { name, open } of this.#blocks) {
      const whose = is_all ? await (await open()).tenants() : lately;
      const advance = (tenant_id: string) => this.#advanced(blockTree(name, tenant_id));
      await eachOf(whose, TREES_AT_A_TIME, advance);
    }
    if (is_all) this.#all_blocks_ms = now_ms;
  }

  /** Advances a tree; undefined: there is no such tree. */
  async #advanced(name: string): Promise<boolean | undefined> {
    const named = this.find(name);
    return named && await this.#advance(await this.open(named));
  }

  /** Advances the trees of a tenant's rooms. Rejects as the Spine does. */
  async #lookAt(tenant_id: string, proven: readonly OwnedClass[]): Promise<void> {
    const { monotonic_ms, classes, logs } = this.#options;
    const patterns = proven.filter(({ tenant }) => tenant === "*" || tenant === tenant_id)
      .map(({ pattern }) => pattern);
    if (patterns.length === 0 || !logs.has(tenant_id)) return;
    const log = await logs.of(tenant_id);
    const { stream, log_offset } = await log.status();
    // Another class may have older rooms.
    const state = `${stream}/${log_offset}/${fnvText(patterns.join(" "))}`;
    if (state === this.#settled.get(tenant_id)) return;
    const watched: Watched = this.#tenants.get(tenant_id) ??
      { stream: "", state: "", listed_ms: -Infinity, rooms: [], heads: new Map() };
    this.#tenants.set(tenant_id, watched);
    const is_listing = monotonic_ms() - watched.listed_ms >= LIST_MS;
    if (!is_listing && watched.state === state) return;
    watched.state = "";
    await this.#note(tenant_id);
    // In another log the same offset is another message.
    if (watched.stream !== stream) watched.heads.clear();
    watched.stream = stream;
    if (is_listing) {
      const rooms = await roomsOf(log, patterns);
      watched.rooms = rooms.filter((room_id) => classes.of(tenant_id, room_id).proof);
      const listed = new Set(watched.rooms);
      for (const room_id of watched.heads.keys()) {
        if (!listed.has(room_id)) watched.heads.delete(room_id);
      }
      watched.listed_ms = monotonic_ms();
    }
    const behind: [room_id: string, head: number][] = [];
    for (let from = 0; from < watched.rooms.length; from += ROOMS_PAGE) {
      const heads = await log.heads(watched.rooms.slice(from, from + ROOMS_PAGE));
      behind.push(...[...heads].filter(([room_id, head]) => watched.heads.get(room_id) !== head));
    }
    let is_done = true;
    await eachOf(behind, TREES_AT_A_TIME, async ([room_id, head]) => {
      const named = this.find(roomTree(tenant_id, room_id));
      if (named === undefined) return;
      const tree = await this.open(named);
      // A page of a lagging replica may end before the head.
      const is_advanced = await this.#advance(tree) && tree.offset >= head;
      if (is_advanced) watched.heads.set(room_id, head);
      is_done &&= is_advanced;
    });
    if (!is_done) return;
    watched.state = state;
    // An older list may lack a room whose first message is in this state.
    if (is_listing) this.#settled.set(tenant_id, state);
  }
}

const resultOf = (result: Readonly<Record<string, string | null>>): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(result));

/**
 * Runs it for all, a limited number at a time. Rejects with the first failure after all have ended, so a failure does
 * not stop the others.
 */
async function eachOf<T>(
  all: readonly T[],
  at_a_time: number,
  work: (one: T) => Promise<unknown>,
): Promise<void> {
  const failures: unknown[] = [];
  const left = all.values();
  const some = async () => {
    for (const one of left) {
      // An embedded store answers in the same turn.
      await slice(STRANGERS);
      await work(one).catch((error) => failures.length === 0 && failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: Math.min(at_a_time, all.length) }, some));
  if (failures.length > 0) throw failures[0];
}

async function roomsOf(log: DurableLog, patterns: readonly string[]): Promise<string[]> {
  const rooms = new Set(patterns.filter((pattern) => !pattern.endsWith("*")));
  for (const pattern of patterns.filter((one) => one.endsWith("*"))) {
    const prefix = pattern.slice(0, -1);
    for (let [after, more] = ["", true]; more && rooms.size < ROOMS_MAX;) {
      const page = await log.rooms({ prefix, after, limit: ROOMS_PAGE });
      for (const room of page.rooms) rooms.add(room);
      after = page.rooms.at(-1) ?? "";
      more = page.more && page.rooms.length > 0;
    }
  }
  return [...rooms];
}
