/** Clients that send at a rate, one message each at a time, and counts of their outcome. */
import type { RawClient } from "../peers/raw_client.ts";

/** How often messages are sent, in ms. */
const TURN_MS = 10;
/** What a policy refuses with. */
const REFUSED = 403;

/** All clients of a run. */
export class Load implements Disposable {
  answered = 0;
  /** Messages for which no client was free. */
  late = 0;
  /** Connections that have ended while the load ran. */
  ended = 0;
  /** Messages to which no answer came for so long that their clients gave up; they send nothing more. */
  unanswered = 0;
  /** Messages that no rule refused and that were refused, as on a machine that is too busy for a policy's deadline. */
  undecided = 0;
  /** Messages that both versions refuse, and that were let through. */
  passed_both = 0;
  /** Messages that neither refuses, and that were refused. */
  refused_none = 0;
  /** Messages that only the new version refuses, and that were refused; the time of the first and last. */
  bad_refused = 0;
  first_bad_ms = 0;
  last_bad_ms = 0;
  /** Whether messages are sent that only the new version refuses. */
  is_bad = false;
  readonly #all: RawClient[] = [];
  readonly #free: RawClient[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;
  #began_ms = 0;
  #stopped_ms = 0;
  #sent = 0;

  /** Takes a client that is connected. */
  add(client: RawClient): void {
    this.addIdle(client);
    this.#free.push(client);
  }

  /** Takes a client that is connected and sends nothing: it only must stay. */
  addIdle(client: RawClient): void {
    this.#all.push(client);
    client.socket.addEventListener("close", () => {
      if (this.#stopped_ms === 0) this.ended++;
    });
  }

  /** How long the load ran, in seconds. */
  get seconds(): number {
    return (this.#stopped_ms - this.#began_ms) / 1_000;
  }

  /** Sends so many messages a second from now on. */
  begin(rate: number): void {
    this.#began_ms = performance.now();
    this.#timer = setInterval(() => {
      const due = Math.floor((performance.now() - this.#began_ms) * rate / 1_000);
      while (this.#sent < due) {
        this.#sent++;
        const client = this.#free.shift();
        if (client === undefined) this.late++;
        else void this.#send(client, this.#sent);
      }
    }, TURN_MS);
  }

  /** Sends nothing more. */
  stop(): void {
    clearInterval(this.#timer);
    this.#stopped_ms = performance.now();
  }

  [Symbol.dispose](): void {
    this.stop();
    for (const client of this.#all) client[Symbol.dispose]();
  }

  async #send(client: RawClient, number: number): Promise<void> {
    const place = number % 10;
    const text = place === 9 ? "abc9" : place === 7 && this.is_bad ? "abc7" : "abc1";
    try {
      client.send({ op: "pub", room: "r", data: text, id: number });
      const { code } = await client.json();
      this.#count(text, code);
    } catch {
      const is_open = client.socket.readyState === WebSocket.OPEN;
      if (this.#stopped_ms === 0 && is_open) this.unanswered++;
      return;
    }
    this.#free.push(client);
  }

  #count(text: string, code: number): void {
    this.answered++;
    if (text === "abc9" && code === 0) this.passed_both++;
    if (code !== 0 && code !== REFUSED) this.undecided++;
    if (code !== REFUSED) return;
    if (text === "abc1") this.refused_none++;
    if (text !== "abc7") return;
    this.bad_refused++;
    this.last_bad_ms = performance.now();
    if (this.first_bad_ms === 0) this.first_bad_ms = this.last_bad_ms;
  }
}
