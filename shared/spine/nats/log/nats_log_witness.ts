/**
 * Processes that ask each other how far a stream is: who has followed it without a break knows whether
 * what is there now is the same stream or an older copy. One small question to whoever comes; what the
 * answers mean is in `nats_log_lives.ts`.
 */
import { BoundedMap } from "../../../containers/bounded_map.ts";
import { samplingHash } from "../../../sampling.ts";
import { processSubject } from "../../../subjects/subject.ts";
import { newLifeId } from "../../contract/lives.ts";
import type { Link } from "../connection/nats_link.ts";

/** What somebody knows of a stream. */
export interface Tail {
  /** Name of the life that it was in. */
  readonly life: string;
  /** The highest offset that it has seen given; 0: none. */
  readonly given: number;
  /** A message up to there, and when the server says it was stored, as it writes times; 0 and "": none. */
  readonly offset: number;
  readonly time: string;
}

/** What came of asking: a tail, word that nobody listens, or somebody who listens and does not answer. */
export type Told = Tail | "nobody" | "silence";

/** The answer of a server when nobody listens. */
const NO_RESPONDERS = 503;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

// One that Shields and Brains may use both ways under the accounts of docs/run_nats.md.
const subjectOf = (stream: string) =>
  processSubject("answers", `log-${samplingHash(stream).toString(36)}`);

function readTail(bytes: Uint8Array, stream: string): Tail | undefined {
  try {
    const said = JSON.parse(decoder.decode(bytes));
    const { life, given, offset, time } = said;
    const is_right = said.stream === stream && typeof life === "string" &&
      Number.isSafeInteger(given) && Number.isSafeInteger(offset) && offset >= 0 &&
      offset <= given && typeof time === "string";
    return is_right ? { life, given, offset, time } : undefined;
  } catch {
    return undefined;
  }
}

/** The stream that a tail is of; undefined: none. */
function streamOf(bytes: Uint8Array): string | undefined {
  try {
    const { stream } = JSON.parse(decoder.decode(bytes));
    return typeof stream === "string" ? stream : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Answers for the stream with what `tail` says, until the returned function is called. `tail` may take
 * its time while it is being settled; whoever asks waits a moment.
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
      // Whoever asks waits a moment, and then goes by what the log itself says.
      answer(reply).catch((error) => link.log.debug("no answer about a log", { stream, error }));
    },
  });
  return () => {
    is_over = true;
    subscription.unsubscribe();
  };
}

/**
 * What the first to answer knows; "nobody" at once when none is there, "silence" after `timeout_ms` when
 * one is: a process that is stopped, or too busy, keeps its subscription.
 */
export async function askForTail(
  link: Link,
  stream: string,
  random: () => number,
  timeout_ms: number,
): Promise<Told> {
  const { promise, resolve } = Promise.withResolvers<Told>();
  const reply = processSubject("answers", `log-${newLifeId(random)}`);
  const subscription = link.connection.subscribe(reply, {
    callback: (error, { data, headers }) => {
      const is_told = !error && headers?.code !== NO_RESPONDERS;
      resolve((is_told ? readTail(data, stream) : undefined) ?? "nobody");
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

/** So many streams are remembered, or counted, at once; the first one is forgotten then. */
const STREAMS_MAX = 65_536;

/** On which a process that ends tells what it knows of a stream: those who know it may end before others ask. */
const ENDS = processSubject("answers", "logs-told");
/** An older notice is no proof: others may have seen more since. */
const TOLD_MS = 30_000;

/** Tells all others at the end of this process. */
export function tellTail({ connection }: Link, stream: string, tail: Tail): void {
  connection.publish(ENDS, encoder.encode(JSON.stringify({ stream, ...tail })));
}

/** Last tails of streams by processes that have ended, since this connection began or came back. */
export class ToldTails {
  readonly #tails = new BoundedMap<string, { readonly tail: Tail; readonly at_ms: number }>(
    STREAMS_MAX,
  );
  readonly #monotonic: () => number;

  constructor({ connection, log }: Link, monotonic: () => number) {
    this.#monotonic = monotonic;
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
          this.#tails.set(stream, { tail, at_ms: monotonic() });
        }
      },
    });
  }

  /** The connection is lost: somebody may have said more meanwhile. */
  cut(): void {
    this.#tails.clear();
  }

  of(stream: string): Tail | undefined {
    const told = this.#tails.get(stream);
    return told !== undefined && this.#monotonic() - told.at_ms <= TOLD_MS ? told.tail : undefined;
  }
}

/**
 * For how long those who know a stream have been asked in vain while they were there: one that was
 * stopped may answer the next question. Counts only the time of questions, however far apart they are;
 * of one connection, since a log that could not be opened is forgotten. Pure.
 */
export class Silences {
  readonly #bound_ms: number;
  readonly #asked_ms = new BoundedMap<string, number>(STREAMS_MAX);

  /** `bound_ms`: for so long the next question is worth asking. */
  constructor(bound_ms: number) {
    this.#bound_ms = bound_ms;
  }

  /** Takes what a question that had `timeout_ms` brought. True: it is to be asked again. */
  goOn(stream: string, told: Told, timeout_ms: number): boolean {
    if (told !== "silence") {
      this.#asked_ms.delete(stream);
      return false;
    }
    const asked_ms = (this.#asked_ms.get(stream) ?? 0) + timeout_ms;
    this.#asked_ms.set(stream, asked_ms);
    return asked_ms < this.#bound_ms;
  }

  /** It is settled what the stream is: whoever asks from now on asks something new. */
  forget(stream: string): void {
    this.#asked_ms.delete(stream);
  }
}
