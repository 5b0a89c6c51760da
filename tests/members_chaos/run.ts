/**
 * The script: rounds of faults under a crowd, and after each a quiet point at which the journals of members are
 * who is there; a receiver of hooks that is down for a while; a restart of everything one after the other, by
 * which nobody leaves; and in the end everybody goes.
 */
import { connect } from "../../sdk/typescript/mod.ts";
import type { Connection } from "../../sdk/typescript/mod.ts";
import { readEntry } from "../../shared/membership/entry.ts";
import type { MembershipChange } from "../../shared/membership/entry.ts";
import { pace } from "../../shared/testing/pace.ts";
import { becomes, until } from "../../shared/testing/until.ts";
import { Crowd } from "../chaos/crowd.ts";
import { BRAINS, startFleet, targetsOf } from "../chaos/fleet.ts";
import type { ChaosFleet } from "../chaos/fleet.ts";
import { describeLeaderless } from "../chaos/leader_record.ts";
import { difference, played } from "../chaos/members_judge.ts";
import { Registry, stayKey } from "../chaos/registry.ts";
import { rollsOf } from "../chaos/roster.ts";
import type { Roll } from "../chaos/roster.ts";
import { planFaults } from "../chaos/script.ts";
import { settle } from "../chaos/settle.ts";
import type { Variant } from "../chaos/variant.ts";
import type { Fault } from "../faults/fault.ts";
import type { Say } from "../harness/task.ts";
import type { Verdict } from "../harness/verdict.ts";
import { Receiver, SECRET } from "../hooks/receiver.ts";
import type { Played } from "../membership/played.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { createRandom } from "../presence_simulation/random.ts";
import { judgeCalls, lineOf } from "./judge.ts";
import { lackingOf, lostIn } from "./stays.ts";
import type { Blow, Lacking, Written } from "./stays.ts";

/** What is to be done. */
export interface MembersPlan {
  readonly variant: Variant;
  /** How long faults go on, over all rounds. */
  readonly seconds: number;
  readonly rounds: number;
  readonly clients: number;
  /** How long the receiver of hooks is down, in the middle. */
  readonly down_seconds: number;
  readonly seed: number;
}

/** What was found. */
export interface MembersVerdict extends Verdict {
  readonly report: readonly string[];
}

interface Journal {
  readonly played: Played;
  /** Its changes, without lists. */
  readonly lines: readonly string[];
  readonly changes: readonly MembershipChange[];
}

const TENANTS = ["acme", "zeta"];
const PROBLEMS_MAX = 40;

const hooksOf = (url: string) =>
  `
[webhooks]
private_hosts = ["127.0.0.1"]
` + TENANTS.map((tenant) => `
[[hooks]]
id = "members"
tenant = "${tenant}"
url = "${url}"
events = ["member.joined", "member.left", "room.occupied", "room.vacated"]
secret = "${SECRET}"
in_flight = 32
backoff_max_ms = 2_000
`).join("");

/** Everything that a run has in its hands. */
class Run {
  readonly #plan: MembersPlan;
  readonly #fleet: ChaosFleet;
  readonly #say: Say;
  readonly crowd: Crowd;
  readonly registry: Registry;
  readonly receiver: Receiver;
  readonly problems: string[] = [];
  readonly #readers = new Map<string, Connection>();
  #journals = new Map<string, Journal>();
  /** When each quiet point was over. */
  readonly quiets_ms: number[] = [];
  late_ms = 0;
  /** Connections that were kept over the restarts. */
  moved = "";

  constructor(
    plan: MembersPlan,
    fleet: ChaosFleet,
    parts: Pick<Run, "crowd" | "registry" | "receiver">,
    say: Say,
  ) {
    [this.#plan, this.#fleet, this.#say] = [plan, fleet, say];
    [this.crowd, this.registry, this.receiver] = [parts.crowd, parts.registry, parts.receiver];
  }

  get journals(): ReadonlyMap<string, Journal> {
    return this.#journals;
  }

  /** Waits for hooks that have begun, so that they hear of everybody; then everybody comes. */
  async open(): Promise<void> {
    const { urls, bus } = this.#fleet;
    const peer = async (tenant_id: string) =>
      new HttpPeer(
        bus.adminUrl("shield-0") ?? "",
        await bus.issuer.tokenFor({ tenant_id, role: "admin" }),
      );
    for (const tenant of TENANTS) {
      const admin = await peer(tenant);
      const begun = async () =>
        (await admin.call("GET", `tenants/${tenant}/hooks/members`)).body.hook?.since != null;
      await until(`the hook of ${tenant} has begun`, begun);
      const token = await bus.issuer.tokenFor({ tenant_id: tenant, sub: "reader" });
      this.#readers.set(tenant, await connect({ url: urls[0] ?? "", token }));
    }
    await this.crowd.open();
  }

  async #readAll(rolls: ReadonlyMap<string, Roll>): Promise<Map<string, Journal>> {
    const journals = new Map<string, Journal>();
    for (const key of rolls.keys()) {
      const [tenant_id = "", room_id = ""] = key.split("/");
      const lines: string[] = [];
      const changes: MembershipChange[] = [];
      const room = this.#readers.get(tenant_id)?.room(`${room_id}~members`);
      if (room === undefined) throw new TypeError(`nobody reads ${key}`);
      const journal = await played(room, (type, json) => {
        const entry = readEntry(type, json);
        if (entry === undefined || entry.type === "present" || entry.type === "missed") return;
        changes.push(entry);
        lines.push(lineOf(type, entry.data));
      });
      journals.set(key, { played: journal, lines, changes });
    }
    return journals;
  }

