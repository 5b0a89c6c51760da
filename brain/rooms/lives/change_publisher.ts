/**
 * Publishes each change of a room, and sees to it that it was published. The Spine must confirm it;
 * a write whose outcome is unknown is looked at again; the last change of a room is published again
 * for those whom it did not reach. So a Shield learns of every change, or notices that one is
 * missing. Which events a document has is `document.ts`; their envelopes are `announcer.ts`.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type { Env } from "../../../shared/env.ts";
import type { ChangeNumber } from "../../../shared/records/room_update.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { Announcer } from "../room/announcer.ts";
import type { RoomAddress } from "../commands/command.ts";
import type { RoomDocument } from "../store/document.ts";
import type { DoubtsOptions } from "./doubts.ts";
import type { FreshEvent, RoomEvent, WriteMark } from "../store/room_event.ts";
import { HELLO } from "../../../shared/subjects/subject.ts";
import { Doubts } from "./doubts.ts";
import { Tails } from "./tails.ts";

/** A span of ownership; it ends whenever the set of live Brains changes. */
export interface Term {
  readonly number: number;
  /** Monotonic ms. */
  readonly started_ms: number;
}

/** What publishing changes needs. */
export interface ChangePublisherOptions extends Pick<Env, "now"> {
  readonly spine: Pick<Spine, "flush">;
  readonly announcer: Announcer;
  /** Rooms of which is known what was published. */
  readonly rooms_in_memory: number;
  readonly doubts: Doubts;
  readonly tails: Tails;
  /** Ms that only grow. */
  readonly monotonic: () => number;
  readonly term: () => Term;
  readonly isOwner: (at: RoomAddress) => boolean;
}

/** Events older than this when their owner changes are not published again, except the last one. */
const REPUBLISH_MS = 60_000;
/** How long before a term the earlier owner may have died, and how late its last write may take place, in ms. */
const TERM_SLACK_MS = 10_000;

/** What is known of one room. */
interface PublishedState {
  /** The term in which this Brain has published what another owner may have left unpublished. */
  term: number | undefined;
  /**
   * All changes up to this one are published, or were others' to publish before this Brain knew the
   * room; undefined: it does not know the room.
   */
  said: ChangeNumber | undefined;
  /** True when the room's birth could not be published. */
  birth_unsaid: boolean;
}

/** What was handed to the Spine and is not confirmed, with what was known before. */
interface Unconfirmed extends Pick<PublishedState, "term" | "said"> {
  readonly at: RoomAddress;
}

/** How long ago what the document reports about happened, in ms, given when it did by the clock of its writer. */
type AgeOf = (at_ms: number) => number;

/** Publishes the changes of rooms; one per Brain. */
export class ChangePublisher {
  readonly #options: ChangePublisherOptions;
  /** By room; the one that nobody asked for longest is forgotten first, and published again: that is harmless. */
  readonly #published: BoundedMap<string, PublishedState>;
  #unconfirmed: Unconfirmed[] = [];

  constructor(options: ChangePublisherOptions) {
    this.#options = options;
    this.#published = new BoundedMap(options.rooms_in_memory);
  }

  /**
   * Takes a document that was read: publishes what may be stored and unpublished. That is what this
   * Brain has not published of a room that it knows, and, once a term, what an earlier owner may
   * have left. Repetitions are marked as such, and have the ids of the first. `written_ms_ago`: as the
   * store has it, whose clock is the same for all Brains; undefined: it has none.
   */
  read(at: RoomAddress, document: RoomDocument, written_ms_ago?: number): void {
    const { isOwner, term } = this.#options;
    const state = this.#of(at);
    const { number } = term();
    const first = state.term !== number && isOwner(at);
    const { epoch, version } = document;
    const is_said = state.said?.epoch === epoch && state.said.version >= version;
    if (is_said && !first && !state.birth_unsaid) return;
    const before = { at, term: state.term, said: state.said };
    const newest_ms = document.events.at(-1)?.at_ms ?? document.created_ms;
    const age_ms = written_ms_ago ?? Math.max(0, this.#options.now() - newest_ms);
    const ageOf = (at_ms: number) => age_ms + Math.max(0, newest_ms - at_ms);
    const unsaid = this.#unsaid(state, document, first, ageOf);
    if (!unsaid.every((event) => this.#again(at, document, event, ageOf))) return this.#doubt(at);
    if (!this.#tellBirth(at, state, document, first, ageOf)) return this.#doubt(at);
    if (!is_said) state.said = { epoch, version };
    if (first) state.term = number;
    if (unsaid.length > 0) this.#confirm(before);
  }

  /** Takes note that a room has no document: nothing of it is unpublished. */
  readNothing(at: RoomAddress): void {
    const { isOwner, term } = this.#options;
    const state = this.#of(at);
    if (isOwner(at)) state.term = term().number;
    state.said = { epoch: "", version: 0 };
    state.birth_unsaid = false;
  }

  /** Takes a document that this Brain has written, and publishes its new events. */
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
    state.said ??= { epoch, version: version - fresh.length };
    const before = { at, term: state.term, said: state.said };
    if (born) this.#tellOwnBirth(at, state, document);
    for (const { event, trace_id } of fresh) {
      if (!announcer.event(at, event, mark, trace_id)) return this.#doubt(at);
    }
    state.said = { epoch, version };
    const last = fresh.at(-1);
    if (last === undefined) return;
    tails.said(at, last.event, mark);
    this.#confirm(before);
  }

  /** Takes a document with which this Brain has made a room, in which nothing has happened yet. */
  born(at: RoomAddress, document: RoomDocument): void {
    const { isOwner, term } = this.#options;
    const state = this.#of(at);
    const { epoch, version } = document;
    state.said = { epoch, version };
    if (isOwner(at)) state.term = term().number;
    this.#tellOwnBirth(at, state, document);
  }

  /** Takes note of a write of which nobody knows whether it has taken place, or will. */
  unknown(at: RoomAddress): void {
    this.#options.doubts.watch(at);
  }

  /** What is known of a room, to be read and changed; made when there is nothing. */
  #of(at: RoomAddress): PublishedState {
    const id = `${at.tenant_id}.${at.room_id}`;
    const state = this.#published.get(id) ??
      { term: undefined, said: undefined, birth_unsaid: false };
    this.#published.renew(id, state);
    return state;
  }

  #unsaid(
    { said }: PublishedState,
    document: RoomDocument,
    first: boolean,
    ageOf: AgeOf,
  ): readonly RoomEvent[] {
    const { epoch, events } = document;
    const known = said === undefined ? Infinity : said.epoch === epoch ? said.version : 0;
    // What came before this Brain knew the room is the owner's to say, and may be unsaid if that ended.
    const isLate = ({ at_ms }: RoomEvent) => first && this.#isEarlierOwners(ageOf(at_ms));
    const unsaid = events.filter((event) => event.version > known || isLate(event));
    return unsaid.length === 0 && first && said === undefined ? events.slice(-1) : unsaid;
  }

  /** Whether an owner that has ended lately may have done what is so old, and may have told nobody. */
  #isEarlierOwners(age_ms: number): boolean {
    const { monotonic, term } = this.#options;
    const term_ms = monotonic() - term().started_ms;
    return age_ms < REPUBLISH_MS && age_ms >= term_ms - TERM_SLACK_MS;
  }

