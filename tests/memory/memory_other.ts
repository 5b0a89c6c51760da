/**
 * An innocent client for `memory_test.ts`, on the wire: a WebSocket library that gets a close frame while it answers
 * may report an error of its own instead.
 */
import { until } from "../../shared/testing/until.ts";
import {
  CLOSE,
  PING,
  PONG,
  rawFrame,
  RawPeer,
  TEXT,
} from "../../shield/socket/testing/conformance_peer.ts";
import type { Closed } from "../peers/raw_client.ts";

const WAIT_MS = 60_000;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A connected client of the text form. */
export class Other implements Disposable {
  readonly #peer: RawPeer;
  readonly #answers_ping: boolean;
  /** Data of the last PONG. */
  #ponged = "";
  #closed: Closed | undefined;

  private constructor(peer: RawPeer, answers_ping: boolean) {
    this.#peer = peer;
    this.#answers_ping = answers_ping;
  }

  /** `answers_ping`: PING frames of this protocol; WebSocket's own are always answered. */
  static async open(http_url: string, token: string, answers_ping: boolean): Promise<Other> {
    const headers = [`Authorization: Bearer ${token}`, "Sec-WebSocket-Protocol: arqon.v1.json"];
    const peer = await RawPeer.connect(`${http_url}/v1/socket`, headers);
    if (!peer.head.startsWith("HTTP/1.1 101 ")) throw new Error(peer.head);
    const other = new Other(peer, answers_ping);
    // `closed` reports the end of the connection.
    other.#read().catch(() => {});
    return other;
  }

  /** Whether it still gets an answer; false once it was closed. */
  async isThere(): Promise<boolean> {
    const data = crypto.randomUUID();
    await this.#send({ op: "ping", data }).catch(() => {});
    await until("the answer to a PING", () => this.#ponged === data || this.#closed !== undefined);
    return this.#closed === undefined;
  }

  /** Resolves with the close frame; its code is 1006 if there was none. */
  async closed(): Promise<Closed> {
    await until("the end of the connection", () => this.#closed !== undefined);
    return this.#closed as Closed;
  }

  [Symbol.dispose](): void {
    this.#peer[Symbol.dispose]();
  }

  async #read(): Promise<void> {
    for (;;) {
      const frame = await this.#peer.frame(WAIT_MS).catch(() => undefined);
      if (frame === undefined) break;
      const { opcode, body } = frame;
      if (opcode === PING) await this.#peer.write(rawFrame(PONG, body));
      if (opcode === TEXT) await this.#receive(JSON.parse(decoder.decode(body)));
      if (opcode !== CLOSE) continue;
      const code = (body[0] ?? 0) * 256 + (body[1] ?? 0);
      this.#closed = { code, reason: decoder.decode(body.subarray(2)) };
      await this.#peer.write(rawFrame(CLOSE, body.slice(0, 2)));
    }
    this.#closed ??= { code: 1006, reason: "" };
  }

  async #receive({ op, data }: { op: string; data: string }): Promise<void> {
    if (op === "pong") this.#ponged = data;
    if (op === "ping" && this.#answers_ping) await this.#send({ op: "pong", data });
  }

  async #send(frame: object): Promise<void> {
    await this.#peer.write(rawFrame(TEXT, encoder.encode(JSON.stringify(frame))));
  }
}
