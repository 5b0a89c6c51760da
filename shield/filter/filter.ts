/**
 * A compiled filter, which judges a message once for all of its subscribers, and the filter of a room class, with one
 * instance for each set of claims. It does not know the subscribers.
 */
import type { Identity } from "../auth/identity.ts";
import type { Filter as AskedFilter, Filtered } from "../fanout/filters.ts";
import { isFor, ownFilterOf } from "../../shared/filter/reduced.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { celData } from "../../shared/filter/message_view.ts";
import type { MessageView } from "../../shared/filter/message_view.ts";
import { classProgram } from "../../shared/filter/program.ts";
import type { FilterProgram } from "../../shared/filter/program.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

/** The most sets of claims that a class's filter caches; the least recently used is evicted first. */
const CLAIMS_KEPT = 10_000;

/** The number of filters made so far. */
let made = 0;

/** A filter and the claims that it reads. */
export class Filter implements AskedFilter {
  readonly program: FilterProgram;
  readonly number: number = ++made;
  readonly #claims: unknown;
  #view: MessageView | undefined;
  #lets = false;

  constructor(program: FilterProgram, claims: Readonly<Record<string, unknown>> = {}) {
    this.program = program;
    this.#claims = celData(claims);
  }

  get text(): string {
    return this.program.text;
  }

  /** Whether a message passes; a message that the filter cannot judge does not. */
  lets(view: MessageView): boolean {
    if (this.#view === view) return this.#lets;
    step(AT.filter);
    const verdict = this.program.judge(view, this.#claims);
    this.#view = view;
    this.#lets = verdict === true;
    view.count(verdict);
    return this.#lets;
  }

  /** What withholds a message: this filter, or the part of it that others may share; undefined: it passes. */
  against(view: MessageView): Filter | undefined {
    return this.lets(view) ? undefined : this;
  }
}

/** The class's filter in a room with a reducer: no event costs a verdict for each user to whom it could be sent. */
class ReducedFilter extends Filter {
  readonly #holder: Readonly<Record<string, unknown>>;
  /** What else the messages have to pass; undefined: nothing. */
  readonly #own: Filter | undefined;

  constructor(
    program: FilterProgram,
    claims: Readonly<Record<string, unknown>>,
    own: Filter | undefined,
  ) {
    super(program, claims);
    this.#holder = claims;
    this.#own = own;
  }

  override lets(view: MessageView): boolean {
    return this.against(view) === undefined;
  }

  override against(view: MessageView): Filter | undefined {
    try {
      if (!isFor(view.headers.get("x-to"), this.#holder)) return this;
    } catch {
      // An unreadable envelope, which no filter can judge.
      return this;
    }
    return this.#own?.against(view);
  }
}

/** Passes nothing: for a class with a filter if no token is known. */
const NOTHING = new Filter(classProgram("false"));

/**
 * The filter that withholds a message of a room from a subscriber; undefined: it is delivered. `of_class` is the filter
 * of the room's class.
 */
export function withholding(
  { filter, identity }: Filtered,
  view: MessageView,
  of_class: ClassFilter | undefined,
): AskedFilter | undefined {
  const first = of_class &&
    (identity === undefined ? NOTHING : of_class.of(identity)).against(view);
  if (first !== undefined) return first;
  return filter === undefined || filter.lets(view) ? undefined : filter;
}

const of_classes = new WeakMap<RoomClass, ClassFilter>();

/** The filter of a room class, compiled once at the class's cost; undefined: it has none. */
export function classFilter(
  room_class: RoomClass | undefined,
  pay: (steps: number) => void,
): ClassFilter | undefined {
  if (room_class?.filter === undefined) return undefined;
  let found = of_classes.get(room_class);
  if (found === undefined) {
    found = new ClassFilter(room_class, pay);
    of_classes.set(room_class, found);
  }
  return found;
}

/** The stored filter of a class. One that only another version of ArqonBus can compile passes nothing. */
function storedProgram(text: string, pay: (steps: number) => void): FilterProgram {
  try {
    return classProgram(text, pay);
  } catch {
    return NOTHING.program;
  }
}

/** The filter of a room class. */
export class ClassFilter {
  readonly #program: FilterProgram;
  readonly #is_reduced: boolean;
  /** The part of a room with a reducer that the class itself sets; undefined: none. */
  readonly #own: ClassFilter | undefined;
  readonly #holders = new WeakMap<Identity, Filter>();
  readonly #by_claims = new BoundedMap<string, Filter>(CLAIMS_KEPT);

  constructor(
    { filter = "true", reducer }: Partial<RoomClass>,
    pay: (steps: number) => void,
  ) {
    this.#program = storedProgram(filter, pay);
    this.#is_reduced = reducer !== undefined;
    const own = this.#is_reduced ? ownFilterOf(filter) : undefined;
    this.#own = own === undefined ? undefined : new ClassFilter({ filter: own }, pay);
  }

  /** The filter for the holder of a token: one object for all tokens with the same relevant claims. */
  of(identity: Identity): Filter {
    const known = this.#holders.get(identity);
    if (known !== undefined) return known;
    const { claims: names } = this.#program;
    const claims = names[0] === "*" ? identity.claims : pick(identity.claims, names);
    const key = JSON.stringify(claims);
    let filter = this.#by_claims.use(key);
    if (filter === undefined) {
      filter = this.#is_reduced
        ? new ReducedFilter(this.#program, claims, this.#own?.of(identity))
        : new Filter(this.#program, claims);
      this.#by_claims.set(key, filter);
    }
    this.#holders.set(identity, filter);
    return filter;
  }
}

function pick(
  claims: Readonly<Record<string, unknown>>,
  names: readonly string[],
): Record<string, unknown> {
  return Object.fromEntries(
    names.flatMap((name) => Object.hasOwn(claims, name) ? [[name, claims[name]]] : []),
  );
}
