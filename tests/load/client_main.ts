/**
 * A client process of a load run: tens of thousands of connections from many local addresses that sit
 * in one room and answer PINGs. Told what to do by `run.ts`, line by line.
 */
import { decodeServerFrame, encodePong, encodePub, encodeSub, writeEnvelope } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";
import { Latencies } from "../../bench/measure/histogram.ts";
import { pace } from "../../shared/testing/pace.ts";
import { becomes } from "../../shared/testing/until.ts";
import { say, words } from "./crew.ts";
import type { ClientPlan, Heard, Ready, State, Word } from "./plan.ts";
import { UpgradeError, WireSocket } from "./wire_socket.ts";

/** Connections that are opened at a time. */
const OPENING = 48;
const RETRY_MS = 500;
const ATTEMPTS = 200;
const HEAR_MS = 60_000;

const unixMs = () => performance.timeOrigin + performance.now();

/** Everything in this process. */
class Crowd {
  readonly #plan: ClientPlan;
  readonly #sockets: WireSocket[] = [];
  readonly #handshakes = new Latencies();
  readonly #ended = new Map<number, number>();
  #put_off = 0;
  #open = 0;
  #pings = 0;
  #strange = 0;
  #dropping = false;
  #sequence = 0;
  #heard = 0;
  #latencies = new Latencies();

  constructor(plan: ClientPlan) {
    this.#plan = plan;
  }

  async open(): Promise<Ready> {
    const all = Array.from({ length: this.#plan.connections }, (_, index) => index).values();
    await Promise.all(Array.from({ length: OPENING }, async () => {
      for (const index of all) await this.#connect(index);
    }));
    const [open, put_off] = [this.#open, this.#put_off];
    return { kind: "ready", open, put_off, handshakes: this.#handshakes.encode() };
  }

  /** One connection publishes to everybody. */
  broadcast(sequence: number): void {
    const data = new TextEncoder().encode(JSON.stringify({ sequence, sent_ms: unixMs() }));
    const event = { type: "news", data, content_type: "application/json" };
    this.#sockets[0]?.send(encodePub(writeEnvelope({ room_id: this.#plan.room_id, event })));
  }

  /** Waits until everybody who is there has heard it. */
  async hear(sequence: number): Promise<Heard> {
    await becomes(() => this.#sequence === sequence && this.#heard >= this.#open, HEAR_MS);
    const count = this.#sequence === sequence ? this.#heard : 0;
    return { kind: "heard", sequence, count, latencies: this.#latencies.encode() };
  }

  state(): State {
    const [open, pings, strange] = [this.#open, this.#pings, this.#strange];
    return { kind: "state", open, ended: [...this.#ended], pings, strange };
  }

  /** Ends every TCP connection without a word. */
  drop(): void {
    this.#dropping = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  async #connect(index: number): Promise<void> {
    const { targets, tokens, local_addresses, room_id } = this.#plan;
    const target = targets[index % targets.length]!;
    const began_ms = performance.now();
    const token = tokens[index % tokens.length]!;
    const local_address = local_addresses[index % local_addresses.length];
    for (let attempt = 1;; attempt++) {
      const subscribed = Promise.withResolvers<void>();
      let heard = 0;
      const socket = new WireSocket({
        ...target,
        token,
        local_address,
        onMessage: (body) => {
          const frame = decodeServerFrame(body);
          if (frame.kind === "msg") heard = this.#onNews(frame.envelope, heard);
          else if (frame.kind === "ack") subscribed.resolve();
          else if (frame.kind === "ping") {
            this.#pings++;
            socket.send(encodePong(frame.body));
          }
        },
        onClose: (code) => {
          this.#onEnd(code);
          subscribed.resolve();
        },
      });
      try {
        await socket.opened;
        this.#open++;
        this.#sockets.push(socket);
        socket.send(encodeSub({ room_id, request_id: 1 }));
        await subscribed.promise;
        this.#handshakes.add(performance.now() - began_ms);
        return;
      } catch (error) {
        const later = error instanceof UpgradeError && error.is_temporary;
        if (!later || attempt === ATTEMPTS) throw error;
        this.#put_off++;
        await pace(error.retry_after_ms ?? RETRY_MS * (0.5 + Math.random()));
      }
    }
  }

  /** The last broadcast that this connection has heard. */
  #onNews({ event, room_id }: PlainEnvelope, before: number): number {
    if (event?.type !== "news") return before;
    const { sequence, sent_ms } = JSON.parse(new TextDecoder().decode(event.data));
    if (sequence !== before + 1 || room_id !== this.#plan.room_id) this.#strange++;
    if (sequence !== this.#sequence) {
      [this.#sequence, this.#heard, this.#latencies] = [sequence, 0, new Latencies()];
    }
    this.#heard++;
    this.#latencies.add(unixMs() - sent_ms);
    return sequence;
  }

  #onEnd(code: number): void {
    this.#open--;
    if (!this.#dropping) this.#ended.set(code, (this.#ended.get(code) ?? 0) + 1);
  }
}

async function main(): Promise<void> {
  const told = words();
  const crowd = new Crowd((await told.next()).value as ClientPlan);
  say<Ready>(await crowd.open());
  for await (const { word, sequence = 0 } of told as AsyncGenerator<Word>) {
    if (word === "tell") say<State>(crowd.state());
    else if (word === "drop") crowd.drop();
    else if (word === "broadcast") crowd.broadcast(sequence);
    else void crowd.hear(sequence).then((heard) => say<Heard>(heard));
  }
}

if (import.meta.main) {
  await main();
  Deno.exit(0);
}
