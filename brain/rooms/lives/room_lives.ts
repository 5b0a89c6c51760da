/**
 * Decides whether the stored rooms are still those that running processes knew, or a restored older copy. With NATS a
 * record beside the rooms changes every few seconds and names its last changes: a copy has an older record, a continued
 * record names the known change. A starting Brain asks the other Brains and the Shields for their knowledge. If there
 * is no answer, or the record is missing, a new life begins. With the embedded engine a life begins with the process.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../../../shared/env.ts";
import {
  readRoomsTail,
  ROOMS_ASK,
  ROOMS_CURRENT,
  roomsAnswer,
} from "../../../shared/records/rooms_tail.ts";
import type { RoomsTail } from "../../../shared/records/rooms_tail.ts";
import { isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import { newLifeId } from "../../../shared/spine/contract/lives.ts";
import type { KeyValue, KvKey } from "../../../shared/spine/contract/spine.ts";
import type { Subscription } from "../../../shared/spine/contract/spine_message.ts";
import type { FirstVersions } from "../store/life.ts";
import type { Life } from "../store/document.ts";
import { z } from "zod";
import { readStored } from "../../../shared/records/stored.ts";
import { isRoomKey } from "../store/command_pages.ts";
import type { RoomAddress } from "../../cluster_view.ts";

/** Interval between changes and checks of the record, in ms. */
const BEAT_MS = 5_000;
/** Timeout of the other processes' answers, in ms. */
const ASK_MS = 1_000;
/** How long it waits for further answers after the first, in ms. */
const OTHERS_MS = 100;
/** Pause between attempts while another Brain decides the life, in ms. */
const RETRY_MS = 200;
const ATTEMPTS = 8;

const utf8 = new TextEncoder();
interface RoomLivesOptions extends Pick<Env, "spine" | "log" | "now"> {
  readonly bucket: KeyValue;
  /** Stored in the record, for Brains that start after the rooms of these versions have ended. */
  readonly versions: FirstVersions;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /**
   * Called when another life has begun, or was detected: subscribers of rooms have to be notified. Not called for the
   * life that others confirmed at the start.
   */
  readonly onChange: () => void;
}

/** The life in which rooms are served, and the proof of it. */
export interface RoomLives {
  readonly present: Life;
  /** False: the stored rooms must not be used until `prove` has resolved. */
  readonly is_proven: boolean;
  /** Resolves when it is settled in which life the rooms are. Rejects with `spine-unavailable`. */
  prove(): Promise<void>;
  /** The highest known revision; the next write gets a higher one. */
  readonly revision: number;
  /**
   * Records the revision of a write that began when `before` was the highest. False if it is not higher: then the
   * bucket was replaced.
   */
  wrote(revision: number, before: number): boolean;
  stop(): void;
}

/** The life of an embedded bus: one for each process. The record is for the next life. */
async function oneLife(
  { bucket, versions, log }: RoomLivesOptions,
  { id, since_ms: started_ms }: Life,
): Promise<RoomLives> {
  const stored = await bucket.get(LIFE_KEY);
  const before = stored && decodeRecord(stored.value);
  if (before !== undefined) versions.note(before.version);
  // The clock may have been set back since the previous life.
  const since_ms = Math.max(started_ms, (before?.since_ms ?? 0) + 1);
  let kept = before?.version ?? 0;
  const keep = async () => {
    const { highest } = versions;
    if (highest === kept) return;
    await bucket.put(LIFE_KEY, encodeRecord(firstRecord(id, since_ms, id, highest)));
    kept = highest;
  };
  const timer = setInterval(() => {
    keep().catch((error) => log.warn("the rooms' life is not kept", { error }));
  }, BEAT_MS);
  return {
    present: { id, since_ms },
    is_proven: true,
    revision: 0,
    wrote: () => true,
    prove: () => Promise.resolve(),
    stop: () => clearInterval(timer),
  };
}

class ProvenLives implements RoomLives {
  readonly #options: RoomLivesOptions;
  #present: Life | undefined;
  /** The known state of the stored rooms; kept while the bucket is in doubt. */
  #tail: RoomsTail | undefined;
  #highest = 0;
  #is_proven = false;
  #doubts = 0;
  #proving: Promise<void> | undefined;
  #subscriptions: readonly Subscription[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #is_stopped = false;
  readonly #stopEvents: () => void;

