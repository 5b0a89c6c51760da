/**
 * Asks owners for the members of rooms: so many rooms at a time, again when no answer comes, and each
 * room only so often. An answer comes in pages of one moment, and counts only when it is complete. What
 * a snapshot does to a table is `position.ts`.
 */
import type { BrainTable } from "../../shared/cluster/cluster.ts";
import type { PresencePort, RoomSnapshot } from "../../shared/presence/messages.ts";
import { processSubject } from "../../shared/subjects/subject.ts";
import { bump } from "../stats/stats.ts";
import type { Snapshot, SnapshotOutcome } from "./position.ts";
import { refuse } from "./stats.ts";
import type { PresenceStats, PullOutcome } from "./stats.ts";
import type { WatchedRoom } from "./watched_room.ts";

/** The most questions under way. */
const PULLS_MAX = 256;
/**
 * How long a question waits for its next page, in ms; twice as long after each failure, up to the
 * limit.
 */
const ANSWER_MS = 500;
const ANSWER_MAX_MS = 4_000;
/** After this many failures in a row the owner is reported as silent. */
const SUSPECT_AFTER = 2;
/** The shortest time between two questions for one room when the first was answered, in ms. */
const AGAIN_MS = 250;
const PAGES_MAX = 8_192;

/** What asking needs. */
export interface PullsOptions {
  readonly node_id: string;
  readonly port: PresencePort;
  readonly stats: PresenceStats;
  readonly brains: Pick<BrainTable, "ownerOf">;
  /** Called with the id of a Brain that does not answer. */
  readonly onSilent: (brain_id: string) => void;
  /** The most members of a snapshot; a larger one is refused. */
  readonly members_max: number;
  /** Called with a complete answer for a room that is still watched. */
  readonly onSnapshot: (room: WatchedRoom, snapshot: Snapshot) => SnapshotOutcome;
}

interface Question {
  readonly room: WatchedRoom;
  readonly request: number;
  readonly owner: string;
  /** The pages that have come, by number. */
  readonly pages: Map<number, RoomSnapshot>;
  members: number;
  cancel: () => void;
}

interface Delayed {
  readonly room: WatchedRoom;
  readonly due_ms: number;
}

/** All questions of one Shield. */
export class Pulls {
  readonly #options: PullsOptions;
  #requests = 0;
  readonly #queue = new Set<WatchedRoom>();
  readonly #questions = new Map<number, Question>();
  /** Rooms that wait because no Brain is alive to be asked. */
  readonly #parked = new Set<WatchedRoom>();
  /** Questions that wait for their time, in the order of these times. */
  #delayed: Delayed[] = [];
  #cancelDelay: (() => void) | undefined;

  constructor(options: PullsOptions) {
    this.#options = options;
  }

  /** Asks about the room, unless a question is under way already. */
  want(room: WatchedRoom): void {
    if (room.pull.is_wanted || room.closed) return;
    room.pull.is_wanted = true;
    const now_ms = this.#options.port.now();
    if (now_ms - room.pull.ended_ms < AGAIN_MS) return this.#delay(room, now_ms + AGAIN_MS);
    this.#queue.add(room);
    this.#ask();
  }

  /** Gives up the questions about a room that nobody watches any longer. */
  drop(room: WatchedRoom): void {
    this.#queue.delete(room);
    this.#parked.delete(room);
  }

