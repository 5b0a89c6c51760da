/**
 * Judges a recorded run of durable rooms: acknowledged means delivered to everybody who stays or comes
 * back, once, in offset order, the same to all; not acknowledged means at most once. Pure. What a
 * subscriber was told that it lost is no finding but a figure, so that a run can bound it. Nor is it
 * one that a log begins another life: what was in it before has to be in that, too.
 */
import type { Finding, FindingKind } from "./finding.ts";
import { Lineage } from "./lineage.ts";
import type { Delivered, Publish, Recording, RoomRecording } from "./recording.ts";
import { walkSubscriber } from "./walk.ts";
import type { Walk } from "./walk.ts";

/** How much there was. */
export interface Figures {
  readonly publishes: number;
  readonly acknowledged: number;
  /** Never acknowledged; some of these may be stored. */
  readonly unacknowledged: number;
  readonly deliveries: number;
  readonly recoveries: number;
  /** GAPs and `recovered: false`, by reason. */
  readonly gaps: ReadonlyMap<string, number>;
  /** Of those, the ones that no new life explains: where everything is kept there may be none. */
  readonly losses: ReadonlyMap<string, number>;
  /** How often the log of a room began another life, at most. */
  readonly new_lives: number;
}

/** The checker's judgement. */
export interface Verdict {
  /** Empty: all is well. */
  readonly findings: readonly Finding[];
  readonly figures: Figures;
}

/** What `check` needs to know of the bus. */
export interface CheckOptions {
  /** Repeats of one message id this long after its first attempt are stored once. */
  readonly deduplication_ms: number;
}

interface Placed {
  readonly message_id: string;
  readonly by: string;
}

const acknowledgedOffsets = ({ attempts }: Publish): Set<number> =>
  new Set(
    attempts.flatMap(({ outcome }) => outcome.kind === "acknowledged" ? [outcome.offset] : []),
  );

/** One room while it is judged. */
class RoomCheck {
  readonly #room: RoomRecording;
  readonly #options: CheckOptions;
  readonly #findings: Finding[];
  readonly #publishes = new Map<string, Publish>();
  readonly #acknowledged = new Map<string, Set<number>>();
  /** By log and offset: what is known to be there. */
  readonly #log = new Map<string, Map<number, Placed>>();
  /** By message id: where it was first seen. */
  readonly #places = new Map<string, { readonly log: string; readonly offset: number }>();
  #lineage = new Lineage({ deliveries: [], changes: [] });

