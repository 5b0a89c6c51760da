/**
 * A thread of a replay: a Web Worker without permissions that repeats calls. It requests modules named in records, and
 * returns its counts at the end. `replay_run.ts` starts it.
 */
import type { WorkerScope } from "../../shared/process/thread_answers.ts";
import type { JournalChunk } from "./journal_chunks.ts";
import { Repeater, type ReplayModule } from "./repeater.ts";
import { isSelected, type ReplaySelection } from "./selection.ts";
import type { FlipKind, Sample, Tally } from "./tally.ts";

/** One flip, as written into a file. */
export interface Flip extends Sample {
  readonly kind: FlipKind;
}

/** Messages to the thread. */
export type ReplayMail =
  | {
    readonly kind: "start";
    readonly selection: ReplaySelection;
    readonly candidate: ReplayModule;
    /** Whether every flip is needed, not only samples. */
    readonly keeps_flips: boolean;
  }
  | { readonly kind: "chunk"; readonly number: number; readonly chunk: JournalChunk }
  | {
    readonly kind: "module";
    readonly sha256: string;
    readonly module: ReplayModule | undefined;
  }
  | { readonly kind: "finish" };

/** Messages from the thread. */
export type ReplayNews =
  /** The thread listens: earlier messages would be lost if an imported module awaited something. */
  | { readonly kind: "ready" }
  | { readonly kind: "needs"; readonly sha256: string }
  | {
    readonly kind: "done";
    readonly number: number;
    /** Calls of the policy so far. */
    readonly decisions: number;
    readonly flips: readonly Flip[];
  }
  | { readonly kind: "tally"; readonly tally: Tally };

function serve(scope: WorkerScope<ReplayMail, ReplayNews>): void {
  const modules = new Map<string, PromiseWithResolvers<ReplayModule | undefined>>();
  let repeater: Repeater | undefined;
  let flips: Flip[] = [];
  // One chunk after another: a chunk may wait for a module.
  let last: Promise<void> = Promise.resolve();

  const moduleOf = (sha256: string): Promise<ReplayModule | undefined> => {
    const waiting = Promise.withResolvers<ReplayModule | undefined>();
    modules.set(sha256, waiting);
    scope.postMessage({ kind: "needs", sha256 });
    return waiting.promise;
  };

  const inTurn = (action: (repeater: Repeater) => Promise<void> | void) => {
    last = last.then(() => action(repeater as Repeater));
    // An error ends the thread and is reported to the process.
    last.catch((error) => setTimeout(() => reportError(error)));
  };

  scope.onmessage = ({ data }) => {
    switch (data.kind) {
      case "start": {
        const { selection, candidate, keeps_flips } = data;
        const onFlip = (kind: FlipKind, sample: Sample) => void flips.push({ kind, ...sample });
        const options = { selection, isSelected, candidate, moduleOf };
        repeater = new Repeater(keeps_flips ? { ...options, onFlip } : options);
        return;
      }
      case "module":
        modules.get(data.sha256)?.resolve(data.module);
        return;
      case "chunk":
        return inTurn(async (repeater) => {
          await repeater.feed(data.chunk);
          const { tally: { decisions } } = repeater;
          scope.postMessage({ kind: "done", number: data.number, decisions, flips });
          flips = [];
        });
      case "finish":
        return inTurn((repeater) => scope.postMessage({ kind: "tally", tally: repeater.tally }));
      default:
        data satisfies never;
    }
  };
  scope.postMessage({ kind: "ready" });
}

serve(globalThis as unknown as WorkerScope<ReplayMail, ReplayNews>);
