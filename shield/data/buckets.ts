/** Buckets whose keys begin with the tenant: rooms, their members, and a tenant's settings. */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import type { Env } from "../../shared/env.ts";
import type { ClusterAsker } from "../../shared/cluster/cluster_asker.ts";
import { EraseAnswer, ERASED_MAX, isBrains } from "../../shared/cluster/cluster_erase.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvEntry, KvKey } from "../../shared/spine/contract/spine.ts";
import { BANS_BUCKET } from "../../shared/records/bans.ts";
import {
  type DeadLetter,
  HOOKS_BUCKET,
  readDeadLetter,
} from "../../shared/records/hook_document.ts";
import { MEMBERS_BUCKET } from "../../shared/records/member.ts";
import { DEPLOYMENTS_BUCKET } from "../../shared/records/reducer_deployment.ts";
import { REDUCERS_BUCKET } from "../../shared/records/reducer_record.ts";
import { REVOCATIONS_BUCKET } from "../../shared/records/revocations.ts";
import { ROOMS_BUCKET } from "../../shared/records/room_update.ts";
import { readStored, unlessNewer } from "../../shared/records/stored.ts";
import { slice } from "../../shared/turns/slices.ts";
import { markDeleted } from "../../shared/records/tenant_deletions.ts";
import { TENANTS_BUCKET } from "../../shared/records/tenant_settings.ts";
import {
  GROWING_BUCKET,
  POLICIES_BUCKET,
  ROLLOUTS_BUCKET,
  SCHEDULES_BUCKET,
  STREAMS_BUCKET,
  TICKETS_BUCKET,
} from "../../shared/records/buckets.ts";
import { calledAbout, namesUser } from "./user_text.ts";
import { type BrainOf, type DataStore, isTenant, type Stock, type Whose } from "./store.ts";

interface Kept {
  readonly name: string;
  readonly bucket: string;
  /** The index of the room in its keys; absent: they name no room. */
  readonly room_at?: number;
  /** The message that an entry contains; absent: entries contain none. */
  readonly messageIn?: (
    entry: KvEntry,
  ) => { readonly room: string; readonly offset: number } | undefined;
  /** Whether an entry belongs to the user; absent: it belongs to every user that it names. */
  readonly isOf?: (
    entry: KvEntry,
    user: string,
    bucket: Pick<KeyValue, "get">,
  ) => boolean | Promise<boolean>;
  /** The tenant and user that an entry belongs to; absent: its key begins with the tenant. */
  readonly holderOf?: (entry: KvEntry) => { tenant_id?: string; user_id?: string };
  /** Its erasure leaves a mark, by which every process learns that the tenant was deleted. */
  readonly ends_tenant?: true;
  /** Messages are made from its entries. */
  readonly makes_messages?: true;
  /** The member that no export shows: it signs in the tenant's name. */
  readonly hides?: "secret";
  /** The entry without the messages of the user that it has samples of, which are no reason to remove the rest. */
  readonly without?: (value: Uint8Array, user: string) => Uint8Array;
  /** Whether an entry that names a user is erased with the user; otherwise why it stays. */
  readonly ofUser: (key: KvKey) => true | string;
  /** Whether it is erased with its tenant; otherwise why it stays. Absent: it is. */
  readonly ofTenant?: (key: KvKey) => true | string;
}

const Produced = z.looseObject({ producer: z.looseObject({ user_id: z.string() }) });
const Ticket = z.looseObject({
  identity: z.looseObject({ tenant_id: z.string(), user_id: z.string() }),
});

const application = () =>
  "state that the application has set: change it with room.set, or erase the room";
const set_by_admins = () => "an admin has set it, and it names the user";

