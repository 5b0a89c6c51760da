/**
 * Which decisions are recorded, and how: the keys of a room's class override those of `[journal]`. Pure; a rule is one
 * object for the lifetime of its class.
 */
import type { Config } from "../../shared/config/schema.ts";
import { isSampled } from "../../shared/sampling.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";

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
