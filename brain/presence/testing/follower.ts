/**
 * One room's members as known to a follower that only receives the messages of the room's owner: updates in sequence, a
 * snapshot where one is missing, a check every heartbeat. It works like a Shield's table, without clients. Tests only.
 */
import { BrainTable } from "../../../shared/cluster/cluster.ts";
import type { Config } from "../../../shared/config/schema.ts";
import type {
  ClusterMessage,
  Emitter,
  PresencePort,
  RoomSnapshot,
  RoomUpdate,
} from "../../../shared/presence/messages.ts";
import { writerKey } from "../../../shared/presence/types.ts";
import type { Entry, Tag, WrittenEntry } from "../../../shared/presence/types.ts";
import { presenceSubject, processSubject } from "../../../shared/subjects/subject.ts";
import type { ShieldNetwork } from "./shield.ts";

const TENANT = "acme";

function tagOf({ writer, counter }: Tag): string {
  return `${writerKey(writer)}/${counter}`;
}

function markOf({ writer, entry }: WrittenEntry): string {
  return tagOf({ writer, counter: entry.counter });
}

/** A follower of one room. */
export class TestFollower {
  readonly id: string;
  readonly room_id: string;
  /** By birth mark. */
  readonly members = new Map<string, Entry>();
  /** Updates that could not be applied. */
  gaps = 0;
  /** Leaves of absent members, or joins of present ones. */
  readonly mistakes: string[] = [];
  emitter: Emitter | undefined;
  sequence = 0;
  readonly #subject: string;
  readonly #direct: string;
  readonly #port: PresencePort;
  readonly #table: BrainTable;
  readonly #config: Config["presence"];
  #request = 0;
  #pages: RoomSnapshot[] = [];

  constructor(network: ShieldNetwork, id: string, room_id = "lobby") {
    this.id = id;
    this.room_id = room_id;
    this.#port = network.port(id);
    this.#config = network.config;
    this.#subject = presenceSubject(TENANT, room_id);
    this.#direct = processSubject("direct", id);
    this.#table = new BrainTable(network.config);
    this.#tick();
  }

  /** Connection ids, in order. */
  get list(): string[] {
    return [...this.members.values()].map(({ connection_id }) => connection_id).sort();
  }

  subscribes(subject: string): boolean {
    return subject === this.#subject || subject === this.#direct ||
      subject.startsWith("sys.cluster.beat.");
  }

  receive(_subject: string, message: ClusterMessage): void {
    if (message.kind === "beat") {
      if (this.#table.onBeat(message, this.#port.now())) this.#check();
    } else if (message.kind === "room_update") {
      this.#update(message);
    } else if (message.kind === "room_snapshot" && message.request === this.#request) {
      this.#pages.push(message);
      if (this.#pages.length === message.pages) this.#replace();
    } else if (message.kind === "room_differs" && message.rooms.length > 0) {
      this.pull();
    }
  }

  pull(): void {
    this.#pages = [];
    this.#ask({ kind: "room_pull", from: this.id, request: ++this.#request, ...this.#room() });
  }

  #room() {
    return { tenant_id: TENANT, room_id: this.room_id };
  }

  #ask(message: ClusterMessage): void {
    const owner = this.#table.ownerOf(TENANT, this.room_id);
    if (owner !== undefined) this.#port.send(processSubject("direct", owner), message);
  }

  #tick(): void {
    this.#port.after(this.#config.heartbeat_ms, () => {
      this.#table.sweep(this.#port.now());
      this.#check();
      this.#tick();
    });
  }

  #check(): void {
    const { emitter, sequence } = this;
    const rooms = [{ ...this.#room(), emitter, sequence }];
    this.#ask({ kind: "room_check", from: this.id, request: 0, rooms });
  }

  #isEmitter({ brain_id, boot, term }: Emitter): boolean {
    const { emitter } = this;
    return emitter?.brain_id === brain_id && emitter.boot === boot && emitter.term === term;
  }

  #update({ emitter, sequence, leaves, joins }: RoomUpdate): void {
    const ours = this.#isEmitter(emitter);
    if (ours && sequence <= this.sequence) return;
    if (!ours || sequence !== this.sequence + 1) {
      this.gaps += 1;
      this.pull();
      return;
    }
    this.sequence = sequence;
    for (const tag of leaves) {
      if (!this.members.delete(tagOf(tag))) this.mistakes.push(`leave of ${tagOf(tag)}`);
    }
    for (const join of joins) {
      if (this.members.has(markOf(join))) this.mistakes.push(`join of ${markOf(join)}`);
      this.members.set(markOf(join), join.entry);
    }
  }

  #replace(): void {
    const [{ emitter, sequence }] = this.#pages as [RoomSnapshot];
    if (this.#isEmitter(emitter) && sequence < this.sequence) return;
    this.emitter = emitter;
    this.sequence = sequence;
    this.members.clear();
    for (const { entries } of this.#pages) {
      for (const written of entries) this.members.set(markOf(written), written.entry);
    }
  }
}