const BUCKETS: readonly Kept[] = [
  { name: "rooms", bucket: ROOMS_BUCKET, room_at: 1, ofUser: application },
  { name: "members", bucket: MEMBERS_BUCKET, room_at: 1, ofUser: () => true },
  {
    name: "growing",
    bucket: GROWING_BUCKET,
    room_at: 1,
    isOf: isProducer,
    makes_messages: true,
    ofUser: () => true,
  },
  { name: "streams", bucket: STREAMS_BUCKET, room_at: 1, ofUser: application },
  { name: "reducers", bucket: REDUCERS_BUCKET, room_at: 1, ofUser: application },
  { name: "reducer programs", bucket: DEPLOYMENTS_BUCKET, ofUser: set_by_admins },
  {
    name: "hooks and dead letters",
    bucket: HOOKS_BUCKET,
    hides: "secret",
    messageIn: letterIn,
    isOf: isCalled,
    ofUser: (key) => key[2] === "dead" ? true : "a hook's settings",
  },
  { name: "schedules", bucket: SCHEDULES_BUCKET, makes_messages: true, ofUser: set_by_admins },
  { name: "bans", bucket: BANS_BUCKET, room_at: 1, ofUser: () => "it is a ban of the user" },
  {
    name: "revocations",
    bucket: REVOCATIONS_BUCKET,
    ofUser: () => "it is a revocation of the user",
    // Whoever deletes a tenant revokes its tokens first.
    ofTenant: ([, kind]) =>
      kind === "issued-before" ? "it keeps the tenant's former tokens out until it expires" : true,
  },
  {
    name: "tickets",
    bucket: TICKETS_BUCKET,
    holderOf: holderOfTicket,
    isOf: (entry, user) => holderOfTicket(entry).user_id === user,
    ofUser: () => true,
  },
  { name: "rollouts", bucket: ROLLOUTS_BUCKET, without: withoutSamples, ofUser: set_by_admins },
  { name: "policies", bucket: POLICIES_BUCKET, ofUser: set_by_admins },
  { name: "settings", bucket: TENANTS_BUCKET, ends_tenant: true, ofUser: set_by_admins },
];

const isMeant = ({ room_at, messageIn }: Kept, key: KvKey, { room, offset }: Whose): boolean =>
  messageIn !== undefined || offset === undefined &&
    (room === undefined || (room_at !== undefined && key[room_at] === room));

/** Whether an entry contains the message, or a message of the room. */
function hasMessage({ messageIn }: Kept, entry: KvEntry, { room, offset }: Whose): boolean {
  if (messageIn === undefined || room === undefined) return true;
  const message = messageIn(entry);
  return message?.room === room && (offset === undefined || message.offset === offset);
}

/** Whether an entry is a growing message of the user, or a part of its text, which names no user. */
async function isProducer(
  entry: KvEntry,
  user: string,
  bucket: Pick<KeyValue, "get">,
): Promise<boolean> {
  const key = entry.key.slice(0, 3);
  const head = key.length === entry.key.length ? entry : await bucket.get(key);
  if (head === undefined) return false;
  const producer = readStored(head.value, Produced, "growing message", Infinity)?.producer;
  return producer === undefined ? namesUser(head.value, user) : producer.user_id === user;
}

/** The holder of a ticket; none once it was redeemed, or of one that cannot be read. */
function holderOfTicket({ value }: KvEntry): { tenant_id?: string; user_id?: string } {
  return readStored(value, Ticket, "ticket", Infinity)?.identity ?? {};
}

/** The dead letter of an entry; undefined: it is something else, or cannot be read. */
function letterIn({ key, value }: KvEntry): DeadLetter | undefined {
  const letter = key[2] === "dead" ? unlessNewer(() => readDeadLetter(value)) : undefined;
  return letter === "newer" ? undefined : letter;
}

/** Whether an entry is a dead letter about the user, or settings of a hook that name the user. */
function isCalled(entry: KvEntry, user: string): boolean {
  const letter = letterIn(entry);
  return letter === undefined ? namesUser(entry.value, user) : calledAbout(letter.body, user);
}

