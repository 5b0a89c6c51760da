/**
 * The clients of the script and what they live: they publish, come, go, subscribe and leave in rooms of every
 * kind, in two tenants whose users have the same names; an operator kicks and bans them; some do not read
 * for a while.
 */
import { pace } from "../../shared/testing/pace.ts";
import { startPausingProxy } from "../harness/pausing_proxy.ts";
import type { PausingProxy } from "../harness/pausing_proxy.ts";
import type { Random } from "../presence_simulation/random.ts";
import type { Hit, Known } from "./known.ts";
import { Member } from "./member.ts";

/** What a crowd needs. */
export interface CrowdOptions {
  readonly known: Known;
  readonly random: Random;
  /** Users of each tenant. */
  readonly users: number;
  /** Between two things that one client does. */
  readonly idle_ms: readonly [low: number, high: number];
  /** Between two kicks or bans. */
  readonly hit_ms: number;
  /** Between two times that the slow ones do not read. */
  readonly slow_ms: number;
  /** `ws://…` of the balancers. */
  readonly urls: readonly string[];
  /** Port of a Shield that is there, to which a slow client has a way of its own. */
  readonly shieldPort: () => number | undefined;
  readonly tokenFor: (claims: Record<string, unknown>) => Promise<string>;
  /** `POST` to the admin API; false: nobody did it. */
  readonly order: (path: string, body: object) => Promise<boolean>;
}

/** The tenants. */
export const TENANTS = ["acme", "beta"] as const;
const ROOMS = ["hall-0", "hall-1", "guard-0", "log-0"] as const;
/** Rooms that leave out what slow readers do not read. */
const LEAVING = ["drop-0", "latest-0"] as const;
const KEYS = 4;
const CLIENTS_OF_A_USER = 2;
/** What a slow one does not read: more than the kernel and a proxy take. */
const BURST = 260;
const BODY = "x".repeat(60_000);
const BAN_MS = 2_000;

/** All of them. */
export class Crowd implements AsyncDisposable {
  readonly #options: CrowdOptions;
  readonly #members: Member[] = [];
  /** Of each tenant, in the order of `TENANTS`: who does not read at times, and who says so much then. */
  readonly #slow: { readonly snail: Member; readonly crier: Member }[] = [];
  readonly #proxies: PausingProxy[] = [];
  /** Kicks and bans that were carried out. */
  hits = 0;

  private constructor(options: CrowdOptions) {
    this.#options = options;
  }

  /** Everybody begins to connect. */
  static async open(options: CrowdOptions): Promise<Crowd> {
    const crowd = new Crowd(options);
    for (const [at, tenant_id] of TENANTS.entries()) {
      for (let user = 0; user < options.users; user++) {
        for (let client = 0; client < CLIENTS_OF_A_USER; client++) {
          crowd.#members.push(await crowd.#member(tenant_id, `user-${user}`));
        }
      }
      const snail = await crowd.#member(tenant_id, "snail", () => crowd.#slowUrl(at));
      crowd.#slow.push({ snail, crier: await crowd.#member(tenant_id, "crier") });
    }
    return crowd;
  }

  /** Everybody who may be asked about. */
  get users(): { readonly tenant_id: string; readonly user_id: string }[] {
    return [...this.#members, ...this.#slow.map(({ snail }) => snail)];
  }

  /** Everybody lives until the signal says otherwise. */
  async live(signal: AbortSignal): Promise<void> {
    await Promise.all([
      ...this.#members.map((member, at) =>
        this.#life(member, this.#options.random.fork(at), signal)
      ),
      ...this.#slow.map((pair, at) => this.#slowness(pair, at, signal)),
      this.#hits(signal),
    ]);
  }

  async #member(tenant_id: string, user_id: string, url?: () => string | undefined) {
    const { known, urls, tokenFor } = this.#options;
    const token = await tokenFor({ tenant_id, sub: user_id });
    let turn = this.#members.length;
    const next = () => urls[turn++ % urls.length];
    return new Member({ known, tenant_id, user_id, token, url: url ?? next });
  }

  /** A way of its own for a slow one: each connection has a proxy. */
  #slowUrl(at: number): string | undefined {
    const port = this.#options.shieldPort();
    if (port === undefined) return undefined;
    const before = this.#proxies[at];
    const proxy = this.#proxies[at] = startPausingProxy(port);
    void before?.[Symbol.asyncDispose]();
    return `ws://127.0.0.1:${proxy.port}`;
  }

  async #life(member: Member, random: Random, signal: AbortSignal): Promise<void> {
    const { idle_ms } = this.#options;
    while (!signal.aborted) {
      await pace(random.int(...idle_ms));
      if (member.sitting === undefined) continue;
      const room = random.pick(ROOMS);
      const action = random.next();
      if (action < 0.62) await this.#publish(member, room, random);
      else if (action < 0.82) await member.subscribe(room, random.chance(0.3));
      else if (action < 0.95) await member.unsubscribe(room);
      else if (action < 0.98) member.leave();
    }
  }

  async #publish(member: Member, room: string, random: Random): Promise<void> {
    const text = room.startsWith("guard") && random.chance(0.3) ? "malware" : "all is well";
    await member.publish(room, { text }, "", random.chance(0.05) ? 2 : 1);
  }

  /** The snail hears both rooms, does not read for a while, and reads on. */
  async #slowness(
    { snail, crier }: { readonly snail: Member; readonly crier: Member },
    at: number,
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      await pace(this.#options.slow_ms);
      for (const room of LEAVING) await snail.subscribe(room, false);
      for (let step = 0; step < KEYS; step++) {
        for (const room of LEAVING) await crier.publish(room, step, `${step}`);
      }
      this.#proxies[at]?.pause();
      for (let step = 0; step < BURST && !signal.aborted; step++) {
        await crier.publish(LEAVING[step % 2]!, BODY, String(step % KEYS));
      }
      this.#proxies[at]?.resume();
    }
  }

  async #hits(signal: AbortSignal): Promise<void> {
    const { random, hit_ms, known, order } = this.#options;
    for (let turn = 0; !signal.aborted; turn++) {
      await pace(hit_ms);
      const member = random.pick(this.#members);
      const { tenant_id, user_id } = member;
      const kind: Hit["kind"] = turn % 5 === 4 ? "ban" : turn % 5 === 2 ? "room-ban" : "kick";
      const there = ROOMS.filter((one) => member.stay(one)?.acked_ms !== undefined);
      const room = random.pick(there.length === 0 ? ROOMS : there);
      known.hits.push({
        ...{ kind, tenant_id, user_id, asked_ms: Date.now() },
        room_id: kind === "ban" ? "" : room,
      });
      const scope = kind === "ban" ? "tenant" : "room";
      const ban = kind === "kick" ? {} : { scope, ttl_ms: BAN_MS };
      const path = `/v1/rooms/${tenant_id}/${room}/${kind === "kick" ? "kick" : "ban"}`;
      if (await order(path, { user_id, ...ban })) this.hits++;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const proxy of this.#proxies) proxy.resume();
    const pairs = this.#slow.flatMap(({ snail, crier }) => [snail, crier]);
    await Promise.all([...this.#members, ...pairs].map((member) => member.close()));
    await Promise.all(this.#proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
  }
}
