/**
 * A thread of a check of traffic: a Web Worker without permissions. It reads lines of a journal or takes events, and
 * reports its counts when told to finish. `schema_traffic.ts` starts it.
 */
import type { WorkerScope } from "../../shared/process/thread_answers.ts";
import { SchemaError } from "../../shared/schema/schema_error.ts";
import { recordsIn } from "../replay/journal_chunks.ts";
import type { ReplaySelection } from "../replay/selection.ts";
import { SchemaChecker } from "./schema_checker.ts";
import type { JournalChunk } from "../replay/journal_chunks.ts";
import type { CandidateSchema, TrafficEvent, TrafficTally } from "./schema_checker.ts";

/** Messages to the thread. */
export type TrafficMail =
  | {
    readonly kind: "start";
    readonly candidate: CandidateSchema;
    readonly selection: Omit<ReplaySelection, "policy">;
  }
  | { readonly kind: "lines" } & JournalChunk
  | { readonly kind: "events"; readonly events: readonly TrafficEvent[] }
  | { readonly kind: "finish" };

/** Messages from the thread. */
export type TrafficNews =
  /** The thread listens. */
  | { readonly kind: "ready" }
  /** It has read its input. */
  | { readonly kind: "done"; readonly checked: number }
  /** The candidate cannot be used. */
  | { readonly kind: "problem"; readonly problem: string }
  | { readonly kind: "tally"; readonly tally: TrafficTally };

function serve(scope: WorkerScope<TrafficMail, TrafficNews>): void {
  let checker: SchemaChecker | undefined;
  let selection: Omit<ReplaySelection, "policy"> = {};
  scope.onmessage = ({ data }) => {
    if (data.kind === "start") {
      try {
        checker = new SchemaChecker(data.candidate);
        selection = data.selection;
      } catch (error) {
        if (!(error instanceof SchemaError)) throw error;
        scope.postMessage({ kind: "problem", problem: error.message });
      }
      return;
    }
    if (checker === undefined) return;
    const { tally } = checker;
    if (data.kind === "finish") return scope.postMessage({ kind: "tally", tally });
    if (data.kind === "events") { for (const event of data.events) checker.check(event); }
    else for (const one of recordsIn(data, tally.journal)) checker.take(one, selection);
    scope.postMessage({ kind: "done", checked: tally.checked });
  };
  scope.postMessage({ kind: "ready" });
}

serve(globalThis as unknown as WorkerScope<TrafficMail, TrafficNews>);