  /** Waits until the journals are who is there; what is wrong after `bound_ms` is a problem. */
  async compare(when: string, rolls: ReadonlyMap<string, Roll>): Promise<void> {
    const began_ms = performance.now();
    let wrong: string[] = [];
    await becomes(async () => {
      try {
        this.#journals = await this.#readAll(rolls);
        wrong = [...this.#journals].flatMap(([key, { played }]) => {
          const different = difference(played, rolls.get(key) ?? new Map());
          return different === undefined ? [] : [`${when}: the journal of ${key}: ${different}`];
        });
      } catch (error) {
        wrong = [`${when}: a journal cannot be read: ${error}`];
      }
      return wrong.length === 0;
    }, this.#plan.variant.bound_ms);
    this.late_ms = Math.max(this.late_ms, performance.now() - began_ms);
    this.problems.push(...wrong);
    for (const [key, { played: { problems } }] of this.#journals) {
      this.problems.push(...problems.map((text) => `${when}: the journal of ${key}: ${text}`));
    }
    this.quiets_ms.push(performance.now());
    const entries = [...this.#journals.values()].reduce((sum, { lines }) => sum + lines.length, 0);
    this.#say(`${when}: ${this.#journals.size} journals of ${entries} changes compared`);
  }

  /** Everybody is where he wants to be, and the journals say so. */
  async settle(when: string): Promise<void> {
    const { problems } = await settle(this, this.#plan.variant);
    this.problems.push(...problems.map((text) => `${when}: ${text}`));
    await this.compare(when, rollsOf(this.crowd.attendees()));
  }

  async suffer(faults: readonly Fault[]): Promise<void> {
    const living = new AbortController();
    const life = this.crowd.live(living.signal);
    try {
      await this.#fleet.bus.suffer(faults);
    } finally {
      living.abort();
      await life;
    }
  }

  /** The connections that are open. */
  #open(): Set<string> {
    return new Set(this.crowd.attendees().flatMap(({ connection_id }) => connection_id ?? []));
  }

  /**
   * Everything is restarted, one after the other, and nobody leaves. With the short times a client may be too
   * slow to move: it has another connection then, as it knows itself.
   */
  async restart(): Promise<void> {
    const before = this.#journals;
    const open = this.#open();
    for (const target of targetsOf(3).processes) {
      await this.#fleet.bus.suffer([{ at_ms: 0, target, kind: "restart", away_ms: 500 }]);
      const { problems } = await settle(this, this.#plan.variant);
      this.problems.push(...problems.map((text) => `${target} was restarted: ${text}`));
    }
    await this.compare("after the restarts", rollsOf(this.crowd.attendees()));
    const kept = open.intersection(this.#open());
    this.moved = `${kept.size} of ${open.size}`;
    for (const [key, { lines }] of this.#journals) {
      const news = lines.slice(before.get(key)?.lines.length ?? 0);
      const excused = this.#plan.variant.name === "short";
      const wrong = news.filter((line) => !excused || kept.has(line.split(" ")[2] ?? ""));
      if (wrong.length > 0) this.problems.push(`${key}, in a rolling restart: ${wrong.join("; ")}`);
    }
  }

  /** Everybody goes, and the receiver has been called for all of it. */
  async end(): Promise<void> {
    const rooms = [...rollsOf(this.crowd.attendees()).keys()];
    await this.crowd.close();
    const empty = new Map<string, Roll>(rooms.map((key) => [key, new Map()]));
    await this.compare("when all have gone", empty);
    let wrong: string[] = [];
    await becomes(async () => {
      // A room is empty with its last `left`; its `vacated` is written after that.
      this.#journals = await this.#readAll(empty);
      const changes = new Map([...this.#journals].map(([key, { lines }]) => [key, lines]));
      wrong = judgeCalls(this.receiver.taken, changes);
      return wrong.length === 0;
    }, this.#plan.variant.bound_ms);
    this.problems.push(...wrong.slice(0, PROBLEMS_MAX), ...this.receiver.problems.map(String));
  }

  async close(): Promise<void> {
    await this.crowd.close();
    for (const reader of this.#readers.values()) await reader.close();
  }
}

async function perform(run: Run, plan: MembersPlan, say: Say): Promise<number> {
  const { seconds, rounds, down_seconds, seed, variant } = plan;
  const random = createRandom(seed);
  await run.open();
  await run.settle("before any fault");
  let down: Promise<void> = Promise.resolve();
  let faults = 0;
  for (let round = 1; round <= rounds && run.problems.length === 0; round++) {
    if (round === Math.ceil(rounds / 2)) {
      await run.receiver.stop();
      say(`the receiver is down for ${down_seconds} s`);
      down = pace(1_000 * down_seconds).then(() => {
        run.receiver.start();
        say("the receiver is back");
      });
    }
    const own = planFaults(1_000 * seconds / rounds, targetsOf(3), variant, random.fork(round));
    faults += own.length;
    await run.suffer(own);
    await run.settle(`quiet point ${round}`);
  }
  await down;
  await run.restart();
  await run.end();
  return faults;
}

/** What stands in the journals, by the run's clock. */
function writtenIn(journals: ReadonlyMap<string, Journal>): Written {
  const joined = new Set<string>();
  const times_ms = new Map<string, number[]>();
  for (const [room, { changes }] of journals) {
    const own = changes.map(({ data }) => data.at_ms - performance.timeOrigin);
    times_ms.set(room, own.toSorted((one, other) => one - other));
    for (const { type, data } of changes) {
      if (type === "joined") joined.add(stayKey({ room, ...data }));
    }
  }
  return { joined, times_ms };
}

const missedIn = (journals: ReadonlyMap<string, Journal>) =>
  [...journals.values()].reduce((sum, { played: { missed } }) => sum + missed, 0);

/** With the times of the first one as the story of the run has them. */
function describe({ why, stays, times_ms }: Lacking, began_ms: number): string {
  const [told, ended, blow] = times_ms.map((ms) =>
    ms === undefined ? "never" : `${((ms - began_ms) / 1_000).toFixed(1)} s`
  );
  return `${stays.length} ${why}; the first came at ${told}, went at ${ended}, its Shield at ${blow}`;
}

function reportOf(
  { journals, receiver, quiets_ms, late_ms, registry, moved }: Run,
  faults: number,
  lacking: readonly Lacking[],
  began_ms: number,
): string[] {
  const all = [...journals.values()].map(({ played }) => played);
  const causes = Map.groupBy(all.flatMap(({ causes }) => causes), (cause) => cause);
  const why = [...causes].toSorted().map(([cause, { length }]) => `${cause} ${length}`).join(", ");
  const entries = all.reduce((sum, { entries }) => sum + entries, 0);
  const missed = missedIn(journals);
  const none = lacking.reduce((sum, { stays }) => sum + stays.length, 0);
  const ids = new Set(receiver.taken.map(({ id }) => id));
  return [
    `faults    ${faults}, on ${registry.size} connections`,
    `journals  ${entries} changes of ${journals.size} rooms, compared at ${quiets_ms.length} quiet points; ` +
    `the last one right after ${(late_ms / 1_000).toFixed(1)} s at most`,
    `left      ${why}`,
    `stays     ${registry.told.length} of which the member was told: ${none} are in no journal, ` +
    `${missed} are told as missed`,
    ...lacking.map((one) => `          ${describe(one, began_ms)}`),
    `restart   ${moved} connections were kept`,
    `hooks     ${ids.size} events taken, ${receiver.taken.length - ids.size} of them again`,
  ];
}

/** Runs it all. Rejects only when the cluster does not start or start again. */
export async function runMembers(plan: MembersPlan, say: Say): Promise<MembersVerdict> {
  const { variant, seed, clients: size } = plan;
  const dir = await Deno.makeTempDir({ prefix: "arqon-members-" });
  const random = createRandom(seed).fork(0);
  const registry = new Registry(undefined, () => performance.now());
  await using receiver = new Receiver();
  const surprises: string[] = [];
  const blows: Blow[] = [];
  const onSurprise = (text: string) => void surprises.push(text);
  const began_ms = performance.now();
  await using fleet = await startFleet({
    ...{ variant, servers: 3, shield_lines: "", dir, say, onSurprise },
    tables: hooksOf(receiver.url),
    now: () => performance.now() - began_ms,
    onFault: ({ target, kind }) =>
      blows.push({ target, kind, from_ms: registry.now(), to_ms: Infinity }),
    onBack: ({ target }) => {
      const blow = blows.findLast((one) => one.target === target);
      if (blow !== undefined) blow.to_ms = registry.now();
    },
  });
  const { urls, bus: { issuer } } = fleet;
  const crowd = new Crowd({ size, variant, urls, issuer, registry, random, onSurprise });
  const run = new Run(plan, fleet, { crowd, registry, receiver }, say);
  try {
    const faults = await perform(run, plan, say);
    const lacking = lackingOf(registry.told, writtenIn(run.journals), {
      blows,
      brains: BRAINS,
      quiets_ms: run.quiets_ms,
    });
    const problems = [
      ...run.problems,
      ...surprises,
      ...fleet.bus.bugs(),
      ...lostIn(lacking, missedIn(run.journals)),
    ];
    const undecided = problems.length === 0 ? [] : fleet.leaders.lasting().map(describeLeaderless);
    return { problems, undecided, seed, dir, report: reportOf(run, faults, lacking, began_ms) };
  } finally {
    await run.close();
  }
}
