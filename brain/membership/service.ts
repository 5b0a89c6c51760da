/**
 * Writes the journals of members of the rooms that this Brain owns: receives joins and leaves, and passes them to each
 * room's recorder. The bucket `ARQON_MEMBERS` lists the occupied rooms, so that rooms whose last members left while no
 * Brain was running are found. `room_recorder.ts` writes one journal.
 */
import { bytesFrom } from "../../shared/ids.ts";
import type { Env } from "../../shared/env.ts";
import type { Entry, Tag, WrittenEntry } from "../../shared/presence/types.ts";
import { MEMBERS_BUCKET } from "../../shared/records/member.ts";
import { jsonEvent, systemEnvelope } from "../../shared/records/system_envelope.ts";
import { inShares } from "../../shared/spine/bucket_shares.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import type { ClusterView, MemberChange } from "../cluster_view.ts";
import type { FollowedClasses, OpenClasses } from "../classes/followed_classes.ts";
import { inPieces, STRANGERS } from "../../shared/turns/slices.ts";
import { roomKey } from "../presence/room_changes.ts";
import { KeptStays, reasonOf, type ReportedStays, type StaysView } from "./kept_stays.ts";
import type { Stay } from "../../shared/presence/messages.ts";
import { RoomRecorder, type ShieldMissed } from "./room_recorder.ts";
import { metricsOn, type Registry, scraped } from "../../shared/metrics/metrics.ts";

/** Interval of comparing every room, in case changes were missed, in ms. */
const SURVEY_MS = 60_000;
/** Pause after a change of owners, so that the Brains agree on it, in ms. */
const SETTLE_MS = 200;
/** Pause after a failed survey, in ms. */
const RETRY_MS = 1_000;
/** Rooms that are compared in one piece. */
const ROOMS_A_PIECE = 64;
/** How long confirmations are collected, in ms; and the most in one message. */
const CONFIRM_MS = 50;
const CONFIRMED_MAX = 256;
/** The most stays of Shields that are down in one message to the other Brains. */
const SHARED_MAX = 2_048;

/** The Brain's parts that the journals need. */
export interface MembershipServiceOptions
  extends Pick<Env, "spine" | "registry" | "log" | "now" | "monotonic_ms"> {
  readonly view: ClusterView & StaysView;
  /** Stays since this Brain serves; absent: kept from this start on. */
  readonly kept?: KeptStays;
  readonly openClasses: OpenClasses;
  /** Numbers in [0, 1). */
  readonly random: () => number;
}

const NOTHING = new Uint8Array();

/** The journals of a running Brain. */
class MembershipService {
  readonly #options: MembershipServiceOptions;
  /** Stays since this Brain serves. */
  readonly #kept: KeptStays;
  readonly #rooms: FollowedClasses;
  readonly #open: KeyValue;
  readonly #metrics: MembershipMetrics;
  readonly #recorders = new Map<string, RoomRecorder>();
  readonly #stops: (() => void)[];
  /** Confirmations to send, by Shield, and their timer. */
  readonly #confirmed = new Map<string, { stays: Tag[]; missed: ShieldMissed[] }>();
  #confirm_timer: ReturnType<typeof setTimeout> | undefined;
  #survey: ReturnType<typeof setTimeout> | undefined;
  /** The list of rooms with members is being read. */
  #reading = false;
  /** Something has changed since the read began. */
  #outdated = false;
  #is_closed = false;

