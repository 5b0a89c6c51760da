/**
 * A replay over all its threads: hands out chunks of the journal, sends modules to threads that need them, and adds up
 * their counts. It parses no record.
 */
import type { JournalChunk } from "./journal_chunks.ts";
import { type Lane, Lanes } from "./lanes.ts";
import type { Flip, ReplayMail, ReplayNews } from "./replay_thread.ts";
import type { ReplayModule } from "./repeater.ts";
import type { ReplaySelection } from "./selection.ts";
import { addTally, emptyTally, type Tally } from "./tally.ts";

interface ReplayRunOptions {
  readonly chunks: AsyncIterable<JournalChunk>;
  readonly selection: ReplaySelection;
  readonly candidate: ReplayModule;
  readonly moduleOf: (sha256: string) => Promise<ReplayModule | undefined>;
  readonly threads: number;
  /** After the abort no more chunks are read; the results so far are counted. */
  readonly signal: AbortSignal;
  /** Receives each flip, in the order of the journal; absent: flips are not needed. */
  readonly onFlips?: (flips: readonly Flip[]) => Promise<void>;
  /** Called with the number of calls so far. */
  readonly onProgress: (decisions: number) => void;
}

/** Runs a replay to its end, or to the signal. Throws the errors of reading the journal. */
export async function replay(options: ReplayRunOptions): Promise<Tally> {
  const { chunks, selection, candidate, moduleOf, onFlips, threads, signal, onProgress } = options;
  // Chunks are read concurrently, and their flips are delivered in the order of the chunks.
  const taken = new Map<number, (flips: readonly Flip[]) => void>();
  let delivered: Promise<unknown> = Promise.resolve();
  const deliver = (number: number) => {
    const { promise, resolve } = Promise.withResolvers<readonly Flip[]>();
    taken.set(number, resolve);
    delivered = delivered.then(() => promise)
      .then((flips) => flips.length === 0 ? undefined : onFlips?.(flips));
    delivered.catch((error) => lanes.fail(error));
  };
  const receive = (lane: Lane<ReplayMail, Tally>, news: ReplayNews): void => {
    switch (news.kind) {
      case "needs": {
        const { sha256 } = news;
        moduleOf(sha256).then(
          (module) => lane.post({ kind: "module", sha256, module }),
          (error) => lanes.fail(error),
        );
        return;
      }
      case "ready":
        return lane.ready();
      case "done":
        taken.get(news.number)?.(news.flips);
        taken.delete(news.number);
        return lane.done(news.decisions);
      case "tally":
        return lane.finish(news.tally);
      default:
        news satisfies never;
    }
  };
  const lanes = new Lanes<ReplayMail, ReplayNews, Tally>({
    threads,
    start: (number) =>
      new Worker(new URL("./replay_thread.ts", import.meta.url), {
        type: "module",
        name: `replay-${number}`,
        deno: { permissions: "none" },
      }),
    first: { kind: "start", selection, candidate, keeps_flips: onFlips !== undefined },
    last: { kind: "finish" },
    receive,
    signal,
    onProgress,
  });
  const tallies = await lanes.run(
    chunks,
    (lane, chunk, number) => {
      deliver(number);
      lane.post({ kind: "chunk", number, chunk }, [chunk.bytes.buffer]);
    },
  );
  await delivered;
  const all = emptyTally();
  for (const tally of tallies) addTally(all, tally);
  return all;
}
