/**
 * The receivers of the show of deltas that stop reading at times, for so long that more waits for them than the
 * Shield keeps. Each hears behind a proxy of its own, and has rooms of its own by which what the kernel takes for
 * it is filled. What a receiver may miss is `receiver.ts`.
 */
import type { Connection } from "@arqon/sdk";
import { until } from "../../shared/testing/until.ts";
import type { TestBus } from "../harness/bus.ts";
import { startPausingProxy } from "../harness/pausing_proxy.ts";
import type { PausingProxy } from "../harness/pausing_proxy.ts";
import type { Receiver } from "./receiver.ts";
import { ballastOf } from "./receivers.ts";
import type { Way } from "./receivers.ts";

const BALLAST = new Uint8Array(60_000);
const STEP = 20;
/** More than the kernel and two proxied sockets take. */
const BALLAST_MAX = 5_000;
/** Once nothing more goes to a client, each of so many messages in turn leaves one out. */
const ENOUGH = 5;

/** What starves on a busy machine comes in this time. */
export const WAIT_MS = 180_000;

interface SlowReader {
  readonly way: Way;
  readonly receiver: Receiver;
  readonly proxy: PausingProxy;
}

/** The outcome of slow readers so far: `disconnected`, `dropped` or `conflated`. */
async function acted(bus: TestBus, action: string): Promise<number> {
  const text = await (await fetch(`${bus.ops_url}/metrics`)).text();
  return Number(text.match(`shield_slow_reader_total\\{action="${action}"\\} (\\d+)`)?.[1] ?? 0);
}

/** All of them; its proxies end with the scope. */
export class SlowReaders implements AsyncDisposable {
  readonly #bus: TestBus;
  readonly #readers: SlowReader[] = [];

  constructor(bus: TestBus) {
    this.#bus = bus;
  }

  /** The URL by which this receiver is to hear. */
  add(way: Way, receiver: Receiver): string {
    const url = new URL(this.#bus.url);
    const proxy = startPausingProxy(Number(url.port));
    this.#readers.push({ way, receiver, proxy });
    url.port = String(proxy.port);
    return url.href;
  }

  /** None of them reads while `meanwhile` publishes; resolves when they read again. */
  async pause(writer: Connection, meanwhile: () => Promise<void>): Promise<void> {
    const closed = await acted(this.#bus, "disconnected");
    const closing = this.#readers.filter(({ way }) => way.slow === "closed");
    const gaps = closing.map(({ receiver }) => receiver.gaps);
    for (const { way, receiver, proxy } of this.#readers) {
      receiver.is_paused = true;
      proxy.pause();
      const { left_out } = ballastOf(way.name);
      await this.#fill(writer, left_out, () => this.#isFull(writer, left_out));
    }
    await meanwhile();
    for (const [at, { way }] of closing.entries()) {
      const { closing: weight } = ballastOf(way.name);
      const isClosed = async () => await acted(this.#bus, "disconnected") > closed + at;
      await this.#fill(writer, weight, isClosed);
    }
    for (const { receiver, proxy } of this.#readers) {
      receiver.is_paused = false;
      proxy.resume();
    }
    await until(
      "who was closed comes back",
      () =>
        closing.every(({ receiver }, at) =>
          receiver.wrong !== undefined || receiver.gaps > gaps[at]!
        ),
    );
  }

  /** Publishes to a room until it is enough. */
  async #fill(writer: Connection, room: string, isEnough: () => Promise<boolean>): Promise<void> {
    for (let sent = 0; !await isEnough(); sent += STEP) {
      if (sent >= BALLAST_MAX) throw new Error(`${sent} messages to ${room}, and not enough`);
      for (let step = 1; step < STEP; step++) {
        await writer.room(room).publish("ballast", BALLAST, { ack: false });
      }
      await writer.room(room).publish("ballast", BALLAST);
    }
  }

  /** Whether neither the kernel nor the Shield's socket takes more; many at once are left out before that. */
  async #isFull(writer: Connection, room: string): Promise<boolean> {
    let before = await acted(this.#bus, "dropped");
    for (let left = ENOUGH; left > 0; left--) {
      await writer.room(room).publish("ballast", BALLAST);
      const now = await acted(this.#bus, "dropped");
      if (now <= before) return false;
      before = now;
    }
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { proxy } of this.#readers) await proxy[Symbol.asyncDispose]();
  }
}
