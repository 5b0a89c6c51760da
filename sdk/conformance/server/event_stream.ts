/** The server's side of a connection over HTTP (docs/sse.md, Connections) on TCP sockets; it trusts its peer. */
import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { Opcode, readRefresh } from "@arqon/proto";
import type { ByteReader, HttpAnswer } from "./http.ts";
import type { Incoming, Peer } from "./peer.ts";

const NORMAL = 1000;

/** A batch's number and frames; an empty frame closes. Throws RangeError for an invalid batch. */
function readBatch(body: Uint8Array): { number: number; frames: Uint8Array[] } {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const frames: Uint8Array[] = [];
  for (let at = 4; at < body.length;) {
    const size_bytes = view.getUint32(at);
    at += 4 + size_bytes;
    if (at > body.length) throw new RangeError("a frame is cut off");
    frames.push(body.slice(at - size_bytes, at));
  }
  return { number: view.getUint32(0), frames };
}

function eventText(name: string, data: string): string {
  const lines = data.split("\n").map((line) => `data: ${line}\n`).join("");
  return `${name === "message" ? "" : `event: ${name}\n`}${lines}\n`;
}

const frameText = (frame: Uint8Array) =>
  eventText("message", JSON.stringify(Buffer.from(frame).toString("base64")));

/** Answers the request with an event stream. */
export class EventStreamPeer implements Peer {
  readonly #socket: Socket;
  readonly #came: Incoming[] = [];
  #wake = Promise.withResolvers<void>();
  #token: string;
  /** The number of the next batch. */
  #next = 0;
  #is_over = false;

  /** `path` is the target of the client's batches; `token` is the request's. */
  constructor(socket: Socket, reader: ByteReader, path: string, token: string) {
    this.#socket = socket;
    this.#token = token;
    socket.write(
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n" +
        `connection: close\r\n\r\nretry: 1000\n\n${eventText("session", JSON.stringify({ path }))}`,
    );
    void this.#watch(reader);
  }

  /** A text message has no form here: it becomes an event without a frame. */
  send(message: Uint8Array | string): void {
    this.#write(typeof message === "string" ? eventText("message", message) : frameText(message));
  }

  sendHalf(message: Uint8Array): void {
    const text = frameText(message);
    this.#write(text.slice(0, text.length / 2));
  }

  close(code: number, reason: string, behind?: Uint8Array): void {
    const closed = eventText("closed", JSON.stringify({ code, reason }));
    this.#write(closed + (behind === undefined ? "" : frameText(behind)));
    this.#socket.end();
  }

  cut(how: "reset" | "end"): void {
    if (how === "reset") this.#socket.resetAndDestroy();
    else this.#socket.destroySoon();
  }

  /** Handles a batch, and returns the answer. */
  take(token: string, body: Uint8Array): HttpAnswer {
    const { number, frames } = readBatch(body);
    if (this.#is_over) return { status: 404, body: { reason: "not-found" } };
    if (number < this.#next) return { status: 204 };
    const refreshes = frames.filter((frame) => frame[0] === Opcode.REFRESH);
    for (const frame of refreshes) this.#token = readRefresh(frame.subarray(1)).token;
    if (number > this.#next || token !== this.#token) {
      this.#add({
        kind: "text",
        text: `batch ${number} of ${this.#next}, with the token ${token}`,
      });
      return { status: 400, body: { reason: "invalid-field" } };
    }
    this.#next++;
    for (const bytes of frames) {
      if (bytes.length > 0) this.#add({ kind: "binary", bytes });
      else this.#finish({ kind: "end", code: NORMAL, reason: "" });
    }
    return { status: 204 };
  }

  async *incoming(): AsyncGenerator<Incoming, void> {
    for (;;) {
      const next = this.#came.shift();
      if (next === undefined) await this.#wake.promise;
      else yield next;
      if (next?.kind === "end") return;
    }
  }

  /** Resolves when the client drops the stream. */
  async #watch(reader: ByteReader): Promise<void> {
    while (await reader.take(1) !== undefined);
    this.#finish({ kind: "end" });
  }

  #finish(end: Incoming): void {
    if (this.#is_over) return;
    this.#is_over = true;
    this.#add(end);
    this.#socket.end();
  }

  #add(incoming: Incoming): void {
    this.#came.push(incoming);
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  #write(text: string): void {
    if (!this.#socket.writableEnded) this.#socket.write(text);
  }
}
