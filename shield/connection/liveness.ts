/**
 * Whether a client still sends complete messages: this protocol's heartbeat, which a client in the middle of a message
 * cannot answer. The socket handles WebSocket's own pings.
 */

/**
 * When one client has sent, and was pinged. Times are in Unix ms, kept as whole ms since the client connected: small
 * integers are no objects, and there are thousands of clients.
 */
export class Liveness {
  #began_ms: number;
  received = 0;
  /** Time of the last complete message, or the start. */
  #received_after_ms = 0;
  /** Time of the first PING since then; undefined if there was none. */
  #asked_after_ms: number | undefined;
  /** True once the client has answered a PING, which shows that it can. */
  #answers = false;

  constructor(now_ms: number) {
    this.#began_ms = now_ms;
  }

  get began_ms(): number {
    return this.#began_ms;
  }

  /** Time of the last complete message, or the start. */
  get received_ms(): number {
    return this.began_ms + this.#received_after_ms;
  }

  onReceived(now_ms: number): void {
    this.#received_after_ms = this.#after_ms(now_ms);
    this.#asked_after_ms = undefined;
    this.received++;
  }

  answered(): void {
    this.#answers = true;
  }

  onAsked(now_ms: number): void {
    this.#asked_after_ms ??= this.#after_ms(now_ms);
  }

  /** Excuses a client after this process stalled for that time (no CPU, or a clock jump): an answer may be unread. */
  excuse(held_up_ms: number): void {
    if (this.#asked_after_ms !== undefined) this.#asked_after_ms += held_up_ms;
  }

  /** Shifts all times after the clock jumped back by that amount. */
  setBack(by_ms: number): void {
    this.#began_ms -= by_ms;
  }

  /** Whether nothing was received for a heartbeat, and no PING was sent since. */
  isDue(now_ms: number, heartbeat_ms: number): boolean {
    return this.#asked_after_ms === undefined && now_ms - this.received_ms >= heartbeat_ms;
  }

  /** How long a PING has been unanswered, in ms; 0 for a client that need not answer. */
  overdue_ms(now_ms: number): number {
    const asked_after_ms = this.#asked_after_ms;
    if (asked_after_ms === undefined || !this.#answers) return 0;
    return now_ms - this.began_ms - asked_after_ms;
  }

  #after_ms(now_ms: number): number {
    return Math.trunc(now_ms - this.began_ms);
  }
}
