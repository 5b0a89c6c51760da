/**
 * Sends long answers a few pages at a time, so that one Brain's start does not fill the Spine's buffers to its
 * receiver. Short ones are sent at once. Order is kept within an answer, not between answers.
 */
import type { Subject } from "../subjects/subject.ts";
import type { ClusterMessage, PresencePort } from "./messages.ts";

/** Pages in one burst. */
export const BURST_PAGES = 4;
/** Pause between two bursts. */
const PAUSE_MS = 10;
/** The most answers under way; further requests are dropped and will be retried. */
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

  /** Sends an answer. False if too many are under way; then nothing is sent. */
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

  close(): void {
    this.#cancel?.();
    this.#answers.length = 0;
  }

  /** Sends a few pages of one answer; then the next answer follows. */
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