  constructor(options: RoomLivesOptions) {
    this.#options = options;
    this.#stopEvents = options.spine.onEvent((event) => {
      if (event.type !== "state" || this.#is_stopped) return;
      if (event.status.state === "disconnected") this.#doubt();
      else if (event.status.state === "connected") this.#proveSoon();
    });
    this.#schedule();
  }

  get present(): Life {
    if (this.#present === undefined) throw new TypeError("not settled yet");
    return this.#present;
  }

  get is_proven(): boolean {
    return this.#is_proven;
  }

  prove(): Promise<void> {
    if (this.#is_proven) return Promise.resolve();
    return this.#proving ??= this.#prove().finally(() => {
      this.#proving = undefined;
    });
  }

  get revision(): number {
    return this.#highest;
  }

  wrote(revision: number, before: number): boolean {
    if (revision > before) {
      this.#highest = Math.max(this.#highest, revision);
      return true;
    }
    this.#doubt();
    this.#proveSoon();
    return false;
  }

  stop(): void {
    this.#is_stopped = true;
    this.#stopEvents();
    clearTimeout(this.#timer);
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  #doubt(): void {
    this.#is_proven = false;
    this.#doubts++;
  }

  #proveSoon(): void {
    const { log } = this.#options;
    this.prove().catch((error) => log.warn("the life of the rooms is not settled", { error }));
  }

  async #prove(): Promise<void> {
    for (let attempt = 1;; attempt++) {
      const doubts = this.#doubts;
      const is_settled = await this.#settle();
      if (is_settled && doubts === this.#doubts) {
        this.#is_proven = true;
        return;
      }
      if (attempt === ATTEMPTS || this.#is_stopped) {
        throw new ArqonError(
          "spine-unavailable",
          "nobody knows whether the rooms are an older copy",
        );
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** Decides the life. False if another Brain was faster. */
  async #settle(): Promise<boolean> {
    const known = this.#tail;
    const before = await this.#read();
    if (known !== undefined && goesOn(before, known)) {
      return await this.#goOn(before, this.#highest);
    }
    if (before.record !== undefined) {
      const others = await this.#ask();
      // Read again: it may have changed while they answered.
      const now = await this.#read();
      const own = known &&
        { ...known, highest: this.#highest, since_ms: this.present.since_ms };
      const vouched = vouchedRevision(now, others, own);
      if (vouched !== undefined) return await this.#goOn(now, vouched);
    }
    // From now on another starting Brain waits for this one.
    this.#answer();
    return await this.#begin(before);
  }

  /**
   * Continues the known life, because the record is the known one. The rest of the bucket is also the known one if its
   * next revision is above all earlier ones: a copy may be newer than the record's last change, and lack later writes.
   */
  async #goOn({ revision, record }: StoredLifeRecord, highest: number): Promise<boolean> {
    if (record === undefined) return false;
    const { random, versions } = this.#options;
    const next = nextRecord(record, newLifeId(random), versions.highest);
    const written = await this.#write(next, revision);
    if (written === undefined) return false;
    if (written > highest) return this.#adopt(written, next);
    this.#answer();
    return await this.#begin({ revision: written, record: next });
  }

  async #read(): Promise<StoredLifeRecord> {
    const entry = await this.#options.bucket.get(LIFE_KEY);
    if (entry === undefined) return { revision: 0, record: undefined };
    return { revision: entry.revision, record: decodeRecord(entry.value) };
  }

  /** Begins a new life. False if the record has changed: another Brain is doing it. */
  async #begin(stored: StoredLifeRecord): Promise<boolean> {
    const { now, random, log, versions } = this.#options;
    const { record } = stored;
    const since_ms = Math.max(
      now(),
      (record?.since_ms ?? 0) + 1,
      (this.#present?.since_ms ?? 0) + 1,
    );
    const version = Math.max(record?.version ?? 0, versions.highest);
    const life = firstRecord(newLifeId(random), since_ms, newLifeId(random), version);
    const revision = await this.#write(life, stored.revision);
    if (revision === undefined) return false;
    if (record !== undefined) {
      log.warn("nobody can say that the stored rooms go on; they have other epochs", {
        since_ms,
        known_revision: this.#tail?.revision,
      });
    }
    this.#highest = revision;
    const is_first = this.#present === undefined;
    this.#adopt(revision, life);
    if (is_first) this.#options.onChange();
    return true;
  }

  #adopt(revision: number, { id, since_ms, beats, version }: LifeRecord): boolean {
    this.#options.versions.note(version);
    const is_other = this.#present !== undefined && this.#present.id !== id;
    this.#present = { id, since_ms };
    this.#highest = Math.max(this.#highest, revision);
    this.#tail = { id, revision, beat: beats.at(-1) ?? "", highest: this.#highest };
    this.#answer();
    this.#tell();
    if (is_other) this.#options.onChange();
    return true;
  }

  /** Writes the record. Resolves with the new revision; undefined if another Brain was faster. */
  async #write(record: LifeRecord, revision: number): Promise<number | undefined> {
    try {
      return await this.#options.bucket.update(LIFE_KEY, encodeRecord(record), revision);
    } catch (error) {
      if (isConflict(error)) return undefined;
      throw error;
    }
  }

  #schedule(): void {
    const { log } = this.#options;
    this.#timer = setTimeout(() => {
      this.#beat().catch((error) => log.warn("the rooms' life has no new beat", { error }))
        .finally(() => this.#is_stopped || this.#schedule());
    }, BEAT_MS);
  }

  async #beat(): Promise<void> {
    const known = this.#tail;
    if (!this.#is_proven || known === undefined) return await this.prove();
    const doubts = this.#doubts;
    const highest = this.#highest;
    const stored = await this.#read();
    const { record } = stored;
    if (doubts !== this.#doubts) return;
    if (record === undefined || !goesOn(stored, known)) {
      this.#doubt();
      return await this.prove();
    }
    // Another Brain has changed it since the last check.
    if (stored.revision > known.revision) return void this.#adopt(stored.revision, record);
    const { random, versions } = this.#options;
    const next = nextRecord(record, newLifeId(random), versions.highest);
    const revision = await this.#write(next, stored.revision);
    if (revision === undefined || doubts !== this.#doubts) return;
    if (this.wrote(revision, highest)) this.#adopt(revision, next);
  }

  /** The knowledge of other processes: of all that answer soon after the first. Empty if none does. */
  async #ask(): Promise<readonly RoomsTail[]> {
    const { spine, random } = this.#options;
    const tails: RoomsTail[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const asker = newLifeId(random);
    const answers = spine.subscribe(roomsAnswer(asker), ({ payload }) => {
      const tail = readRoomsTail(payload);
      if (tail === undefined) return;
      tails.push(tail);
      clearTimeout(timer);
      timer = setTimeout(resolve, OTHERS_MS);
    });
    let timer = setTimeout(resolve, ASK_MS);
    try {
      await spine.flush();
      spine.publish(ROOMS_ASK, utf8.encode(asker));
      await promise;
      return tails;
    } finally {
      clearTimeout(timer);
      answers.unsubscribe();
    }
  }

  #answer(): void {
    if (this.#subscriptions.length > 0) return;
    const { spine } = this.#options;
    const answer = spine.subscribe(ROOMS_ASK, ({ payload }) => {
      const tail = this.#tail;
      if (tail === undefined || !this.#is_proven) return;
      const known = { ...tail, highest: this.#highest };
      spine.publish(
        roomsAnswer(new TextDecoder().decode(payload)),
        utf8.encode(JSON.stringify(known)),
      );
    });
    const subscription = spine.subscribe(ROOMS_CURRENT, ({ payload }) => {
      const tail = readRoomsTail(payload);
      if (tail === undefined || tail.id === this.#tail?.id || !this.#is_proven) return;
      this.#doubt();
      this.#proveSoon();
    });
    this.#subscriptions = [answer, subscription];
  }

  /** Publishes the knowledge to the Shields: a Brain that starts alone will ask them. */
  #tell(): void {
    const { spine, log } = this.#options;
    try {
      spine.publish(ROOMS_CURRENT, utf8.encode(JSON.stringify(this.#tail)));
    } catch (error) {
      // There is no connection, which is reported elsewhere; a starting Brain asks.
      log.debug("nobody was told of the rooms' life", { error });
    }
  }
}

/** Resolves when it is settled in which life the rooms are. Rejects with `spine-unavailable`. */
export async function openRoomLives(options: RoomLivesOptions): Promise<RoomLives> {
  const { life: id, started_ms: since_ms } = options.spine.status;
  if (id !== undefined && since_ms !== undefined) return await oneLife(options, { id, since_ms });
  const lives = new ProvenLives(options);
  try {
    await lives.prove();
    return lives;
  } catch (error) {
    lives.stop();
    throw error;
  }
}

/** The key of the record; keys of rooms have two parts. */
const LIFE_KEY = ["life"];
/** How many changes the record names: a Brain that was down for longer asks the others. */
const BEATS_KEPT = 128;

const Record = z.object({
  format: z.literal(1),
  id: z.string().min(1),
  /** When the life began, Unix ms. */
  since_ms: z.int().min(0),
  /** A unique name for each of the last changes, the newest last. */
  beats: z.array(z.string()).max(BEATS_KEPT),
  /** The highest version of any room known to the Brain that wrote this. */
  version: z.int().min(0),
});
/** The record. */
type LifeRecord = z.output<typeof Record>;

/** The stored record; undefined: none that is readable. */
interface StoredLifeRecord {
  /** Its revision; 0: nothing is stored. */
  readonly revision: number;
  readonly record: LifeRecord | undefined;
}

/** The record's stored form. */
export function encodeRecord(record: LifeRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(record));
}

/** Reads the stored form; undefined for data that `encodeRecord` has not written. Throws `incompatible-version`. */
export const decodeRecord = (value: Uint8Array): LifeRecord | undefined =>
  readStored(value, Record, "life of the rooms");

/** The first record of a new life. */
export function firstRecord(id: string, since_ms: number, beat: string, version = 0): LifeRecord {
  return { format: 1, id, since_ms, beats: [beat], version };
}

/** The record with one more change. */
export function nextRecord(record: LifeRecord, beat: string, version = 0): LifeRecord {
  const beats = [...record.beats, beat].slice(-BEATS_KEPT);
  return { ...record, beats, version: Math.max(record.version, version) };
}

/** Whether the stored record continues the known one, and is not an older copy of it. */
export function goesOn({ revision, record }: StoredLifeRecord, known: RoomsTail): boolean {
  if (record === undefined || revision < known.revision) return false;
  const is_latest = record.id === known.id && record.beats.at(-1) === known.beat;
  if (revision === known.revision) return is_latest;
  // Another life has begun since: the process that began it has checked.
  return record.id !== known.id || record.beats.includes(known.beat);
}

/** A process's own knowledge: the record, and the start of its life in Unix ms. */
interface OwnTail extends RoomsTail {
  readonly since_ms: number;
}

/**
 * The highest known revision of the stored record's life, if one of the `others` confirms that the record continues.
 * Undefined if none does, or if one knows a later record: then it is an older copy. `own` is the asking process's
 * knowledge, which may be of a life that has ended; others may know less, if they missed a message.
 */
export function vouchedRevision(
  stored: StoredLifeRecord,
  others: readonly RoomsTail[],
  own: OwnTail | undefined,
): number | undefined {
  const { revision, record } = stored;
  if (record === undefined || !others.some((tail) => goesOn(stored, tail))) return undefined;
  if (others.some((tail) => tail.revision > revision)) return undefined;
  const is_known_life = own !== undefined && record.since_ms <= own.since_ms;
  if (is_known_life && own.revision >= revision && !goesOn(stored, own)) return undefined;
  return Math.max(...others.map(({ highest }) => highest), is_known_life ? own.highest : 0);
}

/** Rooms notified between two pauses, and the pause in ms: at most 2,000 rooms a second. */
const CHUNK_ROOMS = 200;
const CHUNK_REST_MS = 100;

interface LifeChangeOptions {
  readonly stored: () => Promise<readonly KvKey[]>;
  /** The previously known rooms, stored or not. */
  readonly known: () => Iterable<RoomAddress>;
  readonly isOwner: (at: RoomAddress) => boolean;
  readonly tell: (at: RoomAddress) => void;
  readonly isStopping: () => boolean;
}

/**
 * Notifies the subscribers of all rooms. Rejects if the bucket cannot be listed; the known rooms have been notified by
 * then.
 */
export async function tellLifeChange(options: LifeChangeOptions): Promise<void> {
  const { stored, known, isOwner, tell, isStopping } = options;
  const visited = new Set<string>();
  let rooms = 0;
  const each = async (at: RoomAddress) => {
    const id = `${at.tenant_id}.${at.room_id}`;
    if (visited.has(id) || !isOwner(at)) return;
    visited.add(id);
    tell(at);
    if (++rooms % CHUNK_ROOMS === 0) {
      await new Promise((resolve) => setTimeout(resolve, CHUNK_REST_MS));
    }
  };
  for (const at of [...known()]) {
    if (isStopping()) return;
    await each(at);
  }
  for (const [tenant_id = "", room_id = ""] of (await stored()).filter(isRoomKey)) {
    if (isStopping()) return;
    await each({ tenant_id, room_id });
  }
}