  constructor(room: RoomRecording, options: CheckOptions, findings: Finding[]) {
    [this.#room, this.#options, this.#findings] = [room, options, findings];
  }

  run(): readonly Walk[] {
    this.#checkPublishes();
    const report = (kind: FindingKind, text: string) => this.#add(kind, text);
    const walks = this.#room.subscribers.map((subscriber) => walkSubscriber(subscriber, report));
    this.#lineage = new Lineage({
      deliveries: walks.flatMap(({ deliveries }) => deliveries),
      changes: walks.flatMap(({ changes }) => changes),
    });
    this.#placeAcknowledged();
    for (const { name, deliveries } of walks) {
      for (const delivery of deliveries) this.#checkDelivery(name, delivery);
    }
    for (const walk of walks) this.#checkCoverage(walk);
    this.#checkPositions(walks);
    const circle = this.#lineage.circle();
    if (circle.length > 0) this.#add("epoch-swapped", `epochs went ${circle.join(", ")}`);
    return walks;
  }

  /** Every epoch that anybody was in. */
  get epochs(): ReadonlySet<string> {
    const sights = this.#room.subscribers.flatMap((subscriber) => subscriber.sights);
    const epochs = sights.flatMap((sight) => "epoch" in sight ? [sight.epoch] : []);
    return new Set(epochs.filter((epoch) => epoch !== ""));
  }

  #add(kind: FindingKind, text: string): void {
    this.#findings.push({ kind, room_id: this.#room.room_id, text });
  }

  #checkPublishes(): void {
    for (const publish of this.#room.publishes) {
      const { message_id } = publish;
      this.#publishes.set(message_id, publish);
      const offsets = acknowledgedOffsets(publish);
      this.#acknowledged.set(message_id, offsets);
      if (offsets.size > 1 && this.#isDeduplicated(publish)) {
        const places = [...offsets].join(" and at ");
        this.#add("two-offsets", `${message_id} was acknowledged at ${places}`);
      }
    }
  }

  #isDeduplicated({ attempts }: Publish): boolean {
    const times_ms = attempts.map(({ at_ms }) => at_ms);
    return Math.max(...times_ms) - Math.min(...times_ms) <= this.#options.deduplication_ms;
  }

  #checkDelivery(name: string, { epoch, offset, message_id, hash }: Delivered): void {
    const what = `${name} saw ${message_id} at ${offset}`;
    const publish = this.#publishes.get(message_id);
    if (publish === undefined) return this.#add("foreign", `${what}, which nobody published`);
    if (publish.hash !== hash) this.#add("altered", `${what} with other bytes than published`);
    const offsets = this.#acknowledged.get(message_id);
    if (offsets !== undefined && offsets.size > 0 && !offsets.has(offset)) {
      this.#add("wrong-offset", `${what}; acknowledged at ${[...offsets].join()}`);
    }
    const log = this.#lineage.logOf(epoch);
    const place = this.#places.get(message_id);
    if (place === undefined) this.#places.set(message_id, { log, offset });
    else if ((place.offset !== offset || place.log !== log) && this.#isDeduplicated(publish)) {
      this.#add("stored-twice", `${what} of ${log}; it is also at ${place.offset} of ${place.log}`);
    }
    this.#place(log, offset, message_id, name);
  }

  /** Two messages cannot be at one place, whoever says so. */
  #place(log: string, offset: number, message_id: string, by: string): void {
    const offsets = this.#log.get(log) ?? new Map<number, Placed>();
    this.#log.set(log, offsets);
    const other = offsets.get(offset);
    if (other === undefined) offsets.set(offset, { message_id, by });
    else if (other.message_id !== message_id) {
      const what = `${message_id} at ${offset} by ${by}`;
      this.#add("conflict", `${what}, but ${other.message_id} by ${other.by}`);
    }
  }

  /**
   * An ACK names no epoch: with several logs, what nobody saw could be in any of them. Of a log that no
   * subscriber was in nothing is known.
   */
  #placeAcknowledged(): void {
    const logs = new Set([...this.epochs].map((epoch) => this.#lineage.logOf(epoch)));
    const [log] = logs;
    if (log === undefined || logs.size > 1) return;
    for (const [message_id, offsets] of this.#acknowledged) {
      for (const offset of offsets) this.#place(log, offset, message_id, "its acknowledgement");
    }
  }

  #checkCoverage({ name, deliveries, coverage }: Walk): void {
    const placeOf = (epoch: string, offset: number) => `${this.#lineage.logOf(epoch)} ${offset}`;
    const seen = new Set(deliveries.map(({ epoch, offset }) => placeOf(epoch, offset)));
    for (const { epoch, after, until } of coverage) {
      for (const [offset, { message_id, by }] of this.#log.get(this.#lineage.logOf(epoch)) ?? []) {
        if (offset <= after || offset > until || seen.has(placeOf(epoch, offset))) continue;
        this.#add("missed", `${name} did not see ${message_id} at ${offset}, known by ${by}`);
      }
    }
  }

  /** Only where the place of every message is known: else it may be that of one that nobody saw. */
  #checkPositions(walks: readonly Walk[]): void {
    const placed = new Set(
      [...this.#log.values()].flatMap((offsets) =>
        [...offsets.values()].map(({ message_id }) => message_id)
      ),
    );
    if (!this.#room.publishes.every(({ message_id }) => placed.has(message_id))) return;
    const ends = new Map(
      [...this.#log].map(([log, offsets]) => [
        log,
        [...offsets.keys()].reduce((one, other) => Math.max(one, other), 0),
      ]),
    );
    for (const { name, positions } of walks) {
      for (const { epoch, offset } of positions) {
        const end = ends.get(this.#lineage.logOf(epoch)) ?? 0;
        if (offset > end) {
          this.#add("position-ahead", `${name} was told of ${offset}; the room ends at ${end}`);
        }
      }
    }
  }
}

/** What a new life says for itself. */
const EPOCH_CHANGED = /^(GAP )?epoch-changed$/;

/** Judges a recording. */
export function check(recording: Recording, options: CheckOptions): Verdict {
  const findings: Finding[] = [];
  const [gaps, losses] = [new Map<string, number>(), new Map<string, number>()];
  const count = (of: Map<string, number>, reason: string) =>
    void of.set(reason, (of.get(reason) ?? 0) + 1);
  let [deliveries, recoveries, new_lives] = [0, 0, 0];
  for (const room of recording) {
    const judged = new RoomCheck(room, options, findings);
    const lives = judged.epochs.size - 1;
    new_lives = Math.max(new_lives, lives);
    for (const walk of judged.run()) {
      deliveries += walk.deliveries.length;
      recoveries += walk.recoveries;
      for (const reason of walk.gaps) {
        count(gaps, reason);
        if (lives < 1 || !EPOCH_CHANGED.test(reason)) count(losses, reason);
      }
    }
  }
  const publishes = recording.flatMap((room) => room.publishes);
  const acknowledged = publishes.filter((publish) => acknowledgedOffsets(publish).size > 0).length;
  const unacknowledged = publishes.length - acknowledged;
  const figures = {
    publishes: publishes.length,
    acknowledged,
    unacknowledged,
    deliveries,
    recoveries,
    gaps,
    losses,
    new_lives,
  };
  return { findings, figures };
}
