/**
 * Publishes each change of a room reliably. The Spine must confirm it; after a write with an unknown outcome the
 * document is read again; the last change of a room is repeated for Shields that missed it. So a Shield receives every
 * change, or detects that one is missing. `apply.ts` creates the events, `announcer.ts` their envelopes.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type { Env } from "../../../shared/env.ts";
import { type ChangeNumber, CHANGES_KEPT_MS } from "../../../shared/records/room_update.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { Announcer } from "../room/announcer.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import type { RoomDocument } from "../store/document.ts";
import { Doubts, type DoubtsOptions } from "./doubts.ts";
import type { FreshEvent, RoomEvent, WriteMark } from "../store/room_event.ts";
import { HELLO } from "../../../shared/subjects/subject.ts";

/** The dependencies of publishing changes. */
export interface ChangePublisherOptions extends Pick<Env, "now"> {
  readonly spine: Pick<Spine, "flush">;
  readonly announcer: Announcer;
  /** The most rooms whose published version is remembered. */
  readonly rooms_in_memory: number;
  readonly doubts: Doubts;
  readonly tails: Tails;
  /** Monotonic ms. */
  readonly monotonic: () => number;
  readonly isOwner: (at: RoomAddress) => boolean;
}

/** Events older than this when their owner changes are not published again, except the last one. */
const REPUBLISH_MS = 60_000;
/**
 * Tolerance in ms: the previous owner may have died this long before the term, or its last write may take effect this
 * late.
 */
const TERM_SLACK_MS = 10_000;

interface PublishedState {
  /** The term in which this Brain has published the changes that a previous owner may have left unpublished. */
  term: number | undefined;
  /** All changes up to this one are published, or were the duty of previous owners; undefined: unknown. */
  published: ChangeNumber | undefined;
  /** True if the room's creation could not be published. */
  birth_unsent: boolean;
}

interface Unconfirmed extends Pick<PublishedState, "term" | "published"> {
  readonly at: RoomAddress;
}

/** The age of an event in ms, from its time by the writer's clock. */
type AgeOf = (at_ms: number) => number;

/** Publishes the changes of rooms; one per Brain. */
export class ChangePublisher {
  readonly #options: ChangePublisherOptions;
  /**
   * By room; the least recently used one is forgotten first, and its changes may be published again, which is harmless.
   */
  readonly #published: BoundedMap<string, PublishedState>;
  #unconfirmed: Unconfirmed[] = [];
  #term = 1;
  /** Monotonic ms. */
  #term_began_ms: number;

  constructor(options: ChangePublisherOptions) {
    this.#options = options;
    this.#published = new BoundedMap(options.rooms_in_memory);
    this.#term_began_ms = options.monotonic();
  }

  /** Begins another term: the set of live Brains has changed. */
  beginTerm(): void {
    this.#term++;
    this.#term_began_ms = this.#options.monotonic();
  }

