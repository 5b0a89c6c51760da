/** Paces publishing: a limited number of messages at a time, at an even rate, and its progress. */
import type { Ack } from "@arqon/sdk";
import { plural } from "../../shared/plural.ts";
import type { Flags } from "../program/flags.ts";
import { type Io, print } from "../terminal/io.ts";
import { pause } from "../../shared/within.ts";
import { createProgress } from "../terminal/screen.ts";

/** Runs at most `limit` tasks at a time. The first failure stops the rest. */
export class Window {
  readonly #limit: number;
  #under_way = 0;
  #failure: { error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Starts `work` as soon as there is a free slot. Throws the first failure of earlier work. */
  async run(work: () => Promise<void>): Promise<void> {
    await this.#until(() => this.#under_way < this.#limit);
    this.#under_way += 1;
    work().catch((error) => {
      this.#failure ??= { error };
    }).finally(() => {
      this.#under_way -= 1;
      this.#wake?.();
    });
  }

  /** Resolves when no task is running. Throws the first failure. */
  async drained(): Promise<void> {
    await this.#until(() => this.#under_way === 0);
  }

  async #until(condition: () => boolean): Promise<void> {
    while (this.#failure === undefined && !condition()) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

/** When task `index` (0 is the first) is due at `rate` tasks a second, in ms after the start. */
export function dueAfter(index: number, rate: number): number {
  return index * 1_000 / rate;
}

/** Counts the acknowledgements of numbered messages; numbers grow in the order of sending. */
export class Acknowledged {
  /** Every message up to this number is acknowledged. */
  upTo: number;
  count = 0;
  /** Messages that a durable room stored before an earlier sent one. */
  swapped = 0;
  #stored = 0;
  /**
   * Pending messages after `upTo`, in order, each with its offset once it has one. At most as many as the window holds.
   */
  readonly #under_way = new Map<number, number | undefined>();

  constructor(upTo = 0) {
    this.upTo = upTo;
  }

  /** Records a sent message. Its number is higher than all earlier ones. */
  begin(number: number): void {
    this.#under_way.set(number, undefined);
  }

  /** Records the acknowledgement of a message. `stored` is its offset, 0 if the room is not durable. */
  add(acknowledged: number, stored: number): void {
    this.count += 1;
    this.#under_way.set(acknowledged, stored);
    for (const [number, offset] of this.#under_way) {
      if (offset === undefined) return;
      this.#under_way.delete(number);
      this.upTo = number;
      if (offset > 0 && offset < this.#stored) this.swapped += 1;
      this.#stored = Math.max(this.#stored, offset);
    }
  }
}

/** A line for stderr about messages that were stored out of order; "" when none were. */
export function swappedText({ swapped }: Acknowledged): string {
  if (swapped === 0) return "";
  const messages = plural(swapped, "message is", "messages are");
  return `arq: ${messages} stored out of order: the bus refused some for a while. --window 1 keeps the order\n`;
}

/** A message to be published. Numbers grow in the order of sending. */
export interface Outgoing {
  readonly number: number;
  publish(): Promise<Pick<Ack, "offset">>;
}

/**
 * Publishes messages as the options pace them, and counts their acknowledgements in `done`. Shows a progress bar of
 * `total` messages (undefined: unknown). Rejects with the first failure, which stops the rest.
 */
export async function publishPaced(
  io: Io,
  { rate, window, json }: Pick<Flags<"window">, "rate" | "window" | "json">,
  messages: AsyncIterable<Outgoing>,
  done: Acknowledged,
  total?: number,
): Promise<void> {
  const stderr = { is_tty: io.stderr.is_tty && json !== true };
  const progress = await createProgress({ ...io, stderr }, total);
  const slots = new Window(window);
  const started_ms = io.monotonic_ms();
  let sent = 0;
  try {
    for await (const { number, publish } of messages) {
      if (rate !== undefined) {
        await pause(started_ms + dueAfter(sent, rate) - io.monotonic_ms(), io.signal);
      }
      io.signal.throwIfAborted();
      await slots.run(async () => {
        done.begin(number);
        done.add(number, Number((await publish()).offset));
        progress.update(done.count);
      });
      sent += 1;
    }
    await slots.drained();
  } finally {
    progress.stop();
  }
  await print(io.stderr, swappedText(done));
}
