/**
 * Detects Brains with other `[[rooms]]` in their configuration: rooms would behave differently depending on their
 * owner. Beats contain a hash of them. Logs each difference once.
 */
import type { RoomClassEntry } from "../../shared/config/schema_durable.ts";
import { BRAINS_MAX } from "../../shared/cluster/cluster.ts";
import type { Env } from "../../shared/env.ts";
import { scrapedGauge } from "../../shared/metrics/metrics.ts";
import type { Beat, ClusterMessage } from "../../shared/presence/messages.ts";
import { classesHash } from "../../shared/config/classes_hash.ts";

interface ClassesCheckOptions extends Pick<Env, "registry" | "log"> {
  readonly brain_id: string;
  /** The classes in force: the same list object until they change. */
  readonly rooms: () => readonly RoomClassEntry[];
  readonly brains: () => readonly string[];
}

/** Compares the hashes in beats. */
export class ClassesCheck {
  readonly #options: ClassesCheckOptions;
  readonly #others = new Map<string, number>();
  #rooms: readonly RoomClassEntry[] | undefined;
  #hash = 0;

  constructor(options: ClassesCheckOptions) {
    this.#options = options;
    scrapedGauge(
      options.registry,
      "brain_room_classes_differ",
      "Brains that serve and whose configuration has other [[rooms]] than this one's.",
      () => options.brains().filter((brain_id) => this.#differs(brain_id)).length,
    );
  }

  /** The outgoing message: a beat gets the hash of this Brain's classes. */
  withHash(message: ClusterMessage): ClusterMessage {
    return message.kind === "beat" ? { ...message, classes_hash: this.#own() } : message;
  }

  receive({ brain_id, classes_hash }: Beat): void {
    const { log, brains } = this.#options;
    if (brain_id === this.#options.brain_id || classes_hash === undefined) return;
    const before = this.#others.get(brain_id);
    if (before === undefined && this.#others.size >= BRAINS_MAX) this.#others.clear();
    this.#others.set(brain_id, classes_hash);
    if (before === classes_hash || !this.#differs(brain_id)) return;
    log.warn("another Brain's configuration has other [[rooms]]: give all of them the same", {
      brain: brain_id,
      brains: brains().length,
    });
  }

  #differs(brain_id: string): boolean {
    const hash = this.#others.get(brain_id);
    return hash !== undefined && hash !== this.#own();
  }

  #own(): number {
    const rooms = this.#options.rooms();
    if (rooms !== this.#rooms) {
      this.#rooms = rooms;
      this.#hash = classesHash(rooms);
    }
    return this.#hash;
  }
}
