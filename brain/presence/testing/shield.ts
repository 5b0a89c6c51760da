/**
 * A Shield as Brains see it: the real presence set of a writer, announced and answered for in a few lines without a
 * Shield's batching. Tests only; `shield/presence` has the real one.
 */
import type { Config } from "../../../shared/config/schema.ts";
import type { ClusterMessage, PresencePort } from "../../../shared/presence/messages.ts";
import { deltaPages } from "../../../shared/presence/pages.ts";
import {
  clockOf,
  createState,
  deltaSince,
  entriesOf,
  heartbeatDelta,
  join,
  leave,
  takeDelta,
  update,
} from "../../../shared/presence/state.ts";
import type { PresenceState } from "../../../shared/presence/state.ts";
import type { Entry, MemberInput, Writer, WriterStatus } from "../../../shared/presence/types.ts";
import { memberOf } from "../../../shared/presence/testing/members.ts";
import { HELLO, processSubject, type Subject } from "../../../shared/subjects/subject.ts";

const BEATS = "sys.cluster.beat.";

/** The network of a test Shield. */
export interface ShieldNetwork {
  readonly config: Config["presence"];
  port(id: string): PresencePort;
}

/** A member of the test tenant. */
export function member(connection_id: string, room_id = "lobby", meta = ""): MemberInput {
  return memberOf(connection_id, { room_id, user_id: `user-of-${connection_id}`, meta });
}

/** One writer. */
export class TestShield {
  readonly id: string;
  writer: Writer;
  readonly port: PresencePort;
  /** False: it answers no pull. */
  answers = true;
  /** Pages of its answers to pulls. */
  page_bytes = 262_144;
  #leaving = false;
  readonly #direct: Subject;
  readonly #announce: Subject;
  readonly #heartbeat_ms: number;
  #state: PresenceState;

  constructor(network: ShieldNetwork, writer: Writer) {
    this.id = writer.node_id;
    this.writer = writer;
    this.port = network.port(writer.node_id);
    this.#direct = processSubject("direct", writer.node_id);
    this.#announce = processSubject("announce", writer.node_id);
    this.#heartbeat_ms = network.config.heartbeat_ms;
    this.#state = createState(writer);
    this.#beat();
  }

  /** Its own entries, in the order of their birth. */
  get entries(): Entry[] {
    return [...entriesOf(this.#state, this.writer)];
  }

  get clock(): number {
    return clockOf(this.#state, this.writer) ?? 0;
  }

  /** Joins, or changes metadata; announced with the next `announce`. */
  join(...members: MemberInput[]): this {
    for (const input of members) {
      const { tenant_id, room_id, connection_id, meta } = input;
      const now_ms = this.port.now();
      if (update(this.#state, tenant_id, room_id, connection_id, meta, now_ms) === undefined) {
        join(this.#state, input, now_ms);
      }
    }
    return this;
  }

  leave(...connection_ids: string[]): this {
    for (const { tenant_id, room_id, connection_id } of this.entries) {
      if (!connection_ids.includes(connection_id)) continue;
      leave(this.#state, tenant_id, room_id, connection_id);
    }
    return this;
  }

  /** Announces changes, or that it is alive; after its announced stop, that again. */
  announce(leaving = false): void {
    this.#leaving ||= leaving;
    const delta = takeDelta(this.#state) ?? heartbeatDelta(this.#state);
    this.port.send(this.#announce, { kind: "announcement", delta, leaving: this.#leaving });
  }

  subscribes(subject: string): boolean {
    return subject === this.#direct || subject === HELLO || subject.startsWith(BEATS);
  }

  receive(_subject: string, message: ClusterMessage): void {
    if (message.kind === "hello") this.announce();
    if (message.kind === "beat") this.#onStatuses(message.writers);
    if (message.kind !== "pull" || !this.answers) return;
    const { from, request, writer, clock } = message;
    const found = deltaSince(this.#state, writer, clock);
    const full = found?.full ?? false;
    const parts = found === undefined ? [undefined] : deltaPages(found.delta, this.page_bytes);
    const to = processSubject("direct", from);
    for (const [page, delta] of parts.entries()) {
      this.port.send(to, { kind: "pulled", request, page, pages: parts.length, full, delta });
    }
  }

  /** The cluster gave it up: it begins a new incarnation with the same members. */
  #onStatuses(writers: readonly WriterStatus[]): void {
    const { node_id, incarnation } = this.writer;
    const given_up = writers.some(({ writer, state }) =>
      writer.node_id === node_id && writer.incarnation === incarnation && state === "forgotten"
    );
    if (!given_up || this.#leaving) return;
    const members = this.entries;
    this.writer = { node_id, incarnation: Math.max(incarnation + 1, this.port.now()) };
    this.#state = createState(this.writer);
    this.join(...members);
    this.announce();
  }

  #beat(): void {
    this.port.after(this.#heartbeat_ms, () => {
      this.announce();
      this.#beat();
    });
  }
}