/** A rollout, or a Shield's report of one, without the samples of the user's messages. */
function withoutSamples(value: Uint8Array, user: string): Uint8Array {
  const others = (member: string, one: unknown) =>
    member === "samples" && Array.isArray(one)
      ? one.filter((sample) => sample?.user !== user)
      : one;
  try {
    const rest: unknown = JSON.parse(new TextDecoder().decode(value), others);
    return new TextEncoder().encode(JSON.stringify(rest));
  } catch {
    // Nobody can read it, so nobody is shown a sample of it.
    return value;
  }
}

/** Stores what is left of an entry, with `fences` also if that is all; returns how many it has changed. */
const cut = (
  bucket: KeyValue,
  key: KvKey,
  restOf: (value: Uint8Array) => Uint8Array,
  fences = false,
) =>
  changeDocument(async (mayLose) => {
    const entry = await bucket.get(key);
    if (entry === undefined) return 0;
    const rest = restOf(entry.value);
    const is_cut = rest.length < entry.value.length;
    if (is_cut || fences) await mayLose(bucket.update(key, rest, entry.revision));
    return is_cut ? 1 : 0;
  });

/** Whether key or value names the user. */
function names({ room_at }: Kept, { key, value }: KvEntry, user: string): boolean {
  return key.some((token, at) => at > 0 && at !== room_at && token === user) ||
    namesUser(value, user);
}

async function* entriesOf(bucket: KeyValue, kept: Kept, whose: Whose): AsyncGenerator<KvEntry> {
  const { holderOf } = kept;
  for (const key of await bucket.keys(holderOf === undefined ? [whose.tenant] : [])) {
    if (!isMeant(kept, key, whose)) continue;
    await slice(whose.tenant);
    const entry = await bucket.get(key);
    if (entry === undefined || !hasMessage(kept, entry, whose)) continue;
    if (holderOf !== undefined && holderOf(entry).tenant_id !== whose.tenant) continue;
    const { user } = whose;
    const is_meant = user === undefined ||
      (kept.isOf === undefined ? names(kept, entry, user) : await kept.isOf(entry, user, bucket));
    if (is_meant) yield entry;
  }
}

function lineOf({ name, isOf, hides }: Kept, { key, value }: KvEntry, whose: Whose): string {
  const user = isOf === undefined ? whose.user : undefined;
  const head = `"store":${JSON.stringify(name)},"key":${JSON.stringify(key.slice(1))}`;
  return `{${head},${bodyOf(value, user, hides)}}`;
}

/** The value as JSON, text or bytes. Each line of a room's state has an author; a user gets only their own lines. */
function bodyOf(value: Uint8Array, user: string | undefined, hides: Kept["hides"]): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(value);
  } catch {
    return `"base64":${JSON.stringify(value.toBase64())}`;
  }
  try {
    const shown = hides && ((member: string, one: unknown) => member === hides ? undefined : one);
    return `"value":${JSON.stringify(JSON.parse(text, shown))}`;
  } catch {
    const lines = text.split("\n").filter((line) =>
      user === undefined || line.includes(JSON.stringify(user))
    );
    return `"text":${JSON.stringify(lines.join("\n"))}`;
  }
}

/** The cluster asker; undefined: there is none. */
type Asking = Pick<ClusterAsker, "ask" | "hello"> | undefined;

/** Finds the Brain that erases Brain-owned data in one erasure; it is asked once, on demand. */
export function findBrain(asker: Asking): BrainOf {
  const ask = async () => (await asker?.hello({ of: "brain" }))?.answers[0]?.node_id;
  let answer: ReturnType<BrainOf> | undefined;
  return () => answer ??= ask();
}

/** How long a Brain may take for one question, in ms. */
const ERASE_MS = 30_000;

