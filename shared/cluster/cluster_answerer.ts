/**
 * Answers operators' questions to the whole cluster, on a Shield or Brain. The given handlers implement the questions;
 * `cluster_question.ts` defines their format.
 */
import { z } from "zod";
import type { Env } from "../env.ts";
import {
  answerBytes,
  decodeQuestion,
  encodeAnswer,
  encodeProblem,
  encodeQuestion,
} from "./cluster_question.ts";
import type { NodeKind, Question } from "./cluster_question.ts";
import type { Spine } from "../spine/contract/spine.ts";
import type { SpineMessage, Subscription } from "../spine/contract/spine_message.ts";
import { CLUSTER_QUESTIONS, processSubject } from "../subjects/subject.ts";

/** Answers one question; its result is sent as JSON. `params` are unchecked. */
type AnswerHandler = (params: Readonly<Record<string, unknown>>) => unknown;
/** The handlers by the name of their question. */
export type AnswerHandlers = Readonly<Record<string, AnswerHandler>>;

/** The process's parts that answering needs. */
interface AnswererOptions extends Pick<Env, "log" | "now"> {
  readonly spine: Pick<Spine, "publish" | "subscribe" | "onEvent" | "payload_bytes_max">;
  readonly node_id: string;
  readonly kind: NodeKind;
  readonly handlers: AnswerHandlers;
  /** Called for every question with its asker, except for the process's own questions. */
  readonly onAsker?: (question: Pick<Question, "question" | "asker" | "kind">) => void;
}

/** The message of a starting process; it has no answer. */
const HERE = "here";
/** The question that every process answers with its clock: it discovers the processes. */
export const HELLO = "hello";
/** Its answer, in Unix ms. */
export const Hello = z.strictObject({ now_ms: z.number() });
/** The message of a stopping process; it has no answer. */
export const BYE = "bye";
/** The most questions answered concurrently; further ones are refused. */
const ANSWERS_MAX = 16;

/** Answers questions until it is closed. */
export class Answerer {
  /** Questions that were refused were unreadable, unknown or too many at once, or their handler failed. */
  readonly counts = { answered: 0, refused: 0 };
  /** The number of questions that are being answered. */
  pending = 0;
  readonly #options: AnswererOptions;
  readonly #subscription: Subscription;
  readonly #stopEvents: () => void;
  #closed = false;

  /** Takes effect at the server with the next flush. Throws `spine-unavailable` if it cannot subscribe. */
  constructor(options: AnswererOptions) {
    this.#options = options;
    const { spine } = options;
    this.#subscription = spine.subscribe(CLUSTER_QUESTIONS, (message) => this.#receive(message));
    this.#stopEvents = spine.onEvent((event) => {
      if (event.type === "state" && event.status.state === "connected") this.#tell(HERE);
    });
    this.#tell(HERE);
  }

  /** The answer to a question of this very process. Rejects with what the handler throws. */
  async own(question: string, params: Readonly<Record<string, unknown>>): Promise<unknown> {
    if (question === HELLO) return { now_ms: this.#options.now() };
    const { handlers } = this.#options;
    const handler = Object.hasOwn(handlers, question) ? handlers[question] : undefined;
    if (handler === undefined) throw new TypeError(`unknown question ${question}`);
    return await handler(params);
  }

  /** Notifies every process that this one stops, and stops. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopEvents();
    this.#tell(BYE);
    this.#subscription.unsubscribe();
  }

  #tell(question: string): void {
    const { spine, node_id, kind, log } = this.#options;
    try {
      const message = { question, id: "0", asker: node_id, kind, params: {} };
      spine.publish(CLUSTER_QUESTIONS, encodeQuestion(message));
    } catch (error) {
      // A process that misses it finds out with the next question.
      log.debug("the cluster was not told", { question, error });
    }
  }

  #receive({ payload }: SpineMessage): void {
    const { node_id, kind, onAsker } = this.#options;
    const question = decodeQuestion(payload);
    if (question === undefined) {
      this.counts.refused++;
      return;
    }
    if (question.asker === node_id || this.#closed) return;
    onAsker?.(question);
    if (question.question === HERE || question.question === BYE) return;
    if (question.to !== undefined && question.to !== node_id) return;
    if (question.of !== undefined && question.of !== kind) return;
    if (this.pending >= ANSWERS_MAX) return this.#refuse(question, "busy");
    // It was delayed while this process was stalled: the asker has already seen the timeout.
    if (this.#options.now() > (question.until_ms ?? Infinity)) {
      return this.#refuse(question, "too late");
    }
    this.#answer(question);
  }

  async #answer(question: Question): Promise<void> {
    const { log } = this.#options;
    this.pending++;
    try {
      const { question: name } = question;
      if (name !== HELLO && !Object.hasOwn(this.#options.handlers, name)) {
        return this.#refuse(question, "unknown question");
      }
      const bytes = answerBytes(await this.own(question.question, question.params));
      if (bytes === undefined) return this.#refuse(question, "too long an answer");
      this.#send(question, bytes);
      this.counts.answered++;
    } catch (error) {
      log.warn("a question of another process was not answered", {
        question: question.question,
        asker: question.asker,
        error,
      });
      this.#refuse(question, "failed");
    } finally {
      this.pending--;
    }
  }

  #send(question: Question, bytes: Uint8Array): void {
    const { spine } = this.#options;
    const subject = processSubject("answers", question.asker);
    for (const part of encodeAnswer(this.#head(question), bytes, spine.payload_bytes_max)) {
      spine.publish(subject, part);
    }
  }

  #refuse(question: Question, problem: string): void {
    this.counts.refused++;
    const subject = processSubject("answers", question.asker);
    try {
      this.#options.spine.publish(subject, encodeProblem(this.#head(question), problem));
    } catch (error) {
      // The asker times out, and reports the missing answer.
      this.#options.log.debug("a refusal was not sent", { asker: question.asker, error });
    }
  }

  #head({ id }: Question) {
    const { node_id: node, kind } = this.#options;
    return { id, node, kind };
  }
}
