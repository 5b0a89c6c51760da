/**
 * Direct reads of a JetStream stream: any replica answers, with many messages for one request. `nats_log_read.ts` uses
 * them to read a log.
 */
import { type Answer, isNobody, readAnswer } from "../connection/nats_answer.ts";
import type { MessageFrame } from "../connection/nats_frames.ts";
import { Refusal, StreamLost } from "./nats_log_api.ts";
import type { Inbox } from "./nats_log_inbox.ts";
import type { Link } from "../connection/nats_link.ts";

/** The request; the names are JetStream's. */
export type DirectQuestion =
  | {
    /** The first message of the subject at or above `seq`, and those after it. */
    readonly seq: number;
    readonly next_by_subj: string;
    readonly batch: number;
    readonly max_bytes: number;
  }
  | {
    /** The same from the first message stored at or after this time (RFC 3339). */
    readonly start_time: string;
    readonly next_by_subj: string;
    readonly batch: number;
    readonly max_bytes: number;
  }
  /** The newest message of each subject. */
  | { readonly multi_last: readonly string[]; readonly batch: number };

/** The result. */
export interface DirectAnswer {
  readonly messages: readonly Answer[];
  /** Matching messages that were not sent. */
  readonly pending: number;
}

const NOTHING: DirectAnswer = { messages: [], pending: 0 };
const END_OF_BATCH = 204;
const NOT_FOUND = 404;
const PENDING_HEADER = "Nats-Num-Pending";

const encoder = new TextEncoder();

/** The timeout of an answer after the previous one. */
class Patience {
  readonly #timeout_ms: number;
  readonly #expire: () => void;
  #timer: ReturnType<typeof setTimeout>;
  #answered = false;

  constructor(timeout_ms: number, expire: () => void) {
    this.#timeout_ms = timeout_ms;
    this.#expire = expire;
    this.#timer = this.#start();
  }

  answered(): void {
    this.#answered = true;
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #start(): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      if (!this.#answered) return this.#expire();
      this.#answered = false;
      this.#timer = this.#start();
    }, this.#timeout_ms);
  }
}

/**
 * Sends one request. Rejects with `StreamLost` if no server has the stream, with an Error if an expected message does
 * not arrive within `timeout_ms`.
 */
export function askDirect(
  link: Link,
  inbox: Inbox,
  stream: string,
  question: DirectQuestion,
  timeout_ms: number,
): Promise<DirectAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<DirectAnswer>();
  const messages: Answer[] = [];
  const patience = new Patience(timeout_ms, () => {
    inbox.forget(number);
    reject(new Error(`a read was not answered in ${Math.ceil(timeout_ms)} ms`));
  });
  const receive = (frame: MessageFrame) => {
    const answer = readAnswer(frame);
    const { headers, code, description } = answer;
    if (code === 0) {
      patience.answered();
      messages.push(answer);
      return;
    }
    patience.end();
    inbox.forget(number);
    if (code === END_OF_BATCH) {
      resolve({ messages, pending: Number(headers[PENDING_HEADER] ?? "0") });
    } else if (code === NOT_FOUND) {
      resolve(NOTHING);
    } else if (isNobody(answer)) {
      reject(new StreamLost("nobody has the stream"));
    } else {
      reject(new Refusal({ err_code: code, description: `${code} ${description}` }));
    }
  };
  const cut = () => {
    patience.end();
    reject(link.unavailable());
  };
  const number = inbox.expect({ receive, cut });
  link.connection.publish(
    `$JS.API.DIRECT.GET.${stream}`,
    encoder.encode(JSON.stringify(question)),
    { reply: inbox.replyTo(number) },
  );
  return promise;
}
