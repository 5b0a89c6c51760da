/**
 * What is known of Shields that ended without a word. Each that writes decisions leaves a mark every few seconds
 * that says up to when all of its decisions are stored, and a last one when it ends in order. Where the last one
 * is missing, decisions may be: those are told as a hole. Marks stand in the bucket of users' keys; blocks and
 * holes that a living Shield tells of are `queue.ts`.
 */
import { z } from "zod";
import type { JournalHole } from "../../shared/journal/record.ts";
import { RECORD_FORMAT } from "../../shared/journal/record.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { KeyValue, KvKey } from "../../shared/spine/contract/spine.ts";

/** How often a Shield says that it lives, in ms. */
const BEAT_MS = 5_000;
/** Who has said nothing for so long is taken as ended: clocks differ, and NATS may have been away. */
const SILENT_MS = 60_000;
/** A decision is written so much later than it was asked for, at most: a policy may take a while. */
const IN_DECISION_MS = 1_000;
/** The most ends that a reader is told of, the latest. */
const TOLD_MAX = 1_000;
/** The place of all marks: `b`, the node, and when it was started. */
const MARKS = "b";

/** Up to when all is stored or told as a hole, Unix ms, and whether the process ended so. */
const Mark = z.strictObject({ sure_ms: z.int().min(0), is_over: z.boolean() });
type Mark = z.output<typeof Mark>;

/** What the marks of a process need. */
export interface JournalLifeOptions {
  readonly bucket: () => Promise<Pick<KeyValue, "put">>;
  readonly node_id: string;
  /** Up to when all decisions of this process are stored or told, Unix ms. */
  readonly sure_ms: () => number;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
}

/** The marks of this process. Without a decision it leaves none. */
export class JournalLife {
  readonly #options: JournalLifeOptions;
  readonly #key: KvKey;
  #beats: ReturnType<typeof setInterval> | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: JournalLifeOptions) {
    this.#options = options;
    this.#key = [MARKS, options.node_id, String(options.now())];
  }

  /** A decision is to be written: from now on its end is told. */
  begin(): void {
    if (this.#beats !== undefined) return;
    const { sure_ms } = this.#options;
    const beat = () => this.#mark({ sure_ms: sure_ms() - IN_DECISION_MS, is_over: false });
    this.#beats = setInterval(beat, BEAT_MS);
    Deno.unrefTimer(this.#beats);
    beat();
  }

  /** The process ends; without `is_whole` decisions are missing that no block tells of. Never rejects. */
  async end(is_whole: boolean): Promise<void> {
    if (this.#beats === undefined) return;
    clearInterval(this.#beats);
    if (is_whole) this.#mark({ sure_ms: this.#options.now(), is_over: true });
    await this.#writing;
  }

  /** Writes a mark behind the one before. */
  #mark(mark: Mark): void {
    const { bucket, log } = this.#options;
    this.#writing = this.#writing.then(async () => {
      try {
        await (await bucket()).put(this.#key, new TextEncoder().encode(JSON.stringify(mark)));
      } catch (error) {
        log.debug("the journal's mark was not written", { error });
      }
    });
  }
}

/** A process that has left a mark. */
interface Started {
  readonly node: string;
  readonly began_ms: number;
  readonly mark: Mark;
}

/** Processes in the order of their starts, a bounded number of them. */
async function started(
  bucket: Pick<KeyValue, "keys" | "get">,
  which: "oldest" | "latest",
): Promise<readonly Started[]> {
  const keys = (await bucket.keys([MARKS])).toSorted((a, b) => Number(a[2]) - Number(b[2]));
  const bounded = which === "latest" ? keys.slice(-TOLD_MAX) : keys.slice(0, TOLD_MAX);
  const found: Started[] = [];
  for (const key of bounded) {
    const [, node = "", began = ""] = key;
    const entry = await bucket.get(key);
    const mark = entry === undefined ? undefined : markIn(entry.value);
    if (mark !== undefined) found.push({ node, began_ms: Number(began), mark });
  }
  return found;
}

function markIn(value: Uint8Array): Mark | undefined {
  try {
    return Mark.safeParse(JSON.parse(new TextDecoder().decode(value))).data;
  } catch {
    return undefined;
  }
}

/**
 * The holes that Shields left which ended without a word: from when on decisions may be missing, up to the next
 * start of that node, or now. Rejects with `spine-unavailable`.
 */
export async function silentEnds(
  bucket: Pick<KeyValue, "keys" | "get">,
  tenant: string,
  now_ms: number,
): Promise<readonly JournalHole[]> {
  const all = await started(bucket, "latest");
  return all.flatMap(({ node, began_ms, mark: { sure_ms, is_over } }) => {
    if (is_over) return [];
    const next = all.find((one) => one.node === node && one.began_ms > began_ms);
    if (next === undefined && now_ms - sure_ms < SILENT_MS) return [];
    const to_ms = Math.max(sure_ms, next?.began_ms ?? now_ms);
    const hole = { node, tenant, from_ms: sure_ms, to_ms, records: null, why: "killed" };
    return [{ format: RECORD_FORMAT, hole }];
  });
}

/** Deletes marks of processes that ended before all that is left. Returns how many. */
export async function sweepMarks(
  bucket: Pick<KeyValue, "keys" | "get" | "delete">,
  before_ms: number,
): Promise<number> {
  let swept = 0;
  for (const { node, began_ms, mark } of await started(bucket, "oldest")) {
    if (mark.sure_ms >= before_ms) continue;
    await bucket.delete([MARKS, node, String(began_ms)]);
    swept++;
  }
  return swept;
}
