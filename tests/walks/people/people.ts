/**
 * A room of people on a walk: members with metadata, and observers. After a step, each of their lists, the Brains'
 * answers and the members' journal agree with the truth, and nobody was notified of a false leave; at the end the
 * received changes of the room, the contended locks and the calls of a hook for members are judged.
 */
import type { Member } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";
import { pace } from "../../../shared/testing/pace.ts";
import { becomes, insist, until } from "../../../shared/testing/until.ts";
import { SECRET } from "../../hooks/receiver.ts";
import { Player } from "../../membership/played.ts";
import type { Harm } from "../../model/fault_model.ts";
import type { Stage } from "../../model/stage.ts";
import type { TestBus } from "../../harness/test_bus.ts";
import { createRandom } from "../../../shared/testing/seeded.ts";
import { askForEvents, contend, intrude } from "./lock_contender.ts";
import { judgeLocks } from "./lock_judge.ts";
import { LockLedger } from "./lock_ledger.ts";
import { judgeCalls, lineOf } from "./member_calls.ts";
import { Person, ROOM } from "./person.ts";

/** The operations of a step. */
export type PeopleOp =
  | { readonly name: "join"; readonly side: number; readonly observer: boolean }
  /** A member changes its metadata; a member leaves. */
  | { readonly name: "change" | "part"; readonly pick: number }
  /** All contend for the room's lock, and one client writes without it. */
  | { readonly name: "contest"; readonly seed: number };

const PEOPLE_MAX = 8;
const BOUND_MS = 60_000;
/** Lease of a lock, and how long one is contended for. */
const LOCK_MS = 1_000;
const CONTEST_MS = 2_500;
const PAGE = 1_000;

/** The people of one room. */
export class People implements AsyncDisposable {
  readonly #stage: Stage;
  /** Where they connect: the Shields, the last one through a load balancer if there is one. */
  readonly #buses: readonly TestBus[];
  readonly #has_balancer: boolean;
  readonly #ledger: LockLedger;
  readonly #surprises: string[] = [];
  #people: Person[] = [];
  #users = 0;
  #has_hook = false;

  constructor(stage: Stage, buses: readonly TestBus[], has_balancer: boolean) {
    [this.#stage, this.#buses, this.#has_balancer] = [stage, buses, has_balancer];
    this.#ledger = new LockLedger(stage.tenant, ROOM);
  }

  async run(op: PeopleOp): Promise<void> {
    switch (op.name) {
      case "join":
        return await this.#join(op.side, op.observer);
      case "contest":
        return await this.#contest(op.seed);
      case "change":
        return await this.#members[op.pick % this.#members.length]?.change();
      case "part": {
        const one = this.#people[op.pick % this.#people.length];
        this.#people = this.#people.filter((other) => other !== one);
        return await one?.[Symbol.asyncDispose]();
      }
    }
  }

  get #members(): Person[] {
    return this.#people.filter(({ options }) => !options.observer);
  }

  async #join(side: number, observer: boolean): Promise<void> {
    if (this.#people.length === PEOPLE_MAX) return;
    await this.#setHook();
    const at = side % this.#buses.length;
    const person = await Person.open({
      bus: this.#buses[at]!,
      tenant: this.#stage.tenant,
      // Some have two connections.
      user_id: `person-${this.#users++ % 6}`,
      observer,
      moves: this.#has_balancer && at === this.#buses.length - 1,
      onChange: (event) => this.#ledger.add(event),
      onSurprise: (text) => void this.#surprises.push(text),
    });
    this.#people.push(person);
  }

  /** A hook for members, set before anybody joins. */
  async #setHook(): Promise<void> {
    const { admin, tenant, row, receiver } = this.#stage;
    if (this.#has_hook || row.hook === "no" || row.membership === "off") return;
    this.#has_hook = true;
    const events = ["member.joined", "member.left", "room.occupied", "room.vacated"];
    const hook = { url: receiver.url, room: ROOM, secret: SECRET, events };
    const path = `/v1/tenants/${tenant}/hooks/members`;
    const { status, body } = await admin.ask("PUT", path, hook);
    if (status !== 200) throw new Error(`the hook: ${status} ${JSON.stringify(body)}`);
    await until("the hook has begun", async () => (await admin.read(path)).hook?.since != null);
  }

  async #contest(seed: number): Promise<void> {
    const random = createRandom(seed);
    const ending = new AbortController();
    const more = {
      ledger: this.#ledger,
      ttl_ms: LOCK_MS,
      signal: ending.signal,
      onSurprise: (text: string) => void this.#surprises.push(text),
    };
    const [first, ...others] = this.#people;
    // If there is only one process, its clock is set, which leases depend on.
    if (first === undefined || !this.#has_balancer) return;
    const loops = [
      intrude({ ...more, client: first, random: random.fork(0) }),
      ...others.map((client, at) => contend({ ...more, client, random: random.fork(at + 1) })),
    ];
    await pace(CONTEST_MS);
    ending.abort();
    await Promise.all(loops);
  }

