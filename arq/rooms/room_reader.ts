/**
 * One room of `arq sub` as it is printed: live messages and, in a durable room that is read from a
 * place on, the stored ones that the loop does not bring. Nothing is printed twice; what is lost is
 * told.
 */
import type { Message, Room, Subscription } from "@arqon/sdk";
import { CommandError, printable } from "../terminal/exit.ts";
import { jsonLine } from "../terminal/format.ts";
import { checkEpoch, EpochChanged, historyPages, patient } from "./history.ts";
import type { HistorySource } from "./history.ts";
import { print } from "../terminal/io.ts";
import type { Io } from "../terminal/io.ts";
import { writeMessage } from "../terminal/message_output.ts";
import type { Start } from "./start_place.ts";

/** What one reader needs. */
export interface RoomReaderOptions {
  readonly io: Io;
  readonly room: Pick<Room, "id"> & HistorySource;
  readonly subscription:
    & Pick<Subscription, "epoch" | "offset" | "position">
    & AsyncIterable<Message>;
  readonly json: boolean;
  /** Read from here on without a hole; absent: from now on, as it comes. */
  readonly start: Start | undefined;
  readonly run: Run;
}

/** How many messages are still wanted, over all rooms; `stop` ends the loops. */
export interface Run {
  left: number;
  stop(): void;
}

/** Made for one loop. */
export class RoomReader {
  readonly #options: RoomReaderOptions;
  readonly #history: HistorySource;
  /** Offset of what was printed last. */
  #offset: number;
  #epoch: string;
  /** What is lost is lost for whoever named the place; at a beginning of our own it is not. */
  #tells: boolean;

  constructor(options: RoomReaderOptions) {
    const { start, room, io } = options;
    this.#options = options;
    this.#history = patient(room, io);
    this.#offset = start?.offset ?? 0;
    this.#epoch = start?.epoch ?? "";
    this.#tells = start?.is_named ?? true;
  }

  /** Until the loop ends or no more is wanted. Rejects with the loop's error. */
  async run(): Promise<void> {
    const { subscription, start } = this.#options;
    if (start === undefined) this.#offset = Number(subscription.offset ?? 0);
    for await (const message of subscription) {
      const { signal, sender } = message;
      // A service may publish a signal of this kind too, and is then its sender.
      const is_hole = signal?.kind === "GAP" && sender === "" && start !== undefined &&
        subscription.position !== undefined;
      const goes_on = is_hole
        ? await this.#fill(message, signal.reason)
        : await this.#take(message);
      if (!goes_on) return;
    }
  }

  /** One message of the loop or of the history. False: no more is wanted. */
  async #take(message: Message): Promise<boolean> {
    const { io, subscription, json, start, run } = this.#options;
    const offset = Number(message.offset);
    const has_place = offset > 0;
    // Without a GAP before it: the room goes on where it was, in another life of its log.
    if (has_place) this.#epoch = message.epoch;
    // What the history brought already comes again from the loop, which began before it.
    if (start !== undefined && has_place && offset <= this.#offset) return true;
    // Two rooms may deliver in one turn: what comes after the last one counted is not printed.
    if (run.left === 0) return false;
    if (has_place) {
      this.#offset = offset;
      this.#tells = true;
    }
    if (message.signal !== undefined) {
      const { kind, reason } = message.signal;
      const why = reason === "" ? "" : `: ${reason}`;
      await this.#tell(message, `${kind} in ${message.room}${why}`, subscription.epoch ?? "");
      return true;
    }
    run.left -= 1;
    await writeMessage(io, message, json);
    if (run.left > 0) return true;
    run.stop();
    return false;
  }

  /** Goes on from the history, and tells of a loss when there was one or none can be ruled out. */
  async #fill(gap: Message, reason: string): Promise<boolean> {
    const { start, subscription } = this.#options;
    if (reason === "offset-ahead" && start?.is_named === true && this.#offset === start.offset) {
      throw new CommandError(
        `room ${gap.room} is not at offset ${start.offset} yet`,
        undefined,
        "that is an offset of another room, or of an earlier log; --from 0 prints all there is",
      );
    }
    let loss: string | undefined;
    let epoch = subscription.epoch ?? this.#epoch;
    const is_start = start !== undefined && this.#offset === start.offset;
    if (reason === "epoch-changed" && is_start && start.is_epoch_named === true) {
      checkEpoch(gap.room, epoch, start.epoch);
    }
    for (;;) {
      if (epoch !== this.#epoch) {
        loss = `the room began anew; what came after ${this.#offset} before that is gone`;
        this.#epoch = epoch;
        this.#offset = 0;
      }
      try {
        return await this.#readOn(gap, reason, loss);
      } catch (error) {
        if (!(error instanceof EpochChanged)) throw error;
        epoch = error.epoch;
      }
    }
  }

  /** Prints what the history has after the last printed message. */
  async #readOn(gap: Message, reason: string, loss: string | undefined): Promise<boolean> {
    const last = this.#offset;
    const are = reason === "history-trimmed" ? "are" : "may be";
    const is_known = this.#tells && last > 0;
    let missing = loss ?? (is_known ? `messages after ${last} ${are} gone` : undefined);
    const tell = async (next: string) => {
      if (missing === undefined) return;
      await this.#tell(gap, `${gap.room}: ${missing}; ${next}`, this.#epoch);
      missing = undefined;
    };
    // With the message before: as long as that is there, nothing after it has gone.
    const query = { after: Math.max(0, last - 1), total: Infinity, epoch: this.#epoch };
    for await (const { messages, offset } of historyPages(this.#history, query)) {
      // A log that was set back: what comes now is new, whatever its offset.
      if (reason === "offset-ahead") this.#offset = Math.min(this.#offset, Number(offset));
      for (const message of messages) {
        if (Number(message.offset) === last && loss === undefined) missing = undefined;
        if (Number(message.offset) > this.#offset) await tell(`beginning at ${message.offset}`);
        if (!await this.#take(message)) return false;
      }
    }
    await tell("going on with the next one");
    return true;
  }

  /** A line on stderr, with `--json` also an object on stdout, with the place to go on from. */
  async #tell(signal: Message, text: string, epoch: string): Promise<void> {
    const { io, json } = this.#options;
    await print(io.stderr, `arq: ${printable(text)}\n`);
    if (!json) return;
    const place = epoch === "" ? undefined : { epoch, offset: this.#offset };
    await io.stdout.write(jsonLine(signal, place));
  }
}
