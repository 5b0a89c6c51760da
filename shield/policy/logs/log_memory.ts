/**
 * The last `host_log` lines of each tenant, for later queries (`arq policy logs`). Only lines of this process, in
 * memory and limited: the process's own log has all. `log_followers.ts` follows lines from now on.
 */
import type { Env } from "../../../shared/env.ts";
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import { logText } from "./log_followers.ts";
import type { PolicyLog } from "../../../shared/records/verdict.ts";

/** The most tenants with remembered lines. The least recently active one is dropped first. */
const TENANTS_MAX = 256;
/** The most characters of one tenant's lines. */
const CHARACTERS_MAX = 65_536;

interface Line {
  readonly at_ms: number;
  readonly log: PolicyLog;
}

/** The lines of one tenant, the oldest first. */
interface Remembered {
  readonly lines: Line[];
  characters: number;
}

interface LogMemoryOptions extends Pick<Env, "now"> {
  /** The most lines of one tenant; 0: none is remembered. */
  readonly lines_max: number;
  readonly tenants_max?: number;
  readonly characters_max?: number;
}

const sizeOf = ({ name, message }: PolicyLog) => name.length + message.length;

/** The remembered lines of a process. */
export class LogMemory {
  readonly #options: LogMemoryOptions;
  /** The lines by tenant; the tenant that logged most recently is last. */
  readonly #tenants: BoundedMap<string, Remembered>;
  #lines = 0;

  constructor(options: LogMemoryOptions) {
    this.#options = options;
    this.#tenants = new BoundedMap(options.tenants_max ?? TENANTS_MAX);
  }

  /** The number of remembered lines of all tenants. */
  get size(): number {
    return this.#lines;
  }

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

  /** A tenant's lines as NDJSON of `{"ts","policy","level","message"}`, the oldest first; "" without lines. */
  read(tenant_id: string): string {
    const { lines } = this.#tenants.get(tenant_id) ?? { lines: [] };
    return lines.map(({ log, at_ms }) => logText(log, at_ms)).join("");
  }

  forget(tenant_id: string): void {
    this.#lines -= this.#tenants.get(tenant_id)?.lines.length ?? 0;
    this.#tenants.delete(tenant_id);
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
