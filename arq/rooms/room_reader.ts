/**
 * Prints one room for `arq sub`: live messages and, in a durable room that is read from a position on, stored messages
 * that the loop does not bring. It prints no message twice, and reports a loss.
 */
import type { Message, Room, Subscription } from "@arqon/sdk";
import { failed, printable } from "../terminal/exit.ts";
import { jsonLine, writeMessage } from "../terminal/format.ts";
import { checkEpoch, EpochChanged, historyPages, patient } from "./history.ts";
import type { HistorySource, Start } from "./history.ts";
import { type Io, note } from "../terminal/io.ts";

interface RoomReaderOptions {
  readonly io: Io;
  readonly room: Pick<Room, "id"> & HistorySource;
  readonly subscription:
    & Pick<Subscription, "epoch" | "offset" | "position">
    & AsyncIterable<Message>;
  readonly json: boolean;
  /** Position from which messages are read without a gap; absent: only new messages. */
  readonly start: Start | undefined;
  readonly run: Run;
}

/** The number of messages still wanted from all rooms; `stop` ends the loops. */
export interface Run {
  left: number;
  stop(): void;
}

/** Reads and prints one room, for one loop of its subscription. */
export class RoomReader {
  readonly #options: RoomReaderOptions;
  readonly #history: HistorySource;
  /** Offset of the message that was printed last. */
  #offset: number;
  #epoch: string;
  /** Whether a loss is reported: not for a position that we chose ourselves. */
  #tells: boolean;

  constructor(options: RoomReaderOptions) {
    const { start, room, io } = options;
    this.#options = options;
    this.#history = patient(room, io);
    this.#offset = start?.offset ?? 0;
    this.#epoch = start?.epoch ?? "";
    this.#tells = start?.is_named ?? true;
  }

  /** Prints until the loop ends or no more messages are wanted. Rejects with the error of the loop. */
  async run(): Promise<void> {
    const { subscription, start } = this.#options;
    if (start === undefined) this.#offset = Number(subscription.offset ?? 0);
    for await (const message of subscription) {
      const { signal, sender } = message;
      // A service may publish a signal of this kind, and is then its sender.
      const is_hole = signal?.kind === "GAP" && sender === "" && start !== undefined &&
        subscription.position !== undefined;
      const goes_on = is_hole
        ? await this.#fill(message, signal.reason)
        : await this.#take(message);
      if (!goes_on) return;
    }
  }

  /** Takes one message of the loop or of the history. False when no more messages are wanted. */
  async #take(message: Message): Promise<boolean> {
    const { io, subscription, json, start, run } = this.#options;
    const offset = Number(message.offset);
    const has_place = offset > 0;
    // A new epoch without a GAP before it: the room continues from the same position.
    if (has_place) this.#epoch = message.epoch;
    // The loop began before the history was read, so it repeats some messages.
    if (start !== undefined && has_place && offset <= this.#offset) return true;
    // Two rooms may deliver in one turn. Messages after the last wanted one are not printed.
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

  /** Continues from the history, and reports a loss unless there was certainly none. */
  async #fill(gap: Message, reason: string): Promise<boolean> {
    const { start, subscription } = this.#options;
    if (reason === "offset-ahead" && start?.is_named === true && this.#offset === start.offset) {
      throw failed(
        `room ${gap.room} is not at offset ${start.offset} yet`,
        "that is an offset of another room, or of an earlier log; --from 0 prints everything",
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
        loss = `the room was recreated; earlier messages after ${this.#offset} are lost`;
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

  /** Prints the stored messages after the last printed one. */
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
    // The page begins with the last printed message: while that exists, nothing after it is missing.
    const query = { after: Math.max(0, last - 1), total: Infinity, epoch: this.#epoch };
    for await (const { messages, offset } of historyPages(this.#history, query)) {
      // The log was set back, so all later messages are new, whatever their offset.
      if (reason === "offset-ahead") this.#offset = Math.min(this.#offset, Number(offset));
      for (const message of messages) {
        if (Number(message.offset) === last && loss === undefined) missing = undefined;
        if (Number(message.offset) > this.#offset) await tell(`beginning at ${message.offset}`);
        if (!await this.#take(message)) return false;
      }
    }
    await tell("continuing with the next one");
    return true;
  }

  /** Prints a line on stderr; with `--json` also an object on stdout with the position from which to continue. */
  async #tell(signal: Message, text: string, epoch: string): Promise<void> {
    const { io, json } = this.#options;
    await note(io, printable(text));
    if (!json) return;
    const place = epoch === "" ? undefined : { epoch, offset: this.#offset };
    await io.stdout.write(jsonLine(signal, place));
  }
}
