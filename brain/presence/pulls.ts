/**
 * Fetches missing changes of writers. Asks the writer, then a Brain that has more; collects the pages; passes on only
 * complete answers. One request a writer at a time, and a bounded number in total. `replicas.ts` decides what is
 * missing, and validates the answers.
 */
import type { PresencePort, Pulled } from "../../shared/presence/messages.ts";
import { joinPages } from "../../shared/presence/pages.ts";
import { type Delta, type Writer, type WriterKey, writerKey } from "../../shared/presence/types.ts";
import { processSubject } from "../../shared/subjects/subject.ts";
import type { BrainPresenceMetrics, Refuse } from "./metrics.ts";
import type { PulledOutcome } from "./replicas.ts";

/** Writers that are asked concurrently; the others are queued. */
export const PULLS_MAX = 16;
/** Requests about one writer before it waits for the next sign of missing changes. */
export const ATTEMPTS = 5;
/** Timeout of the first page of an answer, and between two pages. */
const TIMEOUT_MS = 1_000;
/** The most entries and removals in an answer for each member that a Brain may have; more is invalid. */
const ITEMS_PER_MEMBER = 4;

/** The dependencies of pulling. */
export interface PullsOptions {
  readonly brain_id: string;
  readonly port: PresencePort;
  readonly heartbeat_ms: number;
  readonly members_per_brain: number;
  readonly metrics: BrainPresenceMetrics;
  readonly refuse: Refuse;
  readonly clockOf: (writer: Writer) => number;
  /** A Brain with a higher clock of the writer than `clock`. */
  readonly brainWithMore: (writer: Writer, clock: number) => string | undefined;
  readonly onAnswer: (full: boolean, delta: Delta, authority: boolean) => PulledOutcome;
  /** Called when a pull of this writer ends, with or without success. */
  readonly onEnd: (writer: Writer) => void;
}

interface PullState {
  readonly writer: Writer;
  readonly key: WriterKey;
  attempt: number;
  request: number;
  /** True if the writer itself was asked. */
  authority: boolean;
  pages: Map<number, Delta>;
  /** Entries and removals in the pages. */
  items: number;
  first: Pulled | undefined;
  cancel: () => void;
}

/** The pulls under way. */
export class Pulls {
  readonly #options: PullsOptions;
  readonly #active = new Map<WriterKey, PullState>();
  readonly #requests = new Map<number, PullState>();
  readonly #waiting = new Map<WriterKey, Writer>();
  readonly #timeout_ms: number;
  #next_request: number;

  constructor(options: PullsOptions) {
    this.#options = options;
    this.#timeout_ms = Math.min(TIMEOUT_MS, 2 * options.heartbeat_ms);
    // An answer to an earlier incarnation of this Brain must not match.
    this.#next_request = Math.floor(options.port.random() * 2 ** 40);
  }

  /** Writers that are being pulled, or are queued. */
  get pending(): number {
    return this.#active.size + this.#waiting.size;
  }

