/**
 * The last `host_log` lines of each tenant, for people who ask afterwards (`arq policy logs`). Of this
 * process only, in memory, bounded: what is to stay is in the process's own log. Who listens from now
 * on is `log_followers.ts`.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import { logText } from "./log_followers.ts";
import type { PolicyLog } from "../abi/policy.ts";

/** Tenants whose lines are remembered; one more, and those that have logged nothing for longest go. */
const TENANTS_MAX = 256;
/** Characters of one tenant's lines. */
const CHARACTERS_MAX = 65_536;

interface Line {
  readonly at_ms: number;
  readonly log: PolicyLog;
}

/** What one tenant has logged, the oldest first. */
interface Remembered {
  readonly lines: Line[];
  characters: number;
}

/** Bounds of the memory. */
export interface LogMemoryOptions {
  /** Lines of one tenant; 0: none is remembered. */
  readonly lines_max: number;
  readonly tenants_max?: number;
  readonly characters_max?: number;
  /** Unix ms. */
  readonly now: () => number;
}

const sizeOf = ({ name, message }: PolicyLog) => name.length + message.length;

/** What a process remembers. */
export class LogMemory {
  readonly #options: LogMemoryOptions;
  /** Whoever has logged last is last. */
  readonly #tenants: BoundedMap<string, Remembered>;
  #lines = 0;

  constructor(options: LogMemoryOptions) {
    this.#options = options;
    this.#tenants = new BoundedMap(options.tenants_max ?? TENANTS_MAX);
  }

  /** Lines that are remembered now, of all tenants. */
  get size(): number {
    return this.#lines;
  }

  /** Takes the lines of one evaluation. */
  remember(tenant_id: string, logs: readonly PolicyLog[], at_ms = this.#options.now()): void {
    if (this.#options.lines_max === 0) return;
    const kept = this.#tenants.get(tenant_id) ?? { lines: [], characters: 0 };
    for (const log of logs) {
      kept.lines.push({ at_ms, log });
      kept.characters += sizeOf(log);
      this.#lines++;
    }
    this.#trim(kept);
    this.#lines -= this.#tenants.renew(tenant_id, kept)?.lines.length ?? 0;
  }

  /** NDJSON of `{"ts","policy","level","message"}`, the oldest first; "" when nothing is remembered. */
  read(tenant_id: string): string {
    const { lines } = this.#tenants.get(tenant_id) ?? { lines: [] };
    return lines.map(({ log, at_ms }) => logText(log, at_ms)).join("");
  }

  #trim(kept: Remembered): void {
    const { lines_max, characters_max = CHARACTERS_MAX } = this.#options;
    while (kept.lines.length > lines_max || kept.characters > characters_max) {
      const gone = kept.lines.shift();
      if (gone === undefined) return;
      kept.characters -= sizeOf(gone.log);
      this.#lines--;
    }
  }
}
