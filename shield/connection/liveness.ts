/**
 * Whether one client still sends complete messages: the heartbeat of this protocol, which a client in
 * the middle of a message cannot answer. WebSocket's own pings are the socket's business.
 */

/**
 * What one client has sent and been asked. Times are in Unix ms. They are kept as whole ms since the
 * client came: small integers are no objects, and there are thousands of clients.
 */
export class Liveness {
  #began_ms: number;
  /** How many complete messages have come; for operators. */
  received = 0;
  /** When the last complete message came, or the beginning. */
  #heard_after_ms = 0;
  /** When the first PING since then was sent; undefined when there was none. */
  #asked_after_ms: number | undefined;
  /** True when the client has answered a PING once, so it can. */
  #answers = false;

  constructor(now_ms: number) {
    this.#began_ms = now_ms;
  }

  get began_ms(): number {
    return this.#began_ms;
  }

  /** When the last complete message came, or the beginning. */
  get heard_ms(): number {
    return this.began_ms + this.#heard_after_ms;
  }

  /** Takes note that a complete message has come. */
  heard(now_ms: number): void {
    this.#heard_after_ms = this.#after_ms(now_ms);
    this.#asked_after_ms = undefined;
    this.received++;
  }

  /** Takes note of a PONG. */
  answered(): void {
    this.#answers = true;
  }

  /** Takes note that a PING is sent. */
  asked(now_ms: number): void {
    this.#asked_after_ms ??= this.#after_ms(now_ms);
  }

  /**
   * Excuses a client after this process was held up for so long (no CPU, a clock set forward): an
   * answer may have come that was not read yet.
   */
  excuse(held_up_ms: number): void {
    if (this.#asked_after_ms !== undefined) this.#asked_after_ms += held_up_ms;
  }

  /** Shifts all times after the clock was set back by so much. */
  setBack(by_ms: number): void {
    this.#began_ms -= by_ms;
  }

  /** Whether nothing has come for a heartbeat, and no PING has been sent since. */
  isDue(now_ms: number, heartbeat_ms: number): boolean {
    return this.#asked_after_ms === undefined && now_ms - this.heard_ms >= heartbeat_ms;
  }

  /** For how long a PING has had no answer, in ms; 0 for a client that need not answer. */
  overdue_ms(now_ms: number): number {
    const asked_after_ms = this.#asked_after_ms;
    if (asked_after_ms === undefined || !this.#answers) return 0;
    return now_ms - this.began_ms - asked_after_ms;
  }

  #after_ms(now_ms: number): number {
    return Math.trunc(now_ms - this.began_ms);
  }
}