  constructor(
    options: MembershipServiceOptions,
    kept: KeptStays,
    rooms: FollowedClasses,
    open: KeyValue,
  ) {
    this.#options = options;
    this.#kept = kept;
    this.#rooms = rooms;
    this.#open = open;
    const waiting = () =>
      this.#recorders.values().reduce((sum, recorder) => sum + recorder.waiting, 0);
    const kept_size = () => kept.size;
    const rooms_size = () => this.#recorders.size;
    this.#metrics = createMembershipMetrics(options.registry, rooms_size, waiting, kept_size);
    const { view, spine } = options;
    kept.follow({
      isJournaled: (tenant_id, room_id) => rooms.membersRoomOf(tenant_id, room_id) !== undefined,
      onKept: (stay) => this.#recorderFor(stay)?.gone(stay),
      onDropped: (stay) => {
        this.#metrics.dropped.inc();
        this.#recorderFor(stay)?.dropped(stay);
      },
    });
    this.#stops = [
      view.onMembers((change) => this.#changed(change)),
      view.onStays((stays) => this.#stayed(stays)),
      view.onOwnership(() => this.#surveyIn(SETTLE_MS)),
      rooms.classes.onChange(() => this.#surveyIn(SETTLE_MS)),
      spine.onEvent((event) => {
        if (event.type === "state") this.#surveyIn(SETTLE_MS);
      }),
    ];
    this.#surveyIn(0);
  }

  /** Writes the known changes, then stops. Idempotent. */
  async drain(): Promise<void> {
    this.#is_closed = true;
    for (const stop of this.#stops.splice(0)) stop();
    clearTimeout(this.#survey);
    await Promise.all([...this.#recorders.values()].map((recorder) => recorder.close()));
    this.#sendConfirmed();
  }

  #owns(tenant_id: string, room_id: string): boolean {
    const { view } = this.#options;
    return !this.#is_closed && view.ownerOf(tenant_id, room_id) === view.brain_id;
  }

  #changed({ tenant_id, room_id, joins, leaves, cause, reasons }: MemberChange): void {
    const recorder = this.#recorderOf(tenant_id, room_id);
    if (recorder === undefined) return;
    for (const { connection_id } of joins) recorder.touch(connection_id, "unknown");
    for (const { connection_id, counter } of leaves) {
      recorder.touch(connection_id, reasonOf(cause, reasons?.get(counter)));
    }
  }

  #stayed({ node_id, stays, missed }: ReportedStays): void {
    // Reports of other Brains go to the kept stays, and come from there.
    if (node_id === undefined) return;
    for (const stay of stays) {
      // A Shield reports only its own members.
      if (stay.writer.node_id !== node_id) continue;
      const { tenant_id, room_id } = stay.entry;
      const recorder = this.#recorderFor(stay);
      if (recorder !== undefined) recorder.stay(stay);
      // The room has no journal by the known classes: nothing to write.
      else if (this.#owns(tenant_id, room_id)) this.#confirm(stay);
    }
    for (const each of missed) {
      const { tenant_id, room_id } = each;
      const one = { node_id, ...each };
      const recorder = this.#recorderOf(tenant_id, room_id);
      if (recorder !== undefined) recorder.missed(one);
      else if (this.#owns(tenant_id, room_id)) this.#confirm(one);
    }
  }

  /** Sends the confirmation soon, together with others. */
  #confirm(one: Stay | ShieldMissed): void {
    const node_id = "entry" in one ? one.writer.node_id : one.node_id;
    const own = this.#confirmed.get(node_id) ?? { stays: [], missed: [] };
    this.#confirmed.set(node_id, own);
    if ("entry" in one) {
      this.#kept.drop(one);
      own.stays.push({ writer: one.writer, counter: one.entry.counter });
    } else own.missed.push(one);
    if (own.stays.length + own.missed.length >= CONFIRMED_MAX) this.#sendConfirmed();
    else this.#confirm_timer ??= setTimeout(() => this.#sendConfirmed(), CONFIRM_MS);
  }

  #sendConfirmed(): void {
    clearTimeout(this.#confirm_timer);
    this.#confirm_timer = undefined;
    for (const [node_id, written] of this.#confirmed) {
      this.#options.view.confirmStays(node_id, written);
    }
    this.#confirmed.clear();
  }

  #recorderFor({ entry: { tenant_id, room_id } }: Stay): RoomRecorder | undefined {
    return this.#recorderOf(tenant_id, room_id);
  }

  /** The room's recorder; undefined: the room has no journal, or another owner. */
  #recorderOf(tenant_id: string, room_id: string): RoomRecorder | undefined {
    const members_room_id = this.#rooms.membersRoomOf(tenant_id, room_id);
    if (members_room_id === undefined || !this.#owns(tenant_id, room_id)) return undefined;
    const key = roomKey(tenant_id, room_id);
    return this.#recorders.getOrInsertComputed(
      key,
      () => this.#record(tenant_id, room_id, members_room_id),
    );
  }

  #record(tenant_id: string, room_id: string, members_room_id: string): RoomRecorder {
    const { view, log, now, random } = this.#options;
    const source = { now, random: bytesFrom(random) };
    const { deletions } = this.#rooms;
    return new RoomRecorder({
      tenant_id,
      room_id,
      members_room_id,
      log,
      now,
      openLog: () => this.#rooms.openLog(tenant_id),
      owns: () => this.#owns(tenant_id, room_id),
      isCertain: () => view.isFresh(),
      isUp: ({ node_id, incarnation }) => view.isUp({ node_id, incarnation }),
      memberOf: (connection_id) => {
        const member = view.memberOf(tenant_id, room_id, connection_id);
        // Whoever was here before the tenant was deleted left its journal with it.
        const is_past = member && deletions.isPast(tenant_id, member.entry.joined_ms);
        return member && !is_past ? recorded(member) : undefined;
      },
      deletions,
      connections: () => ids(view.members(tenant_id, room_id)),
      noteOpen: async () => {
        const since = deletions.known(tenant_id);
        await deletions.put(this.#open, since, [tenant_id, room_id], NOTHING);
      },
      noteClosed: () => this.#open.delete([tenant_id, room_id]),
      encode: ({ type, data }) => {
        const event = jsonEvent(type, JSON.stringify(data));
        return systemEnvelope(source, { tenant_id, room_id: members_room_id, ...event });
      },
      onWritten: ({ type }) => this.#metrics.entries.inc({ type }),
      onFailure: () => this.#metrics.failures.inc(),
      onSettled: (one) => this.#confirm(one),
      onThere: (stay) => this.#kept.drop(stay),
    });
  }

  #surveyIn(wait_ms: number, survey = () => this.#compareAll()): void {
    if (this.#is_closed) return;
    clearTimeout(this.#survey);
    this.#survey = setTimeout(() => {
      this.#survey = undefined;
      void survey();
    }, wait_ms);
  }

  /**
   * Checks every room that has or had members. The list of the latter may be slow while NATS has problems; present
   * members do not wait for it.
   */
  async #compareAll(): Promise<void> {
    const compared = new Set<string>();
    await inPieces(STRANGERS, this.#comparing(compared), ROOMS_A_PIECE);
    if (this.#is_closed) return;
    this.#tellKept();
    this.#forget();
    // A read under way may have missed the cause of this call: another one follows.
    if (this.#reading) this.#outdated = true;
    else void this.#compareNoted(compared);
  }

  *#comparing(compared: Set<string>): Generator<void> {
    for (const { tenant_id, room_id } of [...this.#options.view.occupied()]) {
      compared.add(roomKey(tenant_id, room_id));
      // Class and owner are those of now.
      yield this.#recorderOf(tenant_id, room_id)?.compare();
    }
  }

  /** Passes kept stays to their recorders; sends the other Brains those of Shields that are down. */
  #tellKept(): void {
    const { view } = this.#options;
    const kept = this.#kept;
    kept.sweep();
    const orphans: Stay[] = [];
    for (const stay of kept.all()) {
      this.#recorderFor(stay)?.gone(stay);
      if (!view.isUp(stay.writer)) orphans.push(stay);
    }
    for (let at = 0; at < Math.min(orphans.length, SHARED_MAX); at += CONFIRMED_MAX) {
      view.shareStays(orphans.slice(at, at + CONFIRMED_MAX));
    }
  }

  /** Checks every room listed as occupied, except those compared; `is_late`: the list could not be read before. */
  async #compareNoted(compared: ReadonlySet<string>, is_late = false): Promise<void> {
    this.#reading = true;
    this.#outdated = is_late;
    let is_read = false;
    try {
      const noted = this.#rooms.classes.has_membership ? await this.#open.keys() : [];
      for (const [tenant_id = "", room_id = ""] of noted) {
        if (compared.has(roomKey(tenant_id, room_id))) continue;
        this.#recorderOf(tenant_id, room_id)?.compare();
      }
      is_read = true;
    } catch (error) {
      this.#metrics.failures.inc();
      this.#options.log.warn("the rooms with members are not read yet", { error });
    } finally {
      this.#reading = false;
      this.#forget();
      if (is_read && this.#outdated) this.#surveyIn(SETTLE_MS);
      else if (this.#survey === undefined) {
        // Rooms retry on their own, with growing pauses: comparing all of them each time would be a load of its own.
        if (is_read) this.#surveyIn(SURVEY_MS);
        else this.#surveyIn(RETRY_MS, () => this.#compareNoted(compared, true));
      }
    }
  }

  /** Drops recorders of rooms with another owner, or without members. */
  #forget(): void {
    for (const [key, recorder] of this.#recorders) {
      recorder.sweep();
      const [tenant_id = "", room_id = ""] = key.split("/");
      if (this.#owns(tenant_id, room_id) && !recorder.is_idle) continue;
      this.#recorders.delete(key);
      void recorder.close();
    }
  }
}

function* ids(members: Iterable<Entry>): Generator<string> {
  for (const { connection_id } of members) yield connection_id;
}

function recorded({ writer: { node_id, incarnation }, entry }: WrittenEntry) {
  const { user_id, issuer, connection_id, joined_ms } = entry;
  return { user_id, issuer, connection_id, node_id, incarnation, joined_ms };
}

/** Starts writing journals. Rejects with `spine-unavailable` if a bucket cannot be opened. */
export async function startMembership(
  options: MembershipServiceOptions,
): Promise<MembershipService> {
  // Reports from now on are kept, before the list of rooms is read.
  const { kept = new KeptStays(options) } = options;
  const open = inShares(await options.spine.keyValue(MEMBERS_BUCKET, { unwatched: true }));
  return new MembershipService(options, kept, await options.openClasses(), open);
}

type MembershipMetrics = ReturnType<typeof createMembershipMetrics>;

/** Creates them; the functions are called on a scrape. */
function createMembershipMetrics(
  registry: Registry,
  rooms: () => number,
  waiting: () => number,
  kept: () => number,
) {
  scraped(registry, {
    "brain_membership_rooms": ["Rooms whose journal of members this Brain writes.", rooms],
    "brain_membership_waiting": [
      "Connections that came or went and do not stand in their room's journal yet.",
      waiting,
    ],
    "brain_membership_kept": [
      "Stays that this Brain keeps until it hears that they stand in their room's journal; at most 10,000.",
      kept,
    ],
  });
  const { counter } = metricsOn(registry);
  return {
    // `type`: joined, left, occupied, vacated, present or missed.
    entries: counter(
      "brain_membership_entries_total",
      "What was written into journals of members, by type.",
      "type",
    ),
    failures: counter(
      "brain_membership_failures_total",
      "How often a journal of members could not be read or written; it is tried again.",
    ),
    dropped: counter(
      "brain_membership_dropped_total",
      "Stays on Shields that are gone which were too many to be kept; the journal has their number.",
    ),
  };
}