  #again(at: RoomAddress, { epoch, start }: RoomDocument, event: RoomEvent, ageOf: AgeOf): boolean {
    const { announcer, tails } = this.#options;
    const again_ms = ageOf(event.at_ms);
    const mark = { epoch, fence: 0, start };
    const told = announcer.event(at, event, mark, "", again_ms);
    if (told) tails.said(at, event, mark, again_ms);
    return told;
  }

  #tellOwnBirth(at: RoomAddress, state: PublishedState, document: RoomDocument): void {
    state.birth_unsaid = !this.#options.announcer.created(at, document);
    if (state.birth_unsaid) this.#doubt(at);
  }

  /** Publishes a birth that somebody may have left unpublished; false when that failed again. */
  #tellBirth(
    at: RoomAddress,
    state: PublishedState,
    document: RoomDocument,
    first: boolean,
    ageOf: AgeOf,
  ): boolean {
    const late = first && this.#isEarlierOwners(ageOf(document.created_ms));
    if (!late && !state.birth_unsaid) return true;
    state.birth_unsaid = !this.#options.announcer.created(at, document);
    return !state.birth_unsaid;
  }

  #doubt(at: RoomAddress): void {
    this.#options.doubts.add(at);
  }

  /** Confirms with one flush all that was published in this turn. */
  #confirm(unconfirmed: Unconfirmed): void {
    if (this.#unconfirmed.push(unconfirmed) > 1) return;
    queueMicrotask(() => {
      const said = this.#unconfirmed;
      this.#unconfirmed = [];
      this.#options.spine.flush().catch(() => this.#withdraw(said));
    });
  }

  /** The Spine may not have carried it: it counts as not published. */
  #withdraw(unconfirmed: readonly Unconfirmed[]): void {
    // The last of a room first, so that it is where it stood before all of them.
    for (const { at, term, said } of unconfirmed.toReversed()) {
      Object.assign(this.#of(at), { term, said });
      this.#doubt(at);
    }
  }
}

/** What the parts need of the Brain. */
interface SayingStart
  extends Omit<ChangePublisherOptions, "doubts" | "tails">, Omit<DoubtsOptions, "rooms_max"> {
  readonly spine: Spine;
}

/** The parts that publish changes, at work until `stop`. */
interface SayingParts {
  readonly saying: ChangePublisher;
  readonly doubts: Doubts;
  /** Resolves when nothing is under way; rooms in doubt are left to their next owner. */
  stop(): Promise<void>;
}

/** Rooms whose last change is remembered, at least; each takes about 1 KiB. */
const TAILS_MIN = 8_192;

/**
 * Starts the parts; one set per Brain. Throws `spine-unavailable` while the Spine is not connected.
 */
export function startPublisher(options: SayingStart): SayingParts {
  const { spine, rooms_in_memory, announcer, monotonic } = options;
  const doubts = new Doubts({ ...options, rooms_max: rooms_in_memory });
  const tails = new Tails({
    announcer,
    monotonic,
    // The embedded engine loses nothing but what it tells.
    rooms_max: spine.status.engine === "nats" ? Math.max(TAILS_MIN, rooms_in_memory) : 0,
    isConnected: () => spine.status.state === "connected",
  });
  const saying = new ChangePublisher({ ...options, doubts, tails });
  // A Shield says hello when its connection to NATS is back, as a Brain does.
  const hellos = spine.subscribe(HELLO, () => tails.ask(), { reads_only: true });
  const stop = async () => {
    hellos.unsubscribe();
    tails.stop();
    await doubts.stop();
  };
  return { saying, doubts, stop };
}
