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

const BALLAST_BYTES = 60_000;
const STEP = 20;
/** More than the kernel and two proxied sockets take. */
const BALLAST_MAX = 5_000;
/** So many messages of its ballast are left out once nothing more goes to a client. */
const ENOUGH = 10;

interface SlowReader {
  readonly way: Way;
  readonly receiver: Receiver;
  readonly proxy: PausingProxy;
}

/** What became of slow readers so far: `disconnected`, `dropped` or `conflated`. */
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
      const enough = await acted(this.#bus, "dropped") + ENOUGH;
      await this.#fill(writer, ballastOf(way.name).left_out, "dropped", enough);
    }
    await meanwhile();
    for (const [at, { way }] of closing.entries()) {
      await this.#fill(writer, ballastOf(way.name).closing, "disconnected", closed + at + 1);
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

  /** Publishes to a room until the Shield has done that so often. */
  async #fill(writer: Connection, room: string, action: string, enough: number): Promise<void> {
    const data = new Uint8Array(BALLAST_BYTES);
    for (let sent = 0; await acted(this.#bus, action) < enough; sent += STEP) {
      if (sent >= BALLAST_MAX) throw new Error(`${sent} messages to ${room}, and none ${action}`);
      for (let step = 1; step < STEP; step++) {
        await writer.room(room).publish("ballast", data, { ack: false });
      }
      await writer.room(room).publish("ballast", data);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { proxy } of this.#readers) await proxy[Symbol.asyncDispose]();
  }
}
