/**
 * Correct recordings for tests: a made-up log, publishers whose answers get lost, and subscribers that
 * come, go, lose their connection, come back and are told what they lost, or that the log has begun
 * another life. From a seed.
 */
import { createRandom } from "../presence_simulation/random.ts";
import type { Random } from "../presence_simulation/random.ts";
import type { Attempt, Delivered, Publish, Recording, RoomRecording, Sight } from "./recording.ts";

interface Log {
  readonly publishes: readonly Publish[];
  /** By epoch, in order. */
  readonly epochs: readonly (readonly Delivered[])[];
}

const UNKNOWN = { kind: "unknown" } as const;
/** A log begins no more than so many other lives. */
const NEW_LIVES = 2;
const REFUSED = { kind: "refused", reason: "log-unavailable" } as const;

/** Some publishes, most of them stored; the answers to some are lost. */
function makeLog(random: Random, room_id: string, sizes: readonly number[]): Log {
  const publishes: Publish[] = [];
  let [offset, sequence] = [0, 0];
  const epochs = sizes.map((size, index) => {
    const stored: Delivered[] = [];
    offset = 0;
    for (let count = 0; count < size; count++) {
      const message_id = `${room_id}-p-${sequence}`;
      const hash = random.int(0, 0xffffffff);
      const attempts: Attempt[] = [];
      let at_ms = random.int(0, 100_000);
      while (random.chance(0.2)) {
        attempts.push({ at_ms, outcome: random.pick([UNKNOWN, REFUSED]) });
        at_ms += random.int(1, 5_000);
      }
      const is_stored = random.chance(0.9);
      if (is_stored) {
        // One running number for all rooms of a tenant: a room's own offsets have holes.
        offset += random.int(1, 5);
        stored.push({ kind: "message", epoch: `e${index}`, offset, message_id, hash });
      }
      const acknowledged = { kind: "acknowledged", offset } as const;
      const outcome = is_stored && random.chance(0.9) ? acknowledged : UNKNOWN;
      attempts.push({ at_ms, outcome });
      publishes.push({ message_id, publisher: "p", sequence: sequence++, hash, attempts });
    }
    return stored;
  });
  return { publishes, epochs };
}

/** One subscriber's way through the log, from some place in it to its end or its own. */
class Way {
  readonly sights: Sight[] = [];
  readonly #random: Random;
  readonly #log: Log;
  #epoch = 0;
  /** Of the epoch's log. */
  #life = 0;
  #next = 0;

  constructor(random: Random, log: Log, epoch: number) {
    [this.#random, this.#log, this.#epoch] = [random, log, epoch];
    this.#next = random.int(0, this.#stored.length);
    this.#subscribed(undefined, "");
  }

  get #stored(): readonly Delivered[] {
    return this.#log.epochs[this.#epoch] ?? [];
  }

  get #name(): string {
    return this.#life === 0 ? `e${this.#epoch}` : `e${this.#epoch}.${this.#life}`;
  }

  #subscribed(recovered: boolean | undefined, reason: string, at = this.#next): void {
    const offset = this.#stored[at - 1]?.offset ?? 0;
    const epoch = this.#name;
    this.sights.push({ kind: "subscribed", recovered, reason, epoch, offset });
  }

  /** Anything that may happen to it but a message. */
  #happen(): void {
    const random = this.#random;
    const deed = random.int(0, 4);
    if (deed === 4) return this.#begin();
    if (deed === 0) this.sights.push({ kind: "gap", reason: "history-trimmed" });
    else this.sights.push({ kind: "disconnected" });
    const rest = this.#stored.length - this.#next;
    if (deed === 0 && random.chance(0.5)) this.#next += random.int(0, rest);
    else if (deed === 1 && this.#epoch < this.#log.epochs.length - 1) {
      this.#epoch++;
      this.#life = 0;
      this.#next = random.int(0, this.#stored.length);
      this.#subscribed(false, "epoch-changed");
    } else if (deed === 2) {
      this.#next += random.int(0, rest);
      this.#subscribed(false, "too-many");
    } else this.#subscribed(true, "", this.#next + random.int(0, rest));
  }

  /** Another life, with everything that was in those before. */
  #begin(): void {
    if (this.#life === NEW_LIVES) return;
    this.#life++;
    const told = { kind: "gap", reason: "GAP epoch-changed" } as const;
    this.sights.push(this.#random.chance(0.5) ? told : { kind: "disconnected" });
    this.#subscribed(true, "", this.#random.int(this.#next, this.#stored.length));
  }

  walk(): readonly Sight[] {
    for (;;) {
      if (this.#random.chance(0.1)) this.#happen();
      if (this.#random.chance(0.01)) {
        this.sights.push({ kind: this.#random.pick(["left", "disconnected"]) });
        return this.sights;
      }
      const message = this.#stored[this.#next];
      if (message === undefined) return this.sights;
      this.sights.push({ ...message, epoch: this.#name });
      this.#next++;
    }
  }
}

/** A recording in which nothing is wrong. */
export function makeRecording(seed: number): Recording {
  const random = createRandom(seed);
  return Array.from({ length: random.int(1, 3) }, (_, index): RoomRecording => {
    const room_id = `log-${index}`;
    const sizes = Array.from({ length: random.int(1, 2) }, () => random.int(0, 40));
    const log = makeLog(random, room_id, sizes);
    // Each epoch has a subscriber: one that nobody knows of could have any message.
    const subscribers = Array.from({ length: random.int(sizes.length, 4) }, (_, number) => (
      { name: `s${number}`, sights: new Way(random, log, number % sizes.length).walk() }
    ));
    return { room_id, publishes: log.publishes, subscribers };
  });
}
