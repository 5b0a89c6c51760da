/**
 * A message as a filter sees it. It is read from its envelope when a filter first asks, once for all
 * filters; the JSON of its data is read when one asks for that.
 */
import { celMap } from "@bufbuild/cel";
import type { CelInput } from "@bufbuild/cel";
import { readRouted } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";

/** The names that a filter may use. `claims` are those of the subscriber's token. */
export type FilterName = "type" | "sender" | "headers" | "data" | "claims";

/** What a filter says of a message. `error`: it cannot be applied to it; `cost`: it took too long. */
export type FilterVerdict = boolean | "error" | "cost";

/** The form of data that an event's content type promises. */
const JSON_TYPE = /^\s*application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i;

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Reads the data of events whose schema is known; undefined: it is of no schema. Throws when it cannot. */
export type ReadMapped = (event: NonNullable<PlainEnvelope["event"]>) => unknown;

/** How often filters said what, since the start of the process. */
export type FilterCounts = Record<"match" | "no_match" | "error" | "cost", number>;

/** Steps that all filters of a room together may take over one message: 5 ms at most. */
const ROOM_STEPS = 10_000;
/** Steps that each of them has, whatever the others took. */
const SURE_STEPS = 100;

/** Bytes of data that a step pays for: beside the values that are made of it; where its schema makes them, or nothing can. */
const BYTES_PER_STEP = 256;
const WHOLE_BYTES_PER_STEP = 4;
/** What each value costs, and what each object and each of its members costs besides. */
const VALUE_STEPS = 1;
const MAP_STEPS = 2;

/**
 * How many steps filters may take: `room`: what is bounded for all filters of a room together, as a message is sent to
 * all of them in one go; `none`: nothing, since the tenant has used up its share; `each`: each filter what it may.
 */
export type FilterShare = "room" | "none" | "each";

/** One message. The same object for all filters that judge it. */
export class MessageView {
  readonly size_bytes: number;
  /** The steps that filters took over it. */
  steps = 0;
  #data_steps = 0;
  readonly #share: FilterShare;
  readonly #envelope: Uint8Array;
  readonly #counts: FilterCounts;
  readonly #mapped: ReadMapped | undefined;
  #plain: PlainEnvelope | undefined;
  #headers: Map<string, string> | undefined;
  #data: { readonly value: unknown } | undefined;

  constructor(
    envelope: Uint8Array,
    counts: FilterCounts,
    plain?: PlainEnvelope,
    mapped?: ReadMapped,
    share: FilterShare = "each",
  ) {
    this.#share = share;
    this.size_bytes = envelope.length;
    this.#envelope = envelope;
    this.#counts = counts;
    this.#plain = plain;
    this.#mapped = mapped;
  }

  /**
   * What the tenant pays for all of it: beside the steps of filters those that making values of its data took, once for
   * all of them. No filter pays these, so that none fails for a large message.
   */
  get spent_steps(): number {
    return this.steps + this.#data_steps;
  }

  /** How many steps the next filter may take over it, which may take so many of itself. */
  stepsFor(filter_steps: number): number {
    if (this.#share === "each") return filter_steps;
    if (this.#share === "none") return 0;
    return Math.min(filter_steps, Math.max(ROOM_STEPS - this.steps, SURE_STEPS));
  }

  /** Counts a verdict about it. */
  count(verdict: FilterVerdict): void {
    if (verdict === true) this.#counts.match++;
    else if (verdict === false) this.#counts.no_match++;
    else this.#counts[verdict]++;
  }

  /** What a filter may name, with the claims of the one for whom it judges. */
  names(claims: unknown): Record<FilterName, unknown> {
    return new Names(this, claims);
  }

  /** The event's type; "" of a signal. Throws `DecodeError` when the envelope cannot be read. */
  get type(): string {
    return this.#read().event?.type ?? "";
  }

  get sender(): string {
    return this.#read().sender_id;
  }

  get headers(): Map<string, string> {
    return this.#headers ??= new Map(Object.entries(this.#read().headers));
  }

  /** The data of an event as a value; undefined when it is neither JSON nor of a schema. */
  get data(): unknown {
    return (this.#data ??= { value: this.#readData() }).value;
  }

  #read(): PlainEnvelope {
    return this.#plain ??= readRouted(this.#envelope);
  }

  #readData(): unknown {
    const { event } = this.#read();
    if (event === undefined) return undefined;
    try {
      const mapped = this.#mapped?.(event);
      if (mapped !== undefined) {
        this.#data_steps = Math.floor(event.data.length / WHOLE_BYTES_PER_STEP);
        return mapped;
      }
      if (!JSON_TYPE.test(event.content_type)) return undefined;
      this.#data_steps = Math.floor(event.data.length / BYTES_PER_STEP);
      return celData(JSON.parse(decoder.decode(event.data)), (steps) => this.#data_steps += steps);
    } catch {
      // Its end may be what is wrong.
      this.#data_steps = Math.floor(event.data.length / WHOLE_BYTES_PER_STEP);
      return undefined;
    }
  }
}

/**
 * A value of JSON as CEL has it, whose maps are made once: of a plain object CEL makes one for each look at it. `spend` is
 * called with the steps that it takes.
 */
export function celData(value: unknown, spend?: (steps: number) => void): CelInput {
  spend?.(VALUE_STEPS);
  if (Array.isArray(value)) return value.map((item) => celData(item, spend));
  if (typeof value !== "object" || value === null) return value as string | number | boolean | null;
  const members = Object.entries(value);
  spend?.(MAP_STEPS * (1 + members.length));
  return celMap(new Map(members.map(([key, item]) => [key, celData(item, spend)])));
}

/** The names, of which CEL asks only those that it needs. */
class Names {
  readonly claims: unknown;
  readonly #view: MessageView;

  constructor(view: MessageView, claims: unknown) {
    this.#view = view;
    this.claims = claims;
  }

  get type(): string {
    return this.#view.type;
  }

  get sender(): string {
    return this.#view.sender;
  }

  get headers(): Map<string, string> {
    return this.#view.headers;
  }

  get data(): unknown {
    return this.#view.data;
  }
}
