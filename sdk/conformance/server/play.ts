/** Plays one connection's script, step by step; each wait is a condition with a deadline. */
import { fromHex, type Plain } from "../plain.ts";
import { differs, presenceFrame, serverFrame } from "./plain_frames.ts";
import type { Peer } from "./peer.ts";
import type { ServerStep } from "./script.ts";

/** The deadline of a step, in ms: generous, because it only ends a failed run. */
const DEADLINE_MS = 60_000;

/** Rejects with a description of the wait if the promise takes longer than the deadline. */
async function within<Value>(what: string, promise: Promise<Value>): Promise<Value> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`waited ${DEADLINE_MS} ms for ${what}`)),
    DEADLINE_MS,
  );
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** The frames of one client connection, in order, and the waiter for the next one. */
export class Inbox {
  /** Everything received, the end of the connection included. */
  readonly frames: Plain[] = [];
  #read = 0;
  #wake = Promise.withResolvers<void>();

  /** The unexpected frames. */
  get unread(): readonly Plain[] {
    return this.frames.slice(this.#read);
  }

  add(frame: Plain): void {
    this.frames.push(frame);
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  async next(): Promise<Plain> {
    while (this.#read >= this.frames.length) await this.#wake.promise;
    return this.frames[this.#read++] as Plain;
  }
}

/** Plays the script of one connection. */
export class Player {
  readonly #peer: Peer;
  readonly #inbox: Inbox;
  readonly #index: number;
  readonly #signalled: (name: string) => Promise<void>;
  /** The frames by the `as` of their step; the last expected one by `""`. */
  readonly #received = new Map<string, Plain>();

  /** `index` is the connection's number; `signalled` resolves once the client has signalled a name. */
  constructor(
    peer: Peer,
    inbox: Inbox,
    index: number,
    signalled: (name: string) => Promise<void>,
  ) {
    this.#peer = peer;
    this.#inbox = inbox;
    this.#index = index;
    this.#signalled = signalled;
  }

  /** Plays it to its end. Rejects with the failed step. */
  async play(script: readonly ServerStep[]): Promise<void> {
    for (const [at, step] of script.entries()) {
      try {
        await this.#play(step);
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        throw new Error(`connection ${this.#index}, step ${at} ${JSON.stringify(step)}: ${text}`);
      }
    }
  }

  async #play(step: ServerStep): Promise<void> {
    const fields = (step.with ?? {}) as Plain;
    if ("send" in step) {
      this.#send(step.send as string, fields, step.of as string | undefined);
    } else if ("presence" in step) {
      this.#peer.send(presenceFrame(step.presence as "update" | "leave", fields));
    } else if ("message" in step) {
      const bytes = fromHex(step.message as string);
      const whole = new Uint8Array(bytes.length * Number(step.times ?? 1));
      for (let at = 0; at < whole.length; at += bytes.length) whole.set(bytes, at);
      this.#peer.send(whole);
    } else if ("text" in step) {
      this.#peer.send(step.text as string);
    } else if ("half" in step) {
      this.#peer.sendHalf(fromHex(step.half as string));
    } else if ("expect" in step) {
      await this.#expect(step, fields);
    } else if ("close" in step) {
      const behind = step.behind === undefined ? undefined : fromHex(step.behind as string);
      this.#peer.close(step.close as number, (step.reason ?? "") as string, behind);
      await this.#expect({ expect: "end" }, {});
    } else if ("cut" in step) {
      this.#peer.cut(step.cut as "reset" | "end");
      await this.#expect({ expect: "end" }, {});
    } else {
      const name = step.wait as string;
      await within(`the client's signal ${name}`, this.#signalled(name));
    }
  }

  #send(kind: string, fields: Plain, of: string | undefined): void {
    const answered = this.#received.get(of ?? "");
    if (of !== undefined && answered === undefined) {
      throw new Error(`nothing was received as ${of}`);
    }
    const rest = kind === "ack"
      ? { request_id: answered?.request_id, ...fields }
      : kind === "pong"
      ? { body: answered?.body, ...fields }
      : fields;
    this.#peer.send(serverFrame(kind, rest, this.#index));
  }

  async #expect(step: ServerStep, fields: Plain): Promise<void> {
    const kind = step.expect as string;
    const frame = await within(kind, this.#inbox.next());
    const problem = differs({ kind, ...fields }, frame);
    if (problem !== undefined) throw new Error(`${problem}; it came ${JSON.stringify(frame)}`);
    this.#received.set("", frame);
    if (typeof step.as === "string") this.#received.set(step.as, frame);
    if (step.answer === true) this.#send(kind === "ping" ? "pong" : "ack", {}, undefined);
  }
}