  /**
   * Handles a document that was read: publishes changes that may be unpublished. These are, for a known room, the
   * changes that this Brain has not published, and, once a term, those of a previous owner. Repetitions are marked, and
   * have the ids of the originals. `written_ms_ago`: by the clock of the store, the same for all Brains; undefined if
   * it has none.
   */
  read(at: RoomAddress, document: RoomDocument, written_ms_ago?: number): void {
    const { isOwner } = this.#options;
    const state = this.#of(at);
    const first = state.term !== this.#term && isOwner(at);
    const { epoch, version } = document;
    const is_published = state.published?.epoch === epoch && state.published.version >= version;
    if (is_published && !first && !state.birth_unsent) return;
    const before = { at, term: state.term, published: state.published };
    const newest_ms = document.events.at(-1)?.at_ms ?? document.created_ms;
    const age_ms = written_ms_ago ?? Math.max(0, this.#options.now() - newest_ms);
    const ageOf = (at_ms: number) => age_ms + Math.max(0, newest_ms - at_ms);
    const unsent = this.#unsent(state, document, first, ageOf);
    if (!unsent.every((event) => this.#again(at, document, event, ageOf))) return this.#doubt(at);
    if (!this.#tellBirth(at, state, document, first, ageOf)) return this.#doubt(at);
    if (!is_published) state.published = { epoch, version };
    if (first) state.term = this.#term;
    if (unsent.length > 0) this.#confirm(before);
  }

  /** Records that a room has no document: nothing is unpublished. */
  readNothing(at: RoomAddress): void {
    const { isOwner } = this.#options;
    const state = this.#of(at);
    if (isOwner(at)) state.term = this.#term;
    state.published = { epoch: "", version: 0 };
    state.birth_unsent = false;
  }

  /** Handles a document that this Brain has written: publishes its new events. */
  wrote(
    at: RoomAddress,
    document: RoomDocument,
    fresh: readonly FreshEvent[],
    mark: WriteMark,
    born: boolean,
  ): void {
    const { announcer, tails } = this.#options;
    const state = this.#of(at);
    const { epoch, version } = document;
    state.published ??= { epoch, version: version - fresh.length };
    const before = { at, term: state.term, published: state.published };
    if (born) this.#tellOwnBirth(at, state, document);
    for (const { event, trace_id } of fresh) {
      if (!announcer.event(at, event, mark, trace_id)) return this.#doubt(at);
    }
    state.published = { epoch, version };
    const last = fresh.at(-1);
    if (last === undefined) return;
    tails.published(at, last.event, mark);
    this.#confirm(before);
  }

  /** Handles the document of a room that this Brain has created without events. */
  born(at: RoomAddress, document: RoomDocument): void {
    const { isOwner } = this.#options;
    const state = this.#of(at);
    const { epoch, version } = document;
    state.published = { epoch, version };
    if (isOwner(at)) state.term = this.#term;
    this.#tellOwnBirth(at, state, document);
  }

  /** Records a write with an unknown outcome. */
  unknown(at: RoomAddress): void {
    this.#options.doubts.watch(at);
  }

  /** The mutable state of a room; created if missing. */
  #of(at: RoomAddress): PublishedState {
    const id = `${at.tenant_id}.${at.room_id}`;
    const state = this.#published.get(id) ??
      { term: undefined, published: undefined, birth_unsent: false };
    this.#published.renew(id, state);
    return state;
  }

  #unsent(
    { published }: PublishedState,
    document: RoomDocument,
    first: boolean,
    ageOf: AgeOf,
  ): readonly RoomEvent[] {
    const { epoch, events } = document;
    const known = published === undefined
      ? Infinity
      : published.epoch === epoch
      ? published.version
      : 0;
    // Earlier changes were the duty of the previous owner, which may have stopped before it published them.
    const isLate = ({ at_ms }: RoomEvent) => first && this.#isEarlierOwners(ageOf(at_ms));
    const unsent = events.filter((event) => event.version > known || isLate(event));
    return unsent.length === 0 && first && published === undefined ? events.slice(-1) : unsent;
  }

  /** Whether a previous owner that stopped recently may have made a change of this age without publishing it. */
  #isEarlierOwners(age_ms: number): boolean {
    const term_ms = this.#options.monotonic() - this.#term_began_ms;
    return age_ms < REPUBLISH_MS && age_ms >= term_ms - TERM_SLACK_MS;
  }

  #again(at: RoomAddress, { epoch, start }: RoomDocument, event: RoomEvent, ageOf: AgeOf): boolean {
    const { announcer, tails } = this.#options;
    const again_ms = ageOf(event.at_ms);
    const mark = { epoch, fence: 0, start };
    const is_published = announcer.event(at, event, mark, "", again_ms);
    if (is_published) tails.published(at, event, mark, again_ms);
    return is_published;
  }

  #tellOwnBirth(at: RoomAddress, state: PublishedState, document: RoomDocument): void {
    state.birth_unsent = !this.#options.announcer.created(at, document);
    if (state.birth_unsent) this.#doubt(at);
  }

  /** Publishes a creation that may be unpublished; false if that failed again. */
  #tellBirth(
    at: RoomAddress,
    state: PublishedState,
    document: RoomDocument,
    first: boolean,
    ageOf: AgeOf,
  ): boolean {
    const late = first && this.#isEarlierOwners(ageOf(document.created_ms));
    if (!late && !state.birth_unsent) return true;
    state.birth_unsent = !this.#options.announcer.created(at, document);
    return !state.birth_unsent;
  }

  #doubt(at: RoomAddress): void {
    this.#options.doubts.add(at);
  }

  /** Confirms all publishes of this turn with one flush. */
  #confirm(unconfirmed: Unconfirmed): void {
    if (this.#unconfirmed.push(unconfirmed) > 1) return;
    queueMicrotask(() => {
      const published = this.#unconfirmed;
      this.#unconfirmed = [];
      this.#options.spine.flush().catch(() => this.#withdraw(published));
    });
  }

  /** The Spine may not have delivered them: they count as unpublished. */
  #withdraw(unconfirmed: readonly Unconfirmed[]): void {
    // In reverse order, so that each room ends in its state before all of them.
    for (const { at, term, published } of unconfirmed.toReversed()) {
      Object.assign(this.#of(at), { term, published });
      this.#doubt(at);
    }
  }
}

interface SayingStart
  extends Omit<ChangePublisherOptions, "doubts" | "tails">, Omit<DoubtsOptions, "rooms_max"> {
  readonly spine: Spine;
}

