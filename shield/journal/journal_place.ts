/**
 * The store and the keys of this bus's journal, opened on first use. Without a journal nothing is opened or created.
 * Writers and readers are elsewhere.
 */
import { type Clocks, ClockSteps } from "../../shared/clock_steps.ts";
import type { Config } from "../../shared/config/schema.ts";
import { type JournalHole, RECORD_FORMAT } from "../../shared/journal/record.ts";
import type { Env } from "../../shared/env.ts";
import type { BlockStore } from "../../shared/spine/contract/block_store.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { lossesOf } from "../../shared/lives/life.ts";
import { Lives } from "../../shared/lives/lives.ts";
import { openOnce } from "../../shared/turns/once.ts";
import { JOURNAL_KEYS_BUCKET, JournalKeys } from "./user_keys.ts";
import { isSampled } from "../../shared/sampling.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";

const DAY_SECONDS = 86_400;
/** Interval of the search for unused keys. */
const SWEEP_MS = 6 * 3_600_000;

interface JournalPlaceOptions extends Pick<Env, "log" | "now"> {
  readonly config: {
    readonly journal: Pick<Config["journal"], "log_bytes" | "retention_days" | "keys_held">;
  };
  readonly spine: Pick<Spine, "blocks" | "keyValue" | "onEvent">;
  /** Absent: opened here. */
  readonly lives?: Pick<Lives, "all"> | undefined;
  readonly own?: { readonly node_id: string; readonly began_ms: number };
  /** Monotonic ms, as the queue's; absent: `performance.now`. */
  readonly monotonic_ms?: () => number;
}

/** The journal's store and keys. A failure to open is retried by the next caller. */
export class JournalPlace {
  readonly #options: JournalPlaceOptions;
  readonly #lives: Pick<Lives, "all">;
  #keys: Promise<JournalKeys> | undefined;
  /** `#keys`, once they are open. */
  #open_keys: JournalKeys | undefined;
  #sweeps: ReturnType<typeof setInterval> | undefined;
  #is_closed = false;
  readonly #clocks: Clocks;
  readonly #steps: ClockSteps;

  constructor(options: JournalPlaceOptions) {
    this.#options = options;
    const { now, monotonic_ms = () => performance.now() } = options;
    this.#clocks = { now, monotonic_ms };
    this.#steps = new ClockSteps(this.#clocks);
    this.#lives = options.lives ?? new Lives(options.spine);
  }

  get max_age_ms(): number {
    return this.#options.config.journal.retention_days * DAY_SECONDS * 1_000;
  }

  get keys_held(): number {
    return this.#open_keys?.size ?? 0;
  }

  /** Users' sections that were not written, as the bucket of keys was full. */
  get unkept(): number {
    return this.#open_keys?.unkept ?? 0;
  }

  /** Rejects with `log-unavailable` or `spine-unavailable`. */
  readonly store: () => Promise<BlockStore> = openOnce(() => {
    const { spine, config: { journal } } = this.#options;
    const max_age_seconds = journal.retention_days * DAY_SECONDS;
    return spine.blocks("journal", { max_bytes: journal.log_bytes, max_age_seconds });
  });