/** Deletes entries; a Brain deletes those of its buckets, which a Shield may not write. */
async function deleteAll(
  bucket: KeyValue,
  name: string,
  tenant: string,
  keys: readonly KvKey[],
  asker: Asking,
  brainOf: BrainOf,
): Promise<void> {
  const brain_id = isBrains(name) ? await brainOf() : undefined;
  if (brain_id === undefined) {
    for (const key of keys) await bucket.delete(key);
    return;
  }
  for (let at = 0; at < keys.length; at += ERASED_MAX) {
    const some = keys.slice(at, at + ERASED_MAX).map(([, ...rest]) => rest);
    const params = { tenant, bucket: name, keys: some };
    const options = { params, to: brain_id, is_order: true, timeout_ms: ERASE_MS } as const;
    const { answers } = await asker!.ask("erase_entries", EraseAnswer, options);
    if (answers.length === 0) {
      throw new ArqonError("process-unavailable", `Brain ${brain_id} did not erase the entries`);
    }
  }
}

/** Called with a tenant's growing messages that were erased, and the parts of their texts. */
export type OnErased = (tenant_id: string, entries: readonly KvEntry[]) => Promise<void>;

/** What the stores of buckets need. */
export interface BucketsContext extends Pick<Env, "spine" | "now"> {
  /** Asks a Brain to erase Brain-owned data; undefined: there is no Brain to ask. */
  readonly asker: Asking;
  readonly onErased?: OnErased;
}

function bucketStore({ spine, asker, now, onErased }: BucketsContext, kept: Kept): DataStore {
  const { name, bucket, ends_tenant, ofUser, ofTenant, without } = kept;
  const open = () => spine.keyValue(bucket, { leaves_stream: true });
  const reasonOf = (key: KvKey, whose: Whose) => {
    if (whose.user !== undefined) return ofUser(key);
    return isTenant(whose) && ofTenant !== undefined ? ofTenant(key) : true;
  };
  return {
    name,
    async stock(whose): Promise<Stock | undefined> {
      const stock = { where: `KV_${bucket}`, count: 0, bytes: 0 };
      const stays = new Set<string>();
      const { user } = whose;
      for await (const { key, value } of entriesOf(await open(), kept, whose)) {
        stock.count++;
        stock.bytes += value.length;
        const rest = user === undefined ? undefined : without?.(value, user);
        if (rest !== undefined && !namesUser(rest, user!)) continue;
        const reason = reasonOf(key, whose);
        if (reason !== true) stays.add(reason);
      }
      if (stock.count === 0) return undefined;
      return stays.size === 0 ? stock : { ...stock, stays: [...stays].join("; ") };
    },
    async *lines(whose) {
      for await (const entry of entriesOf(await open(), kept, whose)) {
        yield lineOf(kept, entry, whose);
      }
    },
    async erase(whose, brainOf) {
      const opened = await open();
      const keys: KvKey[] = [];
      const grew: KvEntry[] = [];
      const { tenant, user } = whose;
      let changed = 0;
      for await (const entry of entriesOf(opened, kept, whose)) {
        if (user !== undefined && without !== undefined) {
          changed += await cut(opened, entry.key, (value) => without(value, user));
        }
        if (reasonOf(entry.key, whose) !== true) continue;
        keys.push(entry.key);
        if (bucket === GROWING_BUCKET) grew.push(entry);
      }
      if (user !== undefined && without !== undefined) {
        // A Brain that has read the samples in reports stores them in the rollout as it was.
        changed += await cut(opened, [tenant], (value) => without(value, user), true);
      }
      if (keys.length > 0) await deleteAll(opened, bucket, tenant, keys, asker, brainOf);
      if (ends_tenant && isTenant(whose)) await markDeleted(opened, tenant, now());
      if (grew.length > 0) await onErased?.(tenant, grew);
      return keys.length + changed;
    },
  };
}

/**
 * The stores of all buckets, or only those that are, or are not, sources of messages. The settings are last: a class's
 * retention decides which part of a log is readable.
 */
export function bucketStores(context: BucketsContext, makes_messages?: boolean): DataStore[] {
  return BUCKETS.filter((kept) =>
    makes_messages === undefined || (kept.makes_messages === true) === makes_messages
  ).map((kept) => bucketStore(context, kept));
}
