/**
 * A Shield's presence machine on a test's port, while the test plays the Brains: what owners send, lose or get wrong.
 * Tests only; `brain/` has the Brains.
 */
import type { ArqonError } from "@arqon/proto";
import type {
  Beat,
  Emitter,
  RoomPosition,
  RoomSnapshot,
} from "../../../shared/presence/messages.ts";
import type { MemberInput, WriterStatus, WrittenEntry } from "../../../shared/presence/types.ts";
import { memberOf } from "../../../shared/presence/testing/members.ts";
import { presenceSubject, processSubject } from "../../../shared/subjects/subject.ts";
import { ShieldPresence } from "../presence.ts";
import type { PresenceWatch, RoomChanges, ShieldPresenceOptions } from "../presence.ts";
import { createPresenceStats } from "../stats.ts";
import { presenceConfig, presenceLog, START_MS, TestPort, writerOf } from "./port.ts";

/** The id of the tests' own Shield. */
export const NODE = "own";

/** An owner's message about a room, besides its entries. */
export interface Saying {
  readonly emitter?: Emitter;
  readonly sequence?: number;
  readonly room_id?: string;
  /** The clock of writer `w`, the only one that is not this Shield. */
  readonly clock?: number;
}

/** A member that a test adds. */
export function member(connection_id: string, change: Partial<MemberInput> = {}): MemberInput {
  return memberOf(connection_id, { user_id: `user-${connection_id}`, ...change });
}

/** An emitter of one incarnation of a Brain. */
export function emitterOf(brain_id: string, term = 1): Emitter {
  return { brain_id, boot: START_MS, term };
}

/** A batch as a short text: `+` for a new or changed member, `-` for one that left. */
export function words({ updates, leaves }: RoomChanges): string {
  const came = updates.map(({ connection_id }) => `+${connection_id}`);
  return [...came, ...leaves.map(({ connection_id }) => `-${connection_id}`)].join(" ");
}

/** A machine with controls for tests. Its functions may be destructured. */
class TestMachine {
  readonly port = new TestPort();
  readonly stats = createPresenceStats();
  readonly direct = processSubject("direct", NODE);
  readonly presence: ShieldPresence;
  readonly lines: readonly string[];

  constructor(
    values: Record<string, unknown>,
    membersMax: ShieldPresenceOptions["membersMax"] = () => undefined,
  ) {
    const { log, lines } = presenceLog();
    this.lines = lines;
    this.presence = new ShieldPresence({
      node_id: NODE,
      started_ms: START_MS,
      port: this.port,
      metrics: this.stats,
      log,
      config: presenceConfig(values),
      membersMax,
    });
  }

  /** Has a Brain announce that it serves, unless `change` overrides that. */
  beat = (
    brain_id: string,
    writers: readonly WriterStatus[] = [],
    change: Partial<Beat> = {},
  ): void => {
    const state = { boot: START_MS, state: "serving", writers } as const;
    const message: Beat = { kind: "beat", brain_id, ...state, ...change };
    this.presence.receive(processSubject("beat", brain_id), message);
  };

  /** Has the owner send changes; `leaves` are counters of writer `w`. */
  update = (
    sequence: number,
    joins: readonly WrittenEntry[],
    leaves: readonly number[] = [],
    saying: Saying = {},
  ): void => {
    const { emitter = emitterOf("b1"), room_id = "lobby", clock = sequence } = saying;
    this.presence.receive(presenceSubject("acme", room_id), {
      kind: "room_update",
      emitter,
      sequence,
      tenant_id: "acme",
      room_id,
      joins,
      leaves: leaves.map((counter) => ({ writer: writerOf("w"), counter })),
      clocks: [{ writer: writerOf("w"), clock }],
    });
  };

  /** Sends one page of an answer; the only page unless `change` overrides that. */
  page = (
    request: number,
    entries: readonly WrittenEntry[],
    saying: Saying = {},
    change: Partial<RoomSnapshot> = {},
  ): void => {
    const { emitter = emitterOf("b1"), sequence = 0, room_id = "lobby", clock = 0 } = saying;
    this.presence.receive(this.direct, {
      kind: "room_snapshot",
      request,
      page: 0,
      pages: 1,
      emitter,
      sequence,
      tenant_id: "acme",
      room_id,
      entries,
      clocks: [{ writer: writerOf("w"), clock }],
      ...change,
    });
  };

  /** Answers the one request since the last call; returns the id of the Brain that it went to. */
  answer = (entries: readonly WrittenEntry[], saying: Saying = {}): string => {
    const pulls = this.port.sent.splice(0).filter(({ message }) => message.kind === "room_pull");
    const [{ subject, message } = { subject: "", message: undefined }] = pulls;
    if (pulls.length !== 1 || message?.kind !== "room_pull") {
      throw new Error(`${pulls.length} questions`);
    }
    this.page(message.request, entries, saying);
    return subject.slice(subject.lastIndexOf(".") + 1);
  };

  /** Has the owner send its positions in checked rooms. */
  differs = (rooms: readonly RoomPosition[]): void => {
    this.presence.receive(this.direct, { kind: "room_differs", request: 1, rooms });
  };

  /** Watches a room; records the watcher's notifications. */
  watch = (room_id = "lobby") => {
    const reported: RoomChanges[] = [];
    const results: (ArqonError | undefined)[] = [];
    const watch: PresenceWatch = this.presence.watch("acme", room_id, {
      onChanges: (changes) => void reported.push(changes),
    });
    watch.ready((error) => void results.push(error));
    return { watch, reported, results };
  };

  /** The members of a watched room, in alphabetical order. */
  shown = (room_id = "lobby"): string => {
    const members = this.presence.view("acme", room_id)?.members ?? [];
    return members.map(({ connection_id }) => connection_id).sort().join(" ");
  };
}

/** Starts a machine. `values` are of `[presence]`; rooms have no limits of their own unless given. */
export function machine(
  values: Record<string, unknown> = {},
  membersMax?: ShieldPresenceOptions["membersMax"],
): TestMachine {
  return new TestMachine(values, membersMax);
}