  /** Asks again after the set of live Brains has changed. */
  onOwners(): void {
    for (const room of this.#parked) this.#queue.add(room);
    this.#parked.clear();
    this.#ask();
  }

  /** Takes one page of an answer. */
  onPage(page: RoomSnapshot): void {
    const { stats, members_max } = this.#options;
    const question = this.#questions.get(page.request);
    if (question === undefined || !isOf(question.room, page)) {
      return refuse(stats, "not-asked-for");
    }
    const [first] = question.pages.values();
    if (first !== undefined && !isOneMoment(first, page)) return refuse(stats, "mixed-pages");
    if (page.page >= page.pages || question.pages.has(page.page)) return;
    question.members += page.entries.length;
    if (question.members > members_max || page.pages > PAGES_MAX) {
      return refuse(stats, "snapshot-too-large");
    }
    if (!page.entries.every(({ entry }) => isOf(question.room, entry))) {
      return refuse(stats, "entry-of-another-room");
    }
    question.pages.set(page.page, page);
    question.cancel();
    if (question.pages.size < page.pages) this.#setTimeout(question);
    else this.#complete(question);
  }

  /** Stops asking. */
  close(): void {
    this.#cancelDelay?.();
    for (const { cancel } of this.#questions.values()) cancel();
    this.#questions.clear();
    this.#queue.clear();
    this.#parked.clear();
    this.#delayed = [];
  }

  #delay(room: WatchedRoom, due_ms: number): void {
    this.#delayed.push({ room, due_ms });
    if (this.#delayed.length === 1) this.#setDelay();
  }

  #setDelay(): void {
    const [first] = this.#delayed;
    if (first === undefined) return;
    const { port } = this.#options;
    this.#cancelDelay = port.after(Math.max(0, first.due_ms - port.now()), () => {
      const now_ms = port.now();
      const later = this.#delayed.findIndex(({ due_ms }) => due_ms > now_ms);
      const due = this.#delayed.splice(0, later < 0 ? this.#delayed.length : later);
      for (const { room } of due) this.#queue.add(room);
      this.#setDelay();
      this.#ask();
    });
  }

  #ask(): void {
    const { brains } = this.#options;
    for (const room of this.#queue) {
      if (this.#questions.size >= PULLS_MAX) return;
      this.#queue.delete(room);
      if (room.closed) continue;
      const owner = brains.ownerOf(room.tenant_id, room.room_id);
      if (owner === undefined) this.#parked.add(room);
      else this.#send(room, owner);
    }
  }

  #send(room: WatchedRoom, owner: string): void {
    const { node_id, port } = this.#options;
    const request = ++this.#requests;
    const cancel = () => {};
    const question: Question = { room, request, owner, pages: new Map(), members: 0, cancel };
    this.#questions.set(request, question);
    this.#setTimeout(question);
    const { tenant_id, room_id } = room;
    const pull = { kind: "room_pull", from: node_id, request, tenant_id, room_id } as const;
    port.send(processSubject("direct", owner), pull);
  }

  #setTimeout(question: Question): void {
    const wait_ms = Math.min(ANSWER_MAX_MS, ANSWER_MS * 2 ** question.room.pull.failures);
    question.cancel = this.#options.port.after(wait_ms, () => this.#giveUp(question));
  }

  #giveUp({ room, request, owner, pages }: Question): void {
    this.#questions.delete(request);
    if (room.closed) return this.#ended("unwanted");
    this.#ended(pages.size === 0 ? "unanswered" : "cut");
    room.pull.failures++;
    this.#queue.add(room);
    const is_silent = room.pull.failures >= SUSPECT_AFTER && pages.size === 0;
    if (is_silent) this.#options.onSilent(owner);
    this.#ask();
  }

  #complete({ room, request, pages }: Question): void {
    this.#questions.delete(request);
    if (room.closed) {
      this.#ended("unwanted");
    } else {
      room.pull.is_wanted = false;
      room.pull.failures = 0;
      room.pull.ended_ms = this.#options.port.now();
      const outcome = this.#options.onSnapshot(room, joined(pages));
      this.#ended(outcome);
      const missing = outcome === "gap" || outcome === "behind" || !room.synced;
      if (missing || room.position.ahead.length > 0) this.want(room);
    }
    this.#ask();
  }

  #ended(outcome: PullOutcome): void {
    bump(this.#options.stats.pulls, outcome);
  }
}

function isOf(
  room: { readonly tenant_id: string; readonly room_id: string },
  thing: { readonly tenant_id: string; readonly room_id: string },
): boolean {
  return room.tenant_id === thing.tenant_id && room.room_id === thing.room_id;
}

function isOneMoment(one: RoomSnapshot, other: RoomSnapshot): boolean {
  return one.pages === other.pages && one.sequence === other.sequence &&
    one.emitter.brain_id === other.emitter.brain_id && one.emitter.boot === other.emitter.boot &&
    one.emitter.term === other.emitter.term;
}

function joined(pages: ReadonlyMap<number, RoomSnapshot>): Snapshot {
  const all = [...pages.values()].sort((a, b) => a.page - b.page);
  const [{ emitter, sequence }] = all as [RoomSnapshot, ...RoomSnapshot[]];
  return {
    emitter,
    sequence,
    entries: all.flatMap((page) => page.entries),
    clocks: all.flatMap((page) => page.clocks),
  };
}
