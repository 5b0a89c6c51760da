/**
 * Judges messages by their subscribers' filters. Withheld messages are recorded in the delivery ledger: once for each
 * filter, for any number of subscribers.
 */
import { type FilterCounts, MessageView } from "../../shared/filter/message_view.ts";
import type { ReadMapped } from "../../shared/filter/message_view.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { nextTurn } from "../../shared/turns/next_turn.ts";
import type { Filter, Filtered, FilteredRoom, SentJudge } from "../fanout/filters.ts";
import type {
  DeliveryNotes,
  LeftOutRun,
  NotedRoom,
  SubscriptionMark,
} from "../fanout/delivery_notes.ts";
import type { Outgoing } from "../fanout/room_message.ts";
import type { SchemaGate } from "../schema/gate.ts";
import { type ClassFilter, classFilter, withholding } from "./filter.ts";
import type { FilterShares } from "./shares.ts";

/** The dependencies and counters of verdicts. */
export interface JudgeOptions {
  readonly stats: { filtered: number; readonly filter_verdicts: FilterCounts };
  /** The schemas of published events; absent: none. */
  readonly schemas?: Pick<SchemaGate, "isEmpty" | "schemaOf"> | undefined;
  /** Records withheld messages; absent: not recorded. */
  readonly ledger?: Pick<DeliveryNotes, "current" | "leftOutAlone"> | undefined;
}

/** Decodes the data of a room's events; undefined: no schema is mapped. */
export function mappedReader(
  { schemas }: Pick<JudgeOptions, "schemas">,
  tenant_id: string,
  room_id: string,
): ReadMapped | undefined {
  if (schemas === undefined || schemas.isEmpty) return undefined;
  return ({ content_type, data, schema_id }) => {
    const schema = schemas.schemaOf(roomSubject("in", tenant_id, room_id), tenant_id, schema_id);
    if (schema === "none") return undefined;
    if (schema === "missing") throw new Error("the schema is missing");
    return schema.read(content_type, data);
  };
}

/** The messages that one filter withheld in a room. */
interface Kept {
  /** The position of the last withheld message. */
  position: number;
  row: LeftOutRun | undefined;
}

/** The messages that filters withhold in rooms with subscribers. */
const kept_in = new WeakMap<FilteredRoom, WeakMap<Filter, Kept>>();

function keptIn(room: FilteredRoom): WeakMap<Filter, Kept> {
  let all = kept_in.get(room);
  if (all === undefined) kept_in.set(room, all = new WeakMap());
  return all;
}

/** A message in delivery to a room, with its view for filters. */
export class SentMessage extends MessageView implements SentJudge {
  readonly #options: JudgeOptions;
  readonly #shares: FilterShares;
  readonly #room: FilteredRoom;
  readonly #of_class: ClassFilter | undefined;
  #kept: WeakMap<Filter, Kept> | undefined;

  constructor(
    options: JudgeOptions,
    shares: FilterShares,
    room: FilteredRoom,
    { envelope, plain }: Outgoing,
  ) {
    const { tenant_id, room_id } = room;
    const mapped = mappedReader(options, tenant_id, room_id);
    super(envelope, options.stats.filter_verdicts, plain, mapped, shares.of(tenant_id));
    this.#options = options;
    this.#shares = shares;
    this.#room = room;
    this.#of_class = classFilter(room.room_class, (steps) => shares.spend(tenant_id, steps));
  }

  withholds(subscriber: Filtered): boolean {
    const filter = withholding(subscriber, this, this.#of_class);
    if (filter === undefined) return false;
    const { stats, ledger } = this.#options;
    const { noted } = this.#room;
    stats.filtered++;
    if (ledger !== undefined && noted !== undefined && subscriber.mark !== undefined) {
      this.#note(ledger, noted, filter, subscriber.mark);
    }
    return true;
  }

  end(): void {
    this.#shares.spend(this.#room.tenant_id, this.spent_steps);
  }

  #note(
    ledger: NonNullable<JudgeOptions["ledger"]>,
    room: NotedRoom,
    filter: Filter,
    mark: SubscriptionMark,
  ): void {
    const position = ledger.current;
    const all = this.#kept ??= keptIn(this.#room);
    let kept = all.get(filter);
    if (kept === undefined) all.set(filter, kept = { position: 0, row: undefined });
    if (kept.position !== position) {
      kept.position = position;
      kept.row = ledger.leftOutAlone(room, filter.number, position, "filter", kept.row);
    }
    const filters = mark.filters ??= [];
    // A different claim or class gives a different filter.
    if (!filters.includes(filter.number)) filters.push(filter.number);
  }
}

/** The missed messages of one reader of a room. */
export class MissedMessages {
  readonly #options: JudgeOptions;
  readonly #shares: FilterShares;
  readonly #tenant_id: string;
  readonly #mapped: ReadMapped | undefined;
  #steps = 0;

  constructor(options: JudgeOptions, shares: FilterShares, tenant_id: string, room_id: string) {
    this.#options = options;
    this.#shares = shares;
    this.#tenant_id = tenant_id;
    this.#mapped = mappedReader(options, tenant_id, room_id);
  }

  /** Whether a message is withheld from the reader; if so, this is counted. */
  withholds(reader: Filtered, room_class: RoomClass, envelope: Uint8Array): boolean {
    const { stats } = this.#options;
    const view = new MessageView(envelope, stats.filter_verdicts, undefined, this.#mapped);
    const pay = (steps: number) => this.#shares.spend(this.#tenant_id, steps);
    const is_withheld = withholding(reader, view, classFilter(room_class, pay)) !== undefined;
    if (is_withheld) stats.filtered++;
    this.#shares.spend(this.#tenant_id, view.spent_steps);
    this.#steps += view.spent_steps;
    return is_withheld;
  }

  /** Whether the reader has to yield now. */
  isOver(): boolean {
    return this.#steps > 0 && this.#shares.isOver(this.#tenant_id, this.#steps);
  }

  /** Calls back when it may continue. */
  later(resume: () => void): void {
    if (this.#steps > 0) this.#shares.later(this.#tenant_id, resume);
    else nextTurn(resume);
  }
}