  /**
   * The gaps of Shields that ended before writing all: the time from which decisions may be missing, up to the next
   * start of that node, or now. Rejects with `spine-unavailable`.
   */
  async silentEnds(tenant: string): Promise<readonly JournalHole[]> {
    const { own, now } = this.#options;
    const losses = lossesOf(await this.#lives.all(), "journal", now(), own);
    return losses.map(({ life: { node_id: node }, from_ms, to_ms }) => {
      const hole = { node, tenant, from_ms, to_ms, records: null, why: "killed" };
      return { format: RECORD_FORMAT, hole };
    });
  }

  /** Rejects with `spine-unavailable`. */
  keys(): Promise<JournalKeys> {
    if (this.#keys !== undefined) return this.#keys;
    const opening = this.#openKeys();
    this.#keys = opening;
    opening.catch(() => this.#keys = undefined);
    return opening;
  }

  /** Stops following the keys; the store is closed with the Spine. */
  async close(): Promise<void> {
    this.#is_closed = true;
    clearInterval(this.#sweeps);
    // Nothing was opened.
    const keys = await this.#keys?.catch(() => undefined);
    keys?.close();
  }

  async #openKeys(): Promise<JournalKeys> {
    const { spine, log, config: { journal } } = this.#options;
    const bucket = await spine.keyValue(JOURNAL_KEYS_BUCKET);
    const bounds = { keys_max: journal.keys_held };
    const keys = new JournalKeys({ bucket, spine, log, ...this.#clocks, ...bounds });
    if (this.#is_closed) keys.close();
    else {
      this.#open_keys = keys;
      const sweep = () => void this.#sweep(keys);
      this.#sweeps = setInterval(sweep, SWEEP_MS);
      Deno.unrefTimer(this.#sweeps);
    }
    return keys;
  }

  async #sweep(keys: JournalKeys): Promise<void> {
    const { log } = this.#options;
    try {
      // Keys are deleted permanently, so not by a clock that has just jumped.
      if (!this.#steps.isBelieved()) return;
      const swept = await keys.sweep(this.max_age_ms);
      if (swept > 0) {
        log.info("unused keys of the journal were deleted", { swept });
      }
    } catch (error) {
      log.warn("keys of the journal could not be swept", { error });
    }
  }
}

type JournalConfig = Config["journal"];

/** The retention of decisions, in time and number; one object for the same values. */
export interface JournalKeeping {
  readonly ttl_seconds: number;
  /** The most bytes of the tenant's journal. */
  readonly max_bytes: number;
}

/** How the decisions of some rooms are recorded. */
export interface JournalRule {
  readonly mode: "refused" | "all";
  /** The fraction of traces or connections. */
  readonly share: number;
  readonly keeping: JournalKeeping;
  readonly payload: NonNullable<RoomClass["journal_payload"]>;
}

/** The most remembered values, as a tenant's admin may set new ones repeatedly. */
const KEEPINGS_MAX = 1_024;

/** The rules of one process. */
export class JournalRules {
  readonly #config: JournalConfig;
  readonly #keepings = new Map<string, JournalKeeping>();
  #of = new WeakMap<RoomClass, JournalRule | "off">();
  #connections: JournalRule | "off";

  constructor(config: JournalConfig) {
    this.#config = config;
    this.#connections = this.#rule(config);
  }

  /** Applies the current `[journal]`. */
  renew(): void {
    this.#of = new WeakMap();
    this.#connections = this.#rule(this.#config);
  }

  /**
   * The rule of a room's class, or of connections without one; undefined: nothing is recorded. It applies to keys for
   * which `isShared` is true.
   */
  of(room_class: RoomClass | undefined): JournalRule | undefined {
    const rule = room_class === undefined ? this.#connections : this.#ofClass(room_class);
    return rule === "off" ? undefined : rule;
  }

  #ofClass(room_class: RoomClass): JournalRule | "off" {
    const known = this.#of.get(room_class);
    if (known !== undefined) return known;
    const rule = this.#rule(withClass(this.#config, room_class));
    this.#of.set(room_class, rule);
    return rule;
  }

  #rule(config: JournalConfig): JournalRule | "off" {
    const { journal: mode, journal_share: share, journal_payload: payload } = config;
    if (mode === "off" || share === 0) return "off";
    const { journal_ttl_seconds: ttl_seconds, journal_bytes: max_bytes } = config;
    const key = `${ttl_seconds} ${max_bytes}`;
    const keeping = this.#keepings.get(key) ?? { ttl_seconds, max_bytes };
    if (this.#keepings.size >= KEEPINGS_MAX) this.#keepings.clear();
    this.#keepings.set(key, keeping);
    return { mode, share, keeping, payload };
  }
}

/** Whether a key is in the recorded share. */
export function isShared(rule: JournalRule, key: string): boolean {
  return rule.share === 1 || isSampled(key, rule.share);
}

function withClass(config: JournalConfig, one: RoomClass): JournalConfig {
  return {
    ...config,
    journal: one.journal ?? config.journal,
    journal_share: one.journal_share ?? config.journal_share,
    journal_ttl_seconds: one.journal_ttl_seconds ?? config.journal_ttl_seconds,
    journal_payload: one.journal_payload ?? config.journal_payload,
  };
}
