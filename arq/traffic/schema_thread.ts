/**
 * A thread of a check of traffic: a Web Worker without permissions. It reads lines of a journal or takes events, and
 * reports its counts when told to finish. `schema_run.ts` starts it.
 */
import { isHole, parseLine } from "../../shared/journal/record.ts";
import { SchemaError } from "../../shared/schema/schema_error.ts";
import { isSelected, type ReplaySelection } from "../replay/selection.ts";
import { eventOf, SchemaChecker } from "./schema_checker.ts";
import type { CandidateSchema, TrafficEvent, TrafficTally } from "./schema_checker.ts";

/** Counts of a journal's lines other than events. */
export interface JournalCounts {
  lines: number;
  bad_lines: number;
  holes: number;
  /** Records of other tenants, or outside of the requested rooms or window. */
  outside: number;
}

/** Messages to the thread. */
export type TrafficMail =
  | {
    readonly kind: "start";
    readonly candidate: CandidateSchema;
    readonly selection: Omit<ReplaySelection, "policy">;
  }
  | { readonly kind: "lines"; readonly bytes: Uint8Array<ArrayBuffer> }
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
  | { readonly kind: "tally"; readonly tally: TrafficTally; readonly journal: JournalCounts };

/** The part of the worker's global scope that is used; the workspace's `lib` is the main thread's. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<TrafficMail>) => void) | null;
  postMessage(message: TrafficNews): void;
}

const decoder = new TextDecoder();

function readLines(
  checker: SchemaChecker,
  journal: JournalCounts,
  bytes: Uint8Array,
  selection: Omit<ReplaySelection, "policy">,
): void {
  for (const text of decoder.decode(bytes).split("\n")) {
    if (text.trim() === "") continue;
    journal.lines++;
    const parsed = parseLine(text);
    if ("problem" in parsed) journal.bad_lines++;
    else if (isHole(parsed.line)) journal.holes++;
    else if (!isSelected(parsed.line, { policy: "", ...selection })) journal.outside++;
    else {
      const event = eventOf(parsed.line);
      if (event === "no-payload") checker.tally.no_payload++;
      else if (event !== "no-event") checker.check(event);
    }
  }
}

function serve(scope: WorkerScope): void {
  const journal: JournalCounts = { lines: 0, bad_lines: 0, holes: 0, outside: 0 };
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
    if (data.kind === "finish") {
      return scope.postMessage({ kind: "tally", tally: checker.tally, journal });
    }
    if (data.kind === "lines") readLines(checker, journal, data.bytes, selection);
    else for (const event of data.events) checker.check(event);
    scope.postMessage({ kind: "done", checked: checker.tally.checked });
  };
  scope.postMessage({ kind: "ready" });
}

serve(globalThis as unknown as WorkerScope);
