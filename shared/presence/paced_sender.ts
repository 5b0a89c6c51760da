/**
 * Sends long answers a few pages at a time, so that one Brain's start does not fill the Spine's
 * buffers to its receiver. Short ones go at once. Order holds within an answer, not between them.
 */
import type { Subject } from "../subjects/subject.ts";
import type { ClusterMessage, PresencePort } from "./messages.ts";

/** Pages sent in one go. */
export const BURST_PAGES = 4;
/** Between two goes. */
const PAUSE_MS = 10;
/** Answers that may be under way; further questions are not answered and come again. */
export const ANSWERS_MAX = 64;

interface Answer {
  readonly subject: Subject;
  readonly pages: readonly ClusterMessage[];
  sent: number;
}

/** The answers under way. */
export class PacedSender {
  readonly #port: PresencePort;
  readonly #answers: Answer[] = [];
  #cancel: (() => void) | undefined;

  constructor(port: PresencePort) {
    this.#port = port;
  }

  /** Takes an answer. False when too many are under way; then nothing is sent. */
  send(subject: Subject, pages: readonly ClusterMessage[]): boolean {
    const [only] = pages;
    if (pages.length === 1 && only !== undefined) {
      this.#port.send(subject, only);
      return true;
    }
    if (this.#answers.length >= ANSWERS_MAX) return false;
    this.#answers.push({ subject, pages, sent: 0 });
    if (this.#cancel === undefined) this.#burst();
    return true;
  }

  /** Drops what has not been sent. */
  close(): void {
    this.#cancel?.();
    this.#answers.length = 0;
  }

  /** A few pages of one answer; then it is the next one's turn. */
  #burst = (): void => {
    this.#cancel = undefined;
    const answer = this.#answers.shift();
    if (answer === undefined) return;
    const end = Math.min(answer.sent + BURST_PAGES, answer.pages.length);
    for (; answer.sent < end; answer.sent++) {
      this.#port.send(answer.subject, answer.pages[answer.sent]!);
    }
    if (answer.sent < answer.pages.length) this.#answers.push(answer);
    if (this.#answers.length > 0) this.#cancel = this.#port.after(PAUSE_MS, this.#burst);
  };
}
