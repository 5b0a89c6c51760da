/**
 * Subscriptions that the server refuses or ends, because its configuration does not permit them or limits their number.
 * nats.js (3.4.0) forgets the first for good, searching all subscriptions for each, and does not notice the second.
 * Here all stay, and are requested again until the server accepts them.
 */
import { type errors, type Msg, NatsConnectionImpl } from "@nats-io/transport-deno";
import { type Link, reconnectDelay_ms } from "./nats_link.ts";

/** How many are requested at a time: a Shield has one for each room. */
const AT_ONCE = 1_024;
/** The server names no subscription with this error. */
const TOO_MANY = /maximum subscriptions exceeded/i;

type Protocol = NatsConnectionImpl["protocol"];
type Held = NonNullable<ReturnType<Protocol["subscriptions"]["get"]>>;
type Violation = InstanceType<typeof errors.PermissionViolationError>;

/** An error of the server has only the subject and the queue. */
const nameOf = ({ subject, queue }: Pick<Held, "subject" | "queue">) => `${subject} ${queue ?? ""}`;

/** The refused subscriptions of one connection, through all its reconnects. */
export class Refusals {
  readonly #link: Link;
  readonly #protocol: Protocol;
  /** Those without permission, by their names. */
  readonly #refused = new Map<string, readonly Held[]>();
  /** Names of those that are being requested again. */
  #asked: ReadonlySet<string> = new Set();
  /** Whether there were too many: any may be missing at the server. */
  #are_too_many = false;
  /** All subscriptions by their names, for the errors of one chunk. */
  #named: Map<string, Held[]> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Requests in a row without success. */
  #failures = 0;

  constructor(link: Link) {
    const { connection } = link;
    if (!(connection instanceof NatsConnectionImpl)) throw new TypeError("nats.js has changed");
    this.#link = link;
    const protocol = this.#protocol = connection.protocol;
    const { subscriptions } = protocol;
    const onViolation = subscriptions.handleError.bind(subscriptions);
    subscriptions.handleError = (error) => this.#receive(error) || onViolation(error);
    const onError = protocol.handleError.bind(protocol);
    protocol.handleError = (error) => {
      if (TOO_MANY.test(error.message)) this.#exceed();
      onError(error);
    };
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#refused.clear();
    this.#are_too_many = false;
  }

  /** Called before the PONG that follows the error. False: nats.js handles it. */
  #receive(error: Violation): boolean {
    if (error.operation === "publish") {
      this.#link.denied(error);
      return false;
    }
    const name = nameOf(error);
    const held = this.#find(name);
    if (held === undefined) {
      // nats.js makes its own inbox again with the next request.
      this.#link.log.error("the NATS server reports an error", { error });
      return false;
    }
    if (!this.#refused.has(name) && !this.#asked.has(name)) {
      this.#link.listeners.emit({ type: "denied", subject: error.subject });
      for (const one of held) one.callback(error, {} as Msg);
    }
    this.#refused.set(name, held);
    if (this.#timer === undefined) this.#wait();
    return true;
  }

  #exceed(): void {
    this.#link.listeners.emit({ type: "denied", subject: "" });
    this.#are_too_many = true;
    if (this.#timer === undefined) this.#wait();
  }

  #find(name: string): Held[] | undefined {
    if (this.#named === undefined) {
      const { subscriptions } = this.#protocol;
      const mux = subscriptions.getMux();
      this.#named = Map.groupBy(subscriptions.all().filter((held) => held !== mux), nameOf);
      queueMicrotask(() => this.#named = undefined);
    }
    return this.#named.get(name);
  }

  /** Requests some of them again. Rejects when the connection is lost. */
  async #again(): Promise<void> {
    const { subscriptions } = this.#protocol;
    const isHeld = (one: Held) => subscriptions.get(one.sid) === one;
    const asked = [...this.#refused].slice(0, AT_ONCE);
    this.#asked = new Set(asked.map(([name]) => name));
    for (const [name, held] of asked) {
      this.#refused.delete(name);
      for (const one of held.filter(isHeld)) this.#protocol._sub(one);
    }
    const were_too_many = this.#are_too_many;
    this.#are_too_many = false;
    // The server ignores those that it has.
    if (were_too_many) this.#protocol.sendSubscriptions();
    await this.#link.guard(this.#link.connection.flush());
    this.#asked = new Set();
    const accepted: (string | undefined)[] = asked
      .filter(([name]) => !this.#refused.has(name))
      .flatMap(([, held]) => held.filter(isHeld).map(({ subject }) => subject));
    if (were_too_many && !this.#are_too_many) accepted.push(undefined);
    if (accepted.length > 0) this.#link.accepted(accepted);
    this.#failures = accepted.length > 0 ? 0 : this.#failures + 1;
    this.#wait();
  }

  #wait(): void {
    this.#timer = undefined;
    const { state } = this.#link;
    if (this.#refused.size === 0 && !this.#are_too_many) return;
    if (state === "draining" || state === "closed") return;
    this.#timer = setTimeout(() => {
      if (this.#link.state !== "connected") return this.#wait();
      // After a reconnect the server has been asked for all of them.
      this.#again().catch(() => this.#wait());
    }, reconnectDelay_ms(this.#failures, Math.random));
  }
}
