/**
 * All clients of a run: who they are, which rooms they want, and what they do of their own accord
 * while others are hurt: change their metadata, leave and come back, close and connect again.
 */
import { ArqonError } from "../../sdk/typescript/mod.ts";
import type { Message } from "../../sdk/typescript/mod.ts";
import type { RoomEvent } from "@arqon/sdk/state";
import { pace } from "../../shared/testing/pace.ts";
import type { Issuer } from "../harness/cluster.ts";
import type { Random } from "../presence_simulation/random.ts";
import { Client } from "./client.ts";
import { LockLedger } from "./lock_ledger.ts";
import type { Registry } from "./registry.ts";
import { RoomChanges } from "./room_changes.ts";
import { compareList, rollsOf } from "./roster.ts";
import type { Attendee } from "./roster.ts";
import type { Variant } from "./variant.ts";

/** What a crowd is made from. */
export interface CrowdOptions {
  readonly size: number;
  readonly variant: Variant;
  readonly urls: readonly string[];
  readonly issuer: Issuer;
  readonly registry: Registry;
  readonly random: Random;
  readonly onSurprise: (text: string) => void;
}

/** The contenders of one room's lock. */
export interface LockRoom {
  readonly ledger: LockLedger;
  /** What they hear. */
  readonly changes: RoomChanges;
  readonly contenders: readonly Client[];
  /** Writes there without a lock. */
  readonly intruder: Client;
}

interface Wish {
  readonly room_id: string;
  readonly observer: boolean;
}

const TENANTS = ["acme", "zeta"];
const ROOMS_PER_CLIENT = 2;
const MEMBERS_PER_ROOM = 50;
/** Every tenth stay only watches; every tenth client has the user of the one before it. */
const TENTH = 10;
/** Connections that are opened at a time. */
const OPENING = 50;
/** Shares of what a client does by itself; else it changes its metadata. */
const RECONNECTS = 0.15;
const LEAVES = 0.2;
/** How long it is away then, at most. */
const AWAY_MS = 1_500;
/** Brains that answer for all: any of them may, so each room is asked this often in a row. */
const QUESTIONS = 3;

/** Made by `openCrowd`. */
export class Crowd {
  readonly clients: Client[] = [];
  readonly lock_rooms: LockRoom[] = [];
  readonly #options: CrowdOptions;
  readonly #wishes = new Map<Client, Wish[]>();
  readonly #lock_rooms = new Map<string, Pick<LockRoom, "ledger" | "changes">>();
  /** Those that do something just now. */
  readonly #busy = new Map<Client, Promise<void>>();

  constructor(options: CrowdOptions) {
    this.#options = options;
  }

