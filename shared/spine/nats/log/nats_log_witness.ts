/**
 * Processes ask each other for the tail of a stream: a process that followed it without a gap knows whether the present
 * stream is the same one or an older copy. `nats_log_lives.ts` evaluates the answers.
 */
import { BoundedMap } from "../../../containers/bounded_map.ts";
import { samplingHash } from "../../../sampling.ts";
import { processSubject } from "../../../subjects/subject.ts";
import { newLifeId } from "../../contract/lives.ts";
import type { Link } from "../connection/nats_link.ts";

/** What a process knows about a stream. */
export interface Tail {
  /** Name of its newest life. */
  readonly life: string;
  /** The highest offset seen; 0: none. */
  readonly given: number;
  /** The offset of a message at or below `given`, and the server's text of its time; 0 and "": none. */
  readonly offset: number;
  readonly time: string;
}

/** The result of asking: a tail, "nobody" (no responder), or "silence" (a responder without an answer). */
export type WitnessAnswer = Tail | "nobody" | "silence";

/** The server's status for no responders. */
const NO_RESPONDERS = 503;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

// A subject on which Shields and Brains may publish and subscribe under the accounts of docs/run_nats.md.
const subjectOf = (stream: string) =>
  processSubject("answers", `log-${samplingHash(stream).toString(36)}`);

function readTail(bytes: Uint8Array, stream: string): Tail | undefined {
  try {
    const parsed = JSON.parse(decoder.decode(bytes));
    const { life, given, offset, time } = parsed;
    const is_right = parsed.stream === stream && typeof life === "string" &&
      Number.isSafeInteger(given) && Number.isSafeInteger(offset) && offset >= 0 &&
      offset <= given && typeof time === "string";
    return is_right ? { life, given, offset, time } : undefined;
  } catch {
    return undefined;
  }
}

/** The stream that a tail describes; undefined: none. */
function streamOf(bytes: Uint8Array): string | undefined {
  try {
    const { stream } = JSON.parse(decoder.decode(bytes));
    return typeof stream === "string" ? stream : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Answers requests about the stream with the result of `tail`, until the returned function is called. `tail` may be
 * slow while the stream is being decided; requesters wait briefly.
 */
export function vouchFor(link: Link, stream: string, tail: () => Promise<Tail>): () => void {
  let is_over = false;
  const answer = async (reply: string) => {
    const known = encoder.encode(JSON.stringify({ stream, ...await tail() }));
    if (!is_over && link.state === "connected") link.connection.publish(reply, known);
  };
  const subscription = link.connection.subscribe(subjectOf(stream), {
    callback: (error, { data, reply }) => {
      if (error) {
        link.log.warn("cannot say to others how far a log is", { stream, error });
        return;
      }
      if (reply === undefined || reply === "" || decoder.decode(data) !== stream) return;
      // Requesters wait briefly, and then use the log's own state.
      answer(reply).catch((error) => link.log.debug("no answer about a log", { stream, error }));
    },
  });
  return () => {
    is_over = true;
    subscription.unsubscribe();
  };
}

/**
 * The first answer; "nobody" at once without a responder; "silence" after `timeout_ms` with one: a suspended or busy
 * process keeps its subscription.
 */
export async function askForTail(
  link: Link,
  stream: string,
  random: () => number,
  timeout_ms: number,
): Promise<WitnessAnswer> {
  const { promise, resolve } = Promise.withResolvers<WitnessAnswer>();
  const reply = processSubject("answers", `log-${newLifeId(random)}`);
  const subscription = link.connection.subscribe(reply, {
    callback: (error, { data, headers }) => {
      const is_answer = !error && headers?.code !== NO_RESPONDERS;
      resolve((is_answer ? readTail(data, stream) : undefined) ?? "nobody");
    },
  });
  const timer = setTimeout(() => resolve("silence"), timeout_ms);
  try {
    link.connection.publish(subjectOf(stream), encoder.encode(stream), { reply });
    return await promise;
  } finally {
    clearTimeout(timer);
    subscription.unsubscribe();
  }
}

/** The most streams that are remembered or counted; above, the first one is forgotten. */
const STREAMS_MAX = 65_536;

/** The subject on which an ending process publishes its tails: all witnesses may end before others ask. */
const ENDS = processSubject("answers", "logs-told");
/** Older notices are no proof: others may have seen more since. */
const NOTICE_MS = 30_000;

/** Publishes a tail to all other processes when this one ends. */
export function tellTail({ connection }: Link, stream: string, tail: Tail): void {
  connection.publish(ENDS, encoder.encode(JSON.stringify({ stream, ...tail })));
}

/** The last tails of ended processes, received since this connection was opened or restored. */
export class EndedTails {
  readonly #tails = new BoundedMap<string, { readonly tail: Tail; readonly at_ms: number }>(
    STREAMS_MAX,
  );
  readonly #link: Link;

  constructor(link: Link) {
    const { connection, log } = link;
    this.#link = link;
    connection.subscribe(ENDS, {
      callback: (error, { data }) => {
        if (error) {
          return log.warn("does not hear how far logs of processes that end are", { error });
        }
        const stream = streamOf(data);
        const tail = stream === undefined ? undefined : readTail(data, stream);
        if (tail === undefined || stream === undefined) return;
        const before = this.of(stream);
        if (before === undefined || before.given <= tail.given) {
          this.#tails.set(stream, { tail, at_ms: link.monotonic() });
        }
      },
    });
  }

  /** Called when the connection is lost: notices may be missed meanwhile. */
  cut(): void {
    this.#tails.clear();
  }

  of(stream: string): Tail | undefined {
    const notice = this.#tails.get(stream);
    return notice !== undefined && this.#link.monotonic() - notice.at_ms <= NOTICE_MS
      ? notice.tail
      : undefined;
  }
}

/**
 * How long the witnesses of a stream have not answered although connected: a suspended one may answer the next request.
 * Counts only the time of the requests, whatever their distance; one for a connection, because a log that could not be
 * opened is forgotten. Pure.
 */
export class Silences {
  readonly #bound_ms: number;
  readonly #asked_ms = new BoundedMap<string, number>(STREAMS_MAX);

  /** `bound_ms`: after this time without an answer, requests stop. */
  constructor(bound_ms: number) {
    this.#bound_ms = bound_ms;
  }

  /** Records the result of a request with `timeout_ms`. True: ask again. */
  goOn(stream: string, answer: WitnessAnswer, timeout_ms: number): boolean {
    if (answer !== "silence") {
      this.#asked_ms.delete(stream);
      return false;
    }
    const asked_ms = (this.#asked_ms.get(stream) ?? 0) + timeout_ms;
    this.#asked_ms.set(stream, asked_ms);
    return asked_ms < this.#bound_ms;
  }

  /** Called when the stream is decided: later requests count from zero. */
  forget(stream: string): void {
    this.#asked_ms.delete(stream);
  }
}
