/**
 * A client process of a soak run: thousands of connections in rooms of a few, of which one sends at a
 * steady rate and everyone's deliveries are checked. Told what to do by `run.ts`, line by line.
 */
import { pace } from "../../shared/testing/pace.ts";
import { becomes } from "../../shared/testing/until.ts";
import { say, words } from "../load/crew.ts";
import { Latencies } from "../../bench/measure/histogram.ts";
import { Member } from "./member.ts";
import { byKind, KINDS } from "./plan.ts";
import type { ClientPlan, Done, Ready, Report, RoomKind, Word } from "./plan.ts";
import { addFaults, noFaults, RoomCheck } from "./room_check.ts";

/** Connections that are opened at a time. */
const OPENING = 32;
const TICK_MS = 5;
/** After the last message everything has to have come within this. */
const SETTLE_MS = 60_000;
const FINDINGS_MAX = 40;

/** Everything in this process. */
class Clients {
  readonly #plan: ClientPlan;
  readonly #checks: RoomCheck[] = [];
  readonly #members: Member[] = [];
  readonly #senders: Member[] = [];
  readonly #people: { readonly member: Member; readonly check: RoomCheck; size: number }[] = [];
  readonly #findings: string[] = [];
  readonly #latencies = byKind(() => new Latencies());
  #reported = { sent: 0, received: 0 };
  #visits = 0;
  #visiting = 0;
  #tokens = 0;

  constructor(plan: ClientPlan) {
    this.#plan = plan;
    for (const { tenant_id, room_id, kind, members } of plan.rooms) {
      const check = new RoomCheck(tenant_id, room_id, members);
      this.#checks.push(check);
      for (let hearer = 0; hearer < members; hearer++) {
        const member = this.#member(check, hearer, kind);
        this.#members.push(member);
        if (hearer === 0) this.#senders.push(member);
        if (kind === "people") this.#people.push({ member, check, size: members });
      }
    }
  }

  async open(): Promise<void> {
    const all = this.#members.values();
    await Promise.all(Array.from({ length: OPENING }, async () => {
      for (const member of all) await member.open();
    }));
  }

  /** Sends until the signal, open loop: whatever is due goes, however late what was before is. */
  async run(signal: AbortSignal): Promise<void> {
    const { rate, visits } = this.#plan;
    const began_ms = performance.now();
    let [sent, visited] = [0, 0];
    while (!signal.aborted) {
      const seconds = (performance.now() - began_ms) / 1_000;
      for (; sent < seconds * rate; sent++) this.#senders[sent % this.#senders.length]!.send();
      for (; visited < seconds * visits; visited++) void this.#visit(visited);
      await pace(TICK_MS);
    }
  }

  report(): Report {
    const [sent, received] = [this.#sum("sent"), this.#sum("received")];
    const latencies = byKind((kind) => this.#latencies[kind].encode());
    const since = {
      sent: sent - this.#reported.sent,
      received: received - this.#reported.received,
    };
    for (const kind of KINDS) this.#latencies[kind].reset();
    this.#reported = { sent, received };
    return { kind: "report", ...since, latencies };
  }

  /** Waits until everything has come, or long enough; then judges. */
  async finish(): Promise<Done> {
    const strange = () => this.#people.filter(({ member, size }) => member.connections !== size);
    const isDone = () =>
      this.#visiting === 0 && strange().length === 0 &&
      this.#checks.every(({ outstanding }) => outstanding <= 0);
    await becomes(isDone, SETTLE_MS);
    for (const { member, check, size } of strange()) {
      const where = `${check.tenant_id}/${check.room_id}`;
      this.#find(
        `${where}: a member was told of ${member.connections} connections; ${size} are there`,
      );
    }
    const faults = noFaults();
    const refusals = new Map<string, number>();
    for (const check of this.#checks) {
      addFaults(faults, check.finish());
      for (const [why, count] of check.refusals) {
        refusals.set(why, (refusals.get(why) ?? 0) + count);
      }
    }
    const presence = this.#members.reduce((sum, member) => sum + member.presence, 0);
    return {
      kind: "done",
      sent: this.#sum("sent"),
      received: this.#sum("received"),
      presence,
      visits: this.#visits,
      refusals: [...refusals],
      faults,
      findings: this.#findings,
    };
  }

  close(): void {
    for (const member of this.#members) member.close();
  }

  /** Somebody comes into a room with presence, and goes. */
  async #visit(index: number): Promise<void> {
    const room = this.#people[index % Math.max(1, this.#people.length)];
    if (room === undefined) return;
    const { tenant_id, room_id } = room.check;
    this.#visiting++;
    // A checker of its own: it hears from somewhere in the middle.
    const visitor = this.#member(new RoomCheck(tenant_id, room_id, 1), 0, "people", () => {});
    try {
      await visitor.open();
      this.#visits++;
    } catch (error) {
      this.#find(`a visitor of ${tenant_id}/${room_id}: ${error}`);
    } finally {
      visitor.close();
      this.#visiting--;
    }
  }

  #member(
    check: RoomCheck,
    hearer: number,
    kind: RoomKind,
    onLatency = (latency_ms: number) => this.#latencies[kind].add(latency_ms),
  ): Member {
    const { hostname, port, tokens, local_address } = this.#plan;
    const own = tokens[check.tenant_id] ?? [];
    const token = own[this.#tokens++ % own.length] ?? "";
    const onFinding = (text: string) => this.#find(text);
    const where = { hostname, port, token, local_address };
    return new Member({ ...where, kind, check, hearer, onLatency, onFinding });
  }

  #find(text: string): void {
    if (this.#findings.length < FINDINGS_MAX) this.#findings.push(text);
  }

  #sum(of: "sent" | "received"): number {
    return this.#checks.reduce((sum, check) => sum + check[of], 0);
  }
}

async function main(): Promise<void> {
  const told = words();
  const next = async () => (await told.next()).value;
  const plan = await next() as ClientPlan;
  const clients = new Clients(plan);
  await clients.open();
  say<Ready>({ kind: "ready" });
  const until = async (word: Word["word"]) => {
    const heard = await next() as Word | undefined;
    if (heard?.word !== word) throw new Error(`told ${JSON.stringify(heard)}, expected ${word}`);
  };
  await until("go");
  const sending = new AbortController();
  const running = clients.run(sending.signal);
  const reports = setInterval(() => say(clients.report()), plan.report_ms);
  await until("stop");
  sending.abort();
  await running;
  clearInterval(reports);
  const done = await clients.finish();
  say(clients.report());
  clients.close();
  say(done);
}

if (import.meta.main) {
  await main();
  Deno.exit(0);
}