  /** Makes all clients and connects them; resolves when each has its WELCOME. */
  async open(): Promise<void> {
    const { size, variant } = this.#options;
    const { lock_rooms_per_tenant: rooms, contenders_per_lock_room: each } = variant;
    for (const tenant_id of TENANTS) {
      for (let room = 0; room < rooms; room++) {
        const ledger = new LockLedger(tenant_id, `lock-${room}`);
        const changes = new RoomChanges(ledger.room_id);
        this.#lock_rooms.set(`${tenant_id}/${ledger.room_id}`, { ledger, changes });
        const contenders: Client[] = [];
        for (let index = 0; index < each; index++) {
          // Half of them are members: their lock falls when their Shield says that they left.
          const wish = { room_id: ledger.room_id, observer: index % 2 === 1 };
          contenders.push(await this.#add(tenant_id, [wish]));
        }
        const intruder = await this.#add(tenant_id, []);
        this.lock_rooms.push({ ledger, changes, contenders, intruder });
      }
    }
    while (this.clients.length < size) {
      await this.#add(TENANTS[this.clients.length % TENANTS.length] as string, []);
    }
    for (let at = 0; at < this.clients.length; at += OPENING) {
      const some = this.clients.slice(at, at + OPENING);
      await Promise.all(some.map((client) => client.open(this.#wishes.get(client) ?? [])));
    }
  }

  /** Some client is on its way to where it wants to be. */
  get busy(): boolean {
    return this.#busy.size > 0;
  }

  /** Every client as it stands. */
  attendees(): Attendee[] {
    return this.clients.map(({ options: { tenant_id, user_id }, record, stays }) => ({
      tenant_id,
      user_id,
      connection_id: record?.connection_id,
      stays: [...stays.values()].map(({ room_id, observer, meta, members, subscription }) => (
        { room_id, observer, meta, members, users: subscription.presence.users }
      )),
    }));
  }

  /** Lets clients do things of their own until aborted; resolves when each is where it wants to be. */
  async live(signal: AbortSignal): Promise<void> {
    const { variant, random } = this.#options;
    const contending = new Set(this.lock_rooms.flatMap(({ contenders }) => contenders));
    const others = this.clients.filter((client) => !contending.has(client));
    while (!signal.aborted && others.length > 0) {
      await pace(variant.churn_ms);
      const client = random.pick(others);
      if (this.#busy.has(client) || client.record === undefined) continue;
      const deed = this.#act(client).finally(() => this.#busy.delete(client));
      this.#busy.set(client, deed);
    }
    await Promise.all(this.#busy.values());
  }

  /** Asks Brains who is in each room, several times; what is wrong with an answer, if any. */
  async askBrains(): Promise<string[]> {
    const rolls = rollsOf(this.attendees());
    const problems: string[] = [];
    for (const [key, roll] of rolls) {
      const [tenant_id = "", room_id = ""] = key.split("/");
      const asker = this.clients.find(({ options }) => options.tenant_id === tenant_id);
      const room = await asker?.room(room_id);
      for (let count = 0; count < QUESTIONS && room !== undefined; count++) {
        try {
          const { users } = await room.count();
          const members = await Array.fromAsync(room.members());
          const list = new Map(members.map((member) => [member.connection_id, member]));
          const found = compareList(roll, list, users);
          if (found !== undefined) {
            problems.push(`a Brain's list of ${key}: ${JSON.stringify(found)}`);
          }
        } catch (error) {
          if (!(error instanceof ArqonError)) throw error;
          problems.push(`no Brain answered for ${key}: ${error.message}`);
        }
      }
    }
    return problems;
  }

  async close(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close()));
  }

  async #add(tenant_id: string, wishes: readonly Wish[]): Promise<Client> {
    const { size, urls, issuer, registry, random, onSurprise } = this.#options;
    const index = this.clients.length;
    const shares = wishes.length === 0 && index % TENTH === TENTH - 1;
    const before = this.clients.findLast(({ options }) => options.tenant_id === tenant_id);
    const user_id = shares && before !== undefined
      ? before.options.user_id
      : `${tenant_id}-u${index}`;
    const client: Client = new Client({
      tenant_id,
      user_id,
      url: urls[index % urls.length] as string,
      token: await issuer.tokenFor({ tenant_id, sub: user_id }),
      registry,
      onMessage: (room_id, message) => this.#hear(client, room_id, message),
      onSurprise,
    });
    const members = size / TENANTS.length * ROOMS_PER_CLIENT;
    const rooms = Math.max(ROOMS_PER_CLIENT, Math.round(members / MEMBERS_PER_ROOM));
    const chosen = new Map(wishes.map((wish) => [wish.room_id, wish]));
    while (chosen.size < ROOMS_PER_CLIENT + wishes.length) {
      const room_id = `room-${random.int(0, rooms - 1)}`;
      chosen.set(room_id, { room_id, observer: random.chance(1 / TENTH) });
    }
    this.#wishes.set(client, [...chosen.values()]);
    this.clients.push(client);
    return client;
  }

  #hear(client: Client, room_id: string, message: Message): void {
    const lock_room = this.#lock_rooms.get(`${client.options.tenant_id}/${room_id}`);
    if (lock_room === undefined) return;
    lock_room.changes.hear(client, message);
    if (message.type !== "ROOM_UPDATE") return;
    const event = message.json<RoomEvent>();
    // The SDK's own, where it has missed more than a room remembers; others have heard each.
    if (event.op !== "state") lock_room.ledger.add(event);
  }

  async #act(client: Client): Promise<void> {
    const { random } = this.#options;
    const wishes = this.#wishes.get(client) ?? [];
    const { room_id, observer } = random.pick(wishes);
    const deed = random.next();
    const away_ms = random.int(0, AWAY_MS);
    if (deed < RECONNECTS) {
      await client.close();
      await pace(away_ms);
      return await client.open(wishes);
    }
    if (deed < RECONNECTS + LEAVES) {
      client.leave(room_id);
      await pace(away_ms);
      return await client.enter(room_id, observer);
    }
    await client.change(room_id);
  }
}
