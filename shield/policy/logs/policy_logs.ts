/**
 * `host_log` lines of this process, for people who follow them (`arq policy logs -f`) or ask for the last ones. Best
 * effort: a follower that reads too slowly loses lines and gets their number. The process's own log has all.
 */
import { ArqonError } from "@arqon/proto";
import { isWithinShare } from "../../../shared/turns/fair_bound.ts";
import type { PolicyLog } from "../../../shared/records/verdict.ts";
import type { Env } from "../../../shared/env.ts";
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";

/** The most followers, which tenants share. */
const FOLLOWERS_MAX = 64;
const LINES_MAX = 1_024;
const CHARACTERS_MAX = 262_144;

const LEVELS = ["debug", "info", "warn", "error"];
const encoder = new TextEncoder();

/** A line as NDJSON; `at_ms` is in Unix ms. */
function logText({ name, level, message }: PolicyLog, at_ms: number): string {
  const ts = new Date(at_ms).toISOString();
  return `${JSON.stringify({ ts, policy: name, level: LEVELS[level] ?? "info", message })}\n`;
}

interface Follower {
  readonly tenant_id: string;
  readonly lines: string[];
  characters: number;
  dropped: number;
  /** Resolves the read that waits for a line. */
  wake: (() => void) | undefined;
  ended: boolean;
}

/** The followers of a process. */
export class LogFollowers {
  readonly #now: () => number;
  readonly #followers = new Set<Follower>();

  /** Makes an empty set; `now` is in Unix ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  get size(): number {
    return this.#followers.size;
  }

  /** Sends the lines of one evaluation to the tenant's followers. Costs nothing without followers. */
  publish(tenant_id: string, logs: readonly PolicyLog[], at_ms = this.#now()): void {
    if (this.#followers.size === 0) return;
    for (const follower of this.#followers) {
      if (follower.tenant_id !== tenant_id) continue;
      for (const log of logs) offer(follower, logText(log, at_ms));
      follower.wake?.();
    }
  }

  /**
   * Follows a tenant's lines from now on: NDJSON of `{"ts","policy","level","message"}`, and `{"dropped": n}` in place
   * of lost lines. An empty line is sent at once, so that the reader knows that it follows. Throws `too-many-pending`.
   */
  follow(tenant_id: string): ReadableStream<Uint8Array> {
    const held = [...this.#followers].filter((one) => one.tenant_id === tenant_id).length;
    if (!isWithinShare(FOLLOWERS_MAX, this.#followers.size, held)) {
      throw new ArqonError("too-many-pending", `policy logs already have ${held} followers`);
    }
    const follower: Follower = {
      tenant_id,
      lines: ["\n"],
      characters: 1,
      dropped: 0,
      wake: undefined,
      ended: false,
    };
    this.#followers.add(follower);
    const end = () => {
      follower.ended = true;
      this.#followers.delete(follower);
      follower.wake?.();
    };
    return new ReadableStream({
      pull: async (controller) => {
        const text = await next(follower);
        if (text !== undefined) controller.enqueue(encoder.encode(text));
        else controller.close();
      },
      cancel: end,
    }, { highWaterMark: 0 });
  }

  /** Ends every stream. */
  close(): void {
    for (const follower of this.#followers) {
      follower.ended = true;
      follower.wake?.();
    }
    this.#followers.clear();
  }
}

function offer(follower: Follower, line: string): void {
  const full = follower.lines.length >= LINES_MAX ||
    follower.characters + line.length > CHARACTERS_MAX;
  if (full) {
    follower.dropped++;
    return;
  }
  follower.lines.push(line);
  follower.characters += line.length;
}

/** All waiting lines; undefined when the stream has ended. */
async function next(follower: Follower): Promise<string | undefined> {
  while (follower.lines.length === 0 && !follower.ended) {
    await new Promise<void>((resolve) => {
      follower.wake = resolve;
    });
    follower.wake = undefined;
  }
  if (follower.lines.length === 0) return undefined;
  const lost = follower.dropped > 0 ? `${JSON.stringify({ dropped: follower.dropped })}\n` : "";
  const text = follower.lines.join("") + lost;
  follower.lines.length = 0;
  follower.characters = 0;
  follower.dropped = 0;
  return text;
}

// The last lines of each tenant, for later queries (`arq policy logs`): in memory, and limited.

/** The most tenants with remembered lines. The least recently active one is dropped first. */
const TENANTS_MAX = 256;
/** The most characters of one tenant's lines. */
const TENANT_CHARACTERS_MAX = 65_536;

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
    const { lines_max, characters_max = TENANT_CHARACTERS_MAX } = this.#options;
    while (kept.lines.length > lines_max || kept.characters > characters_max) {
      const gone = kept.lines.shift();
      if (gone === undefined) return;
      kept.characters -= sizeOf(gone.log);
      this.#lines--;
    }
  }
}
