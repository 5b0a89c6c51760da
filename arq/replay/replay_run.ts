/**
 * A replay over all its threads: hands out pieces of the journal, gives modules to threads that need them,
 * and adds up what they have counted. It reads no record.
 */
import type { JournalChunk } from "./journal_chunks.ts";
import type { Flip, ReplayMail, ReplayNews } from "./replay_thread.ts";
import type { ReplayModule } from "./repeater.ts";
import type { ReplaySelection } from "./selection.ts";
import { addTally, emptyTally, type Tally } from "./tally.ts";

/** What a replay needs. */
export interface ReplayRunOptions {
  readonly chunks: AsyncIterable<JournalChunk>;
  readonly selection: ReplaySelection;
  readonly candidate: ReplayModule;
  readonly moduleOf: (sha256: string) => Promise<ReplayModule | undefined>;
  readonly threads: number;
  /** When it is aborted, no more pieces are read; what was read is counted. */
  readonly signal: AbortSignal;
  /** Takes each flip, in the order of the journal; absent: nobody wants them. */
  readonly onFlips?: (flips: readonly Flip[]) => Promise<void>;
  /** Called with the number of calls so far. */
  readonly onProgress: (decisions: number) => void;
}

/** Pieces that a thread has at a time: the one that it reads, and the next. */
const AHEAD = 2;

/** A thread as the run sees it. */
interface Lane {
  readonly thread: Worker;
  decisions: number;
  /** Resolves with the thread's counts, after `finish`. */
  readonly tally: PromiseWithResolvers<Tally>;
}

const post = ({ thread }: Lane, mail: ReplayMail, moved: Transferable[] = []) =>
  thread.postMessage(mail, moved);

class ReplayRun {
  readonly #options: ReplayRunOptions;
  readonly #lanes: Lane[];
  /** Lanes that take a piece, once for each. */
  readonly #free: Lane[] = [];
  #wake = () => {};
  /** Flips by the number of their piece, until those before them are written. */
  readonly #flips = new Map<number, readonly Flip[]>();
  #next_written = 0;
  #written: Promise<void> = Promise.resolve();
  #failed: { readonly error: unknown } | undefined;

  constructor(options: ReplayRunOptions) {
    this.#options = options;
    this.#lanes = Array.from({ length: options.threads }, (_, at) => this.#start(at));
    for (let ahead = 0; ahead < AHEAD; ahead++) this.#free.push(...this.#lanes);
  }

  #start(at: number): Lane {
    const thread = new Worker(new URL("./replay_thread.ts", import.meta.url), {
      type: "module",
      name: `replay-${at}`,
      deno: { permissions: "none" },
    });
    const lane = { thread, decisions: 0, tally: Promise.withResolvers<Tally>() };
    // It is awaited only after the last piece.
    lane.tally.promise.catch(() => {});
    thread.onmessage = ({ data }: MessageEvent<ReplayNews>) => this.#hear(lane, data);
    thread.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Error(`a thread of the replay has died: ${event.message}`));
    };
    const { selection, candidate, onFlips } = this.#options;
    post(lane, { kind: "start", selection, candidate, keeps_flips: onFlips !== undefined });
    return lane;
  }

  #fail(error: unknown): void {
    this.#failed ??= { error };
    for (const { tally } of this.#lanes) tally.reject(error);
    this.#wake();
  }

  #hear(lane: Lane, news: ReplayNews): void {
    switch (news.kind) {
      case "needs": {
        const { sha256 } = news;
        this.#options.moduleOf(sha256).then(
          (module) => post(lane, { kind: "module", sha256, module }),
          (error) => this.#fail(error),
        );
        return;
      }
      case "done": {
        lane.decisions = news.decisions;
        this.#flips.set(news.number, news.flips);
        this.#write();
        this.#free.push(lane);
        this.#options.onProgress(this.#lanes.reduce((sum, { decisions }) => sum + decisions, 0));
        return this.#wake();
      }
      case "tally":
        return lane.tally.resolve(news.tally);
      default:
        news satisfies never;
    }
  }

  /** Hands over flips of pieces whose predecessors have been handed over. */
  #write(): void {
    const { onFlips } = this.#options;
    for (let flips; (flips = this.#flips.get(this.#next_written)) !== undefined;) {
      this.#flips.delete(this.#next_written++);
      if (onFlips === undefined || flips.length === 0) continue;
      const written = flips;
      this.#written = this.#written.then(() => onFlips(written));
      this.#written.catch((error) => this.#fail(error));
    }
  }

  async #freeLane(): Promise<Lane | undefined> {
    for (;;) {
      if (this.#failed !== undefined) throw this.#failed.error;
      if (this.#options.signal.aborted) return undefined;
      const lane = this.#free.shift();
      if (lane !== undefined) return lane;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async run(): Promise<Tally> {
    const { chunks, signal } = this.#options;
    const stop = () => this.#wake();
    signal.addEventListener("abort", stop);
    try {
      let number = 0;
      try {
        for await (const chunk of chunks) {
          const lane = await this.#freeLane();
          if (lane === undefined) break;
          post(lane, { kind: "chunk", number: number++, chunk }, [chunk.bytes.buffer]);
        }
      } catch (error) {
        // A stream that the signal has ended is an end like another.
        if (!signal.aborted) throw error;
      }
      for (const lane of this.#lanes) post(lane, { kind: "finish" });
      const all = emptyTally();
      for (const { tally } of this.#lanes) addTally(all, await tally.promise);
      await this.#written;
      return all;
    } finally {
      signal.removeEventListener("abort", stop);
      for (const { thread } of this.#lanes) thread.terminate();
    }
  }
}

/** Runs a replay to its end, or to the signal. Throws what reading the journal throws. */
export async function replay(options: ReplayRunOptions): Promise<Tally> {
  return await new ReplayRun(options).run();
}