  /** The problems after a step. */
  async settle(harm: Harm): Promise<string[]> {
    if (harm.sets_clock === true || harm.steps_clock === true) this.#ledger.is_timed = false;
    if (this.#users === 0) return [];
    let wrong: string[] = [];
    await becomes(async () => {
      wrong = await this.#differences().catch((error) => [`nobody says who is there: ${error}`]);
      return wrong.length === 0;
    }, BOUND_MS);
    wrong.push(...this.#untrue(harm), ...this.#surprises.splice(0));
    for (const one of this.#people) [one.left, one.is_steady] = [[], true];
    return wrong;
  }

  async #differences(): Promise<string[]> {
    const roll = new Map<string, Person>();
    for (const one of this.#members) roll.set(one.connection_id ?? one.user_id, one);
    const users = new Set(this.#members.map(({ user_id }) => user_id)).size;
    const compare = (whose: string, list: readonly Member[], count: number) => {
      const isRight = ({ connection_id, user_id, meta }: Member) => {
        const one = roll.get(connection_id);
        return one?.user_id === user_id && JSON.stringify(meta) === JSON.stringify(one.meta);
      };
      if (list.length === roll.size && list.every(isRight) && count === users) return [];
      const say = (all: Iterable<string>) => [...all].toSorted().join(" ");
      const shown = say(list.map(({ connection_id }) => connection_id));
      return [`${whose} has ${shown} of ${count} users, there are ${say(roll.keys())} of ${users}`];
    };
    const wrong = this.#people.flatMap(({ user_id, presence: { presence } }) =>
      compare(`the list of ${user_id}`, [...presence.members.values()], presence.users)
    );
    const [asker] = this.#people;
    if (asker !== undefined && wrong.length === 0) {
      const { users: count } = await asker.room.count();
      const list = await Array.fromAsync(asker.room.members());
      wrong.push(...compare("a Brain's list", list, count));
    }
    return wrong.length > 0 ? wrong : await this.#journalProblems(roll);
  }

  async #journalProblems(roll: ReadonlyMap<string, Person>): Promise<string[]> {
    if (this.#stage.row.membership === "off") return [];
    const { inside, problems } = (await this.#journal()).played;
    const missing = [...roll.keys()].filter((id) => !inside.has(id)).length;
    const ghosts = [...inside.keys()].filter((id) => !roll.has(id)).length;
    return missing + ghosts === 0 ? [...problems] : [
      `the journal: ${missing} of ${roll.size} are not in it, ${ghosts} are in it and not there`,
    ];
  }

  async #journal() {
    const { backend } = this.#stage;
    const player = new Player();
    const lines: string[] = [];
    for (let after = 0, is_more = true; is_more;) {
      const path = `rooms/${ROOM}~members/messages?limit=${PAGE}&after=${after}`;
      const { status, body } = await backend.call("GET", path);
      if (status !== 200) throw new Error(`the journal: ${status}`);
      const { messages, more } = body.result ?? body;
      for (const { type, data } of messages) {
        player.take(type, JSON.stringify(data));
        if (type !== "present" && type !== "missed") lines.push(lineOf(type, data));
      }
      after = messages.at(-1)?.offset ?? after;
      is_more = more === true;
    }
    return { played: player.end(), lines };
  }

  /** Leaves of members that stayed. A Shield that is silent, or ends, may be considered dead. */
  #untrue({ cuts_clients, cuts_spine, kills_shield, moves }: Harm): string[] {
    const is_excused = cuts_spine === true || kills_shield === true;
    const steady = this.#members.filter((one) =>
      one.is_steady && !is_excused && (cuts_clients !== true || moves === true && one.options.moves)
    );
    return this.#people.flatMap(({ user_id, left }) =>
      steady.filter(({ connection_id = "" }) => left.includes(connection_id))
        .map((one) => `${user_id} was told that ${one.user_id} has left, which was there`)
    );
  }

  /** The problems at the end; then everybody leaves. */
  async end(): Promise<string[]> {
    const [asker] = this.#people;
    if (this.#users === 0) return [];
    const wrong: string[] = [];
    if (asker !== undefined) {
      await until("the room answers", () => askForEvents(asker, this.#ledger));
      wrong.push(...judgeLocks(this.#ledger).violations);
      const now = await insist("the room answers", () => roomState(asker.room).get());
      await becomes(() => this.#people.every(({ record }) => record.isAt(now)), BOUND_MS);
      wrong.push(...this.#people.flatMap(({ record }) => record.judge(now)));
    }
    await this[Symbol.asyncDispose]();
    wrong.push(...await this.settle({}));
    return [...wrong, ...await this.#callProblems()];
  }

  async #callProblems(): Promise<string[]> {
    if (!this.#has_hook) return [];
    const { receiver, tenant } = this.#stage;
    let wrong: string[] = [];
    await becomes(async () => {
      const { lines } = await this.#journal();
      const taken = receiver.taken.filter(({ body: { data } }) =>
        data.tenant === tenant && data.room === ROOM
      );
      wrong = judgeCalls(taken, new Map([[`${tenant}/${ROOM}`, lines]]));
      return wrong.length === 0;
    }, BOUND_MS);
    return wrong;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = this.#people;
    this.#people = [];
    for (const one of all) await one[Symbol.asyncDispose]();
  }
}