/** The components that publish changes, running until `stop`. */
interface SayingParts {
  readonly saying: ChangePublisher;
  readonly doubts: Doubts;
  /** Stops; resolves when nothing is under way. The next owner checks the rooms in doubt. */
  stop(): Promise<void>;
}

/** The smallest bound of remembered last changes; each takes about 1 KiB. */
const TAILS_MIN = 8_192;

/** Starts the components; one set per Brain. Throws `spine-unavailable` while the Spine is not connected. */
export function startPublisher(options: SayingStart): SayingParts {
  const { spine, rooms_in_memory, announcer, monotonic } = options;
  const doubts = new Doubts({ ...options, rooms_max: rooms_in_memory });
  const tails = new Tails({
    announcer,
    monotonic,
    // The embedded engine reports every loss.
    rooms_max: spine.status.engine === "nats" ? Math.max(TAILS_MIN, rooms_in_memory) : 0,
    isConnected: () => spine.status.state === "connected",
  });
  const saying = new ChangePublisher({ ...options, doubts, tails });
  // Shields and Brains send a hello when their connection to NATS is restored.
  const hellos = spine.subscribe(HELLO, () => tails.ask(), { reads_only: true });
  const stop = async () => {
    hellos.unsubscribe();
    tails.stop();
    await doubts.stop();
  };
  return { saying, doubts, stop };
}

// The next change of a room reveals a lost one; after the last change there is no next one, so it is repeated. A
// Shield that has received it drops the repetition.

/** The dependencies of repeating last changes. */
interface TailsOptions {
  readonly announcer: Pick<Announcer, "event">;
  /** The most rooms whose last change is remembered; 0 if the engine loses no messages. */
  readonly rooms_max: number;
  /** Monotonic milliseconds. */
  readonly monotonic: () => number;
  /** Whether the Spine is connected; otherwise nothing is repeated. */
  readonly isConnected: () => boolean;
}

/**
 * When a change is repeated, in ms after it was published: a server that stalls for ten seconds has recovered by the
 * third time.
 */
const AGAIN_MS = [2_000, 8_000, 30_000] as const;
const TICK_MS = 500;
/** The most changes repeated in one tick. */
const TICK_ROOMS = 1_000;

interface Tail {
  readonly at: RoomAddress;
  readonly event: RoomEvent;
  readonly mark: WriteMark;
  /** When it should have been received, monotonic ms. */
  readonly sent_ms: number;
  /** How often the timer has repeated it. */
  times: number;
  /** True if a repetition was requested. */
  is_due: boolean;
}

/** How often the timer has repeated a change of that age. */
function timesUntil(age_ms: number): number {
  return AGAIN_MS.filter((due_ms) => due_ms <= age_ms).length;
}

/** The last changes; one per Brain. Runs from its creation until `stop`. */
export class Tails {
  readonly #options: TailsOptions;
  /** By room; the oldest change is first. */
  readonly #tails: BoundedMap<string, Tail>;
  readonly #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: TailsOptions) {
    this.#options = options;
    this.#tails = new BoundedMap(options.rooms_max);
    if (options.rooms_max > 0) this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  get size(): number {
    return this.#tails.size;
  }

  /** Records that the room's newest change was published. `again_ms`: how much earlier it should have been. */
  published(at: RoomAddress, event: RoomEvent, mark: WriteMark, again_ms = 0): void {
    const id = `${at.tenant_id}.${at.room_id}`;
    this.#tails.delete(id);
    if (again_ms > CHANGES_KEPT_MS) return;
    const sent_ms = this.#options.monotonic() - again_ms;
    this.#tails.set(id, { at, event, mark, sent_ms, times: timesUntil(again_ms), is_due: false });
  }

  /** Repeats all last changes: a Shield may have missed some. */
  ask(): void {
    for (const tail of this.#tails.values()) tail.is_due = true;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#tails.clear();
  }

  #tick(): void {
    const { monotonic, isConnected } = this.#options;
    if (!isConnected()) return;
    const now_ms = monotonic();
    let left = TICK_ROOMS;
    for (const [id, tail] of this.#tails) {
      const age_ms = now_ms - tail.sent_ms;
      const due_ms = AGAIN_MS[tail.times] ?? Infinity;
      if ((tail.is_due || age_ms >= due_ms) && left-- > 0) this.#again(tail, age_ms);
      if (left < 0) return;
      if (age_ms > CHANGES_KEPT_MS) this.#tails.delete(id);
    }
  }

  #again(tail: Tail, age_ms: number): void {
    const { at, event, mark } = tail;
    if (!this.#options.announcer.event(at, event, mark, "", age_ms)) return;
    tail.is_due = false;
    tail.times = timesUntil(age_ms);
  }
}
