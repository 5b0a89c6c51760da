/**
 * A message for filters. Its envelope is decoded when a filter first needs it, once for all filters; the JSON of its
 * data is parsed when one needs that.
 */
import { celMap } from "@bufbuild/cel";
import type { CelInput, CelMap } from "@bufbuild/cel";
import type { DescMessage } from "@bufbuild/protobuf";
import { isReflectMessage } from "@bufbuild/protobuf/reflect";
import { readRouted } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";

/** The names in a filter. `claims` are those of the subscriber's token. */
export type FilterName = "type" | "sender" | "headers" | "data" | "claims";

/** The verdict of a filter on a message. `error`: it failed; `cost`: it exceeded its steps. */
export type FilterVerdict = boolean | "error" | "cost";

/** Content types of JSON. */
const JSON_TYPE = /^\s*application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Decodes the data of events with a known schema; undefined: no schema. Throws if it cannot be decoded. */
export type ReadMapped = (event: NonNullable<PlainEnvelope["event"]>) => unknown;

/** Verdicts of filters since the start of the process. */
export type FilterCounts = Record<"match" | "no_match" | "error" | "cost", number>;

/** The most steps of all filters of a room together on one message: 5 ms at most. */
const ROOM_STEPS = 10_000;
/** Steps that each filter has, whatever the others used. */
const SURE_STEPS = 100;

/** Bytes of data per step, beside the price of its values: if its schema decodes them, or nothing can. */
const BYTES_PER_STEP = 256;
const WHOLE_BYTES_PER_STEP = 4;
/** The price of each value, of each object and of each of its members. */
const VALUE_STEPS = 1;
const MAP_STEPS = 2;
/** Bytes per step of a message with values that CEL converts, or decodes, as a whole at each access. */
const CONVERTED_BYTES_PER_STEP = 8;
const CONVERTED = /^google\.protobuf\.(?:Any|Struct|Value|ListValue)$/;

/**
 * The steps that filters may use. `room`: limited for all filters of a room together, since a message is sent to all of
 * them at once; `none`: nothing, since the tenant has used its share; `each`: each filter its own limit.
 */
export type FilterShare = "room" | "none" | "each";

/** One message. The same object for all filters that judge it. */
export class MessageView {
  readonly size_bytes: number;
  /** The steps that filters used on it. */
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
   * What the tenant pays for it: the steps of filters, and those for making values of its data, once for all filters.
   * No filter pays the latter, so that none fails for a large message.
   */
  get spent_steps(): number {
    return this.steps + this.#data_steps;
  }

  /** The steps that the next filter may use, given its own limit. */
  stepsFor(filter_steps: number): number {
    if (this.#share === "each") return filter_steps;
    if (this.#share === "none") return 0;
    return Math.min(filter_steps, Math.max(ROOM_STEPS - this.steps, SURE_STEPS));
  }

  /** Counts a verdict. */
  count(verdict: FilterVerdict): void {
    if (verdict === true) this.#counts.match++;
    else if (verdict === false) this.#counts.no_match++;
    else this.#counts[verdict]++;
  }

  /** The names of a filter, with the claims of its subscriber; `pay` is called with the steps of each use of `data`. */
  names(claims: unknown, pay: (steps: number) => void): Record<FilterName, unknown> {
    return new Names(this, claims, pay);
  }

  /** The event's type; "" for a signal. Throws `DecodeError` if the envelope is malformed. */
  get type(): string {
    return this.#read().event?.type ?? "";
  }

  get sender(): string {
    return this.#read().sender_id;
  }

  get headers(): Map<string, string> {
    return this.#headers ??= new Map(Object.entries(this.#read().headers));
  }

  /** The data of an event as a value; undefined if it is neither JSON nor has a schema. */
  get data(): unknown {
    return (this.#data ??= { value: this.#readData() }).value;
  }

  /** The steps of each use of its data, besides those of the expression's nodes. */
  get use_steps(): number {
    const { data } = this;
    if (!isReflectMessage(data) || !isConverted(data.desc)) return 0;
    return Math.ceil(this.size_bytes / CONVERTED_BYTES_PER_STEP);
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
      // The fault may be at its end.
      this.#data_steps = Math.floor(event.data.length / WHOLE_BYTES_PER_STEP);
      return undefined;
    }
  }
}

/**
 * A JSON value for CEL, with maps made once: of a plain object CEL makes one at each access. `spend` is called with the
 * steps used.
 */
export function celData(value: unknown, spend?: (steps: number) => void): CelInput {
  spend?.(VALUE_STEPS);
  if (Array.isArray(value)) return value.map((item) => celData(item, spend));
  if (typeof value !== "object" || value === null) return value as string | number | boolean | null;
  const members = Object.entries(value);
  spend?.(MAP_STEPS * (1 + members.length));
  return jsonMap(new Map(members.map(([key, item]) => [key, celData(item, spend)])));
}

const { get } = celMap(new Map());
/** A map of names only. For a number CEL would compare each of them. */
const byName = {
  get(this: CelMap, key: Parameters<CelMap["get"]>[0]) {
    return typeof key === "string" ? get.call(this, key) : undefined;
  },
};

function jsonMap(members: ReadonlyMap<string, CelInput>): CelMap {
  return Object.assign(celMap(members), byName);
}

const converted = new WeakMap<DescMessage, boolean>();

/** Whether a message may have values that CEL converts as a whole. */
function isConverted(desc: DescMessage): boolean {
  let known = converted.get(desc);
  if (known === undefined) {
    const found = new Set([desc]);
    for (const { fields } of found) {
      for (const { message } of fields) if (message !== undefined) found.add(message);
    }
    known = found.values().some(({ typeName }) => CONVERTED.test(typeName));
    converted.set(desc, known);
  }
  return known;
}

/** The names, as getters: CEL reads only those that it needs. */
class Names {
  readonly claims: unknown;
  readonly #view: MessageView;
  readonly #pay: (steps: number) => void;

  constructor(view: MessageView, claims: unknown, pay: (steps: number) => void) {
    this.#view = view;
    this.claims = claims;
    this.#pay = pay;
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
    this.#pay(this.#view.use_steps);
    return this.#view.data;
  }
}