  /** Pulls until this writer is up to date, or there is no answer. */
  want(writer: Writer): void {
    const key = writerKey(writer);
    if (this.#active.has(key)) return;
    if (this.#active.size >= PULLS_MAX) {
      this.#waiting.set(key, writer);
      return;
    }
    this.#waiting.delete(key);
    const pull: PullState = {
      writer,
      key,
      attempt: 0,
      request: 0,
      authority: true,
      pages: new Map(),
      items: 0,
      first: undefined,
      cancel: () => {},
    };
    this.#active.set(key, pull);
    this.#ask(pull);
  }

  drop(writer: Writer): void {
    const key = writerKey(writer);
    this.#waiting.delete(key);
    const pull = this.#active.get(key);
    if (pull !== undefined) this.#end(pull);
  }

  /** Restarts every pull under way: the Spine was unreachable. */
  restart(): void {
    for (const pull of this.#active.values()) {
      pull.attempt = 0;
      this.#ask(pull);
    }
  }

  close(): void {
    for (const pull of this.#active.values()) pull.cancel();
    this.#active.clear();
    this.#requests.clear();
    this.#waiting.clear();
  }

  /** Handles a page of an answer, or the answer that the writer is unknown. */
  answered(message: Pulled): void {
    const { metrics } = this.#options;
    const pull = this.#requests.get(message.request);
    if (pull === undefined) {
      metrics.pulls.inc({ outcome: "late" });
      return;
    }
    const { delta } = message;
    if (delta === undefined) {
      metrics.pulls.inc({ outcome: "unknown" });
      this.#again(pull);
      return;
    }
    if (!this.#fits(pull, message, delta)) return this.#cut(pull, "the pages do not fit");
    if (pull.pages.has(message.page)) return;
    pull.first ??= message;
    pull.pages.set(message.page, delta);
    pull.items += delta.entries.length + delta.removed.length;
    if (pull.pages.size < message.pages) {
      this.#expectMore(pull);
      return;
    }
    this.#complete(pull, message);
  }

  #fits(pull: PullState, message: Pulled, delta: Delta): boolean {
    const { first, writer } = pull;
    const items = pull.items + delta.entries.length + delta.removed.length;
    return writerKey(delta.writer) === writerKey(writer) && message.page < message.pages &&
      items <= ITEMS_PER_MEMBER * this.#options.members_per_brain &&
      (first === undefined || (first.pages === message.pages && first.full === message.full));
  }

  #complete(pull: PullState, { pages, full }: Pulled): void {
    const { metrics, onAnswer } = this.#options;
    const parts = Array.from({ length: pages }, (_, page) => pull.pages.get(page)!);
    const delta = joinPages(parts);
    if (delta === undefined) return this.#cut(pull, "the pages are of different moments");
    const outcome = onAnswer(full, delta, pull.authority);
    metrics.pulls.inc({ outcome: outcome === "refused" ? "refused" : "answered" });
    // Merging may have dropped this pull (the writer was retired), or not.
    if (this.#active.get(pull.key) === pull) this.#end(pull);
  }

  #cut(pull: PullState, problem: string): void {
    this.#options.refuse("cut-snapshot", {
      writer: pull.key,
      problem,
      pages: pull.first?.pages,
      received: pull.pages.size,
    });
    this.#again(pull);
  }

  #again(pull: PullState): void {
    pull.attempt += 1;
    if (pull.attempt >= ATTEMPTS) this.#end(pull);
    else this.#ask(pull);
  }

  #ask(pull: PullState): void {
    const { port, brain_id, clockOf, brainWithMore } = this.#options;
    const { writer } = pull;
    this.#requests.delete(pull.request);
    pull.cancel();
    pull.pages = new Map();
    pull.items = 0;
    pull.first = undefined;
    pull.request = this.#next_request++;
    this.#requests.set(pull.request, pull);
    const clock = clockOf(writer);
    // Every second request goes to a Brain: the writer may be down, or unreachable from here.
    const brain = pull.attempt % 2 === 1 ? brainWithMore(writer, clock) : undefined;
    pull.authority = brain === undefined;
    this.#expectMore(pull);
    port.send(processSubject("direct", brain ?? writer.node_id), {
      kind: "pull",
      from: brain_id,
      request: pull.request,
      writer,
      clock,
    });
  }

  #expectMore(pull: PullState): void {
    const { port, metrics } = this.#options;
    pull.cancel();
    // Jitter: Brains that miss the same changes must not all retry at the same moment.
    const delay_ms = this.#timeout_ms * (1 + port.random() / 4);
    pull.cancel = port.after(delay_ms, () => {
      metrics.pulls.inc({ outcome: "timeout" });
      if (pull.pages.size > 0) this.#cut(pull, "pages are missing");
      else this.#again(pull);
    });
  }

  #end(pull: PullState): void {
    pull.cancel();
    this.#requests.delete(pull.request);
    this.#active.delete(pull.key);
    const [next] = this.#waiting.values();
    if (next !== undefined) this.want(next);
    this.#options.onEnd(pull.writer);
  }
}
