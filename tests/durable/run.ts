/**
 * One durable run from its start to its verdict: a cluster, publishers and readers, faults, quiet, and
 * what the checker says of the recording. `main.ts` and the test call it.
 */
import { LOG_DEDUPLICATION_MS } from "../../shared/spine/contract/durable_log.ts";
import { pace } from "../../shared/testing/pace.ts";
import { becomes } from "../../shared/testing/until.ts";
import { createRandom } from "../presence_simulation/random.ts";
import type { Random } from "../presence_simulation/random.ts";
import { check } from "./checker.ts";
import { ROOM_PREFIX, startFleet } from "./fleet.ts";
import type { DurableFleet } from "./fleet.ts";
import { readHead, recordLog } from "./log_reader.ts";
import { Publisher } from "./publisher.ts";
import { RawReader } from "./raw_reader.ts";
import { Reader } from "./reader.ts";
import type { ReaderOptions, Standing } from "./reader.ts";
import { Recorder } from "./recording.ts";
import type { Recording } from "./recording.ts";
import { reportOf } from "./report.ts";
import { planFaults } from "./script.ts";
import type { Variant } from "./variant.ts";

/** What to do. */
export interface Plan {
  readonly variant: Variant;
  /** How long faults go on. */
  readonly seconds: number;
  /** Messages a second over all rooms. */
  readonly rate: number;
  readonly rooms: number;
  readonly seed: number;
  /** Hears the progress, line by line. */
  readonly say: (line: string) => void;
}

/** What came of it. */
export interface Outcome {
  /** Empty: the run has passed. */
  readonly violations: readonly string[];
  /** The final report, without the violations. */
  readonly report: readonly string[];
  readonly recording: Recording;
  /** Where the logs of all processes are. */
  readonly dir: string;
}

const TENANT = "acme";
const PROGRESS_MS = 5_000;
const LINES_MAX = 40;
/** The checker is told the bus's own window. */
const CHECK = { deduplication_ms: LOG_DEDUPLICATION_MS };

/** Everybody who publishes and reads. */
class Crowd {
  readonly publishers: readonly Publisher[];
  readonly steady: readonly Reader[];
  readonly roaming: readonly Reader[];
  readonly raw: readonly RawReader[];

  constructor(
    plan: Plan,
    fleet: DurableFleet,
    token: string,
    rooms: readonly string[],
    shared: Pick<ReaderOptions, "recorder" | "onSurprise">,
  ) {
    const random = createRandom(plan.seed).fork(1);
    let count = 0;
    const url = () => `ws://${fleet.bus.hosts[count++ % fleet.bus.hosts.length]}`;
    const own = (name: string) => ({ name, url: url(), token, random: random.fork(count) });
    const half = (of: 0 | 1) => rooms.filter((_, index) => index % 2 === of);
    const halves = [half(0), half(1)];
    const now = () => performance.now();
    const rate = plan.rate / plan.variant.publishers;
    this.publishers = Array.from({ length: plan.variant.publishers }, (_, index) => (
      new Publisher({ ...shared, ...own(`publisher${index}`), rooms, rate, now })
    ));
    const readers = (kind: string) =>
      halves.map((part, index) =>
        new Reader({ ...shared, ...own(`${kind}${index}`), rooms: part })
      );
    this.steady = readers("steady");
    this.roaming = readers("roaming");
    this.raw = halves.map((part, index) => {
      const subprotocol = index === 0 ? "arqon.v1" as const : "arqon.v1.json" as const;
      return new RawReader({ ...shared, ...own(`raw${index}`), rooms: part, subprotocol });
    });
  }

  get readers(): readonly Standing[] {
    return [...this.steady, ...this.roaming, ...this.raw];
  }

  async open(): Promise<void> {
    const everybody = [...this.publishers, ...this.steady, ...this.roaming, ...this.raw];
    await Promise.all(everybody.map((client) => client.open()));
  }

  async close(): Promise<void> {
    const everybody = [...this.publishers, ...this.steady, ...this.roaming, ...this.raw];
    await Promise.all(everybody.map((client) => client.close()));
  }

  standing(): string {
    const made = this.publishers.map(({ ack_times_ms }) => ack_times_ms.length);
    return `${made.reduce((one, other) => one + other)} messages acknowledged`;
  }
}

/** Publishes and reads while the faults last, and until the fate of every message is known. */
async function suffer(
  plan: Plan,
  fleet: DurableFleet,
  crowd: Crowd,
  random: Random,
): Promise<number> {
  const { variant, seconds, say } = plan;
  const [living, roaming] = [new AbortController(), new AbortController()];
  const publishing = crowd.publishers.map((publisher) => publisher.run(living.signal));
  const lives = crowd.roaming.map((reader) => reader.roam(roaming.signal, variant.roam_ms));
  const progress = setInterval(() => {
    say(crowd.standing());
    void fleet.look();
  }, PROGRESS_MS);
  const faults = planFaults(seconds * 1_000, variant, random);
  try {
    await fleet.bus.suffer(faults);
    say(`the faults are over: ${crowd.standing()}`);
    await pace(variant.quiet_ms);
  } finally {
    living.abort();
    roaming.abort();
    for (const reader of crowd.raw) reader.settle();
    await Promise.all([...publishing, ...lives]);
    clearInterval(progress);
  }
  return faults.length;
}

/** Who is not at the end of a room; empty: everybody is. */
function behind(readers: readonly Standing[], heads: ReadonlyMap<string, number>): string[] {
  return readers.flatMap((reader) =>
    reader.rooms.flatMap((room_id) => {
      const [offset, head = 0] = [reader.offsetOf(room_id), heads.get(room_id)];
      const where = `${reader.name} is at ${offset} of ${room_id}, which ends at ${head}`;
      return offset !== undefined && offset >= head ? [] : [where];
    })
  );
}

async function perform(
  plan: Plan,
  fleet: DurableFleet,
  recorder: Recorder,
  surprises: readonly string[],
  onSurprise: (text: string) => void,
): Promise<Omit<Outcome, "dir">> {
  const { variant, say } = plan;
  const token = await fleet.bus.issuer.tokenFor({ tenant_id: TENANT, role: "service" });
  const rooms = Array.from({ length: plan.rooms }, (_, index) => `${ROOM_PREFIX}${index}`);
  const crowd = new Crowd(plan, fleet, token, rooms, { recorder, onSurprise });
  const log = { http_url: `http://${fleet.bus.hosts[0]}`, token };
  try {
    await crowd.open();
    say("everybody is subscribed; the faults begin");
    const began_ms = performance.now();
    const faults = await suffer(plan, fleet, crowd, createRandom(plan.seed).fork(2));
    const published_ms = performance.now() - began_ms;
    const heads = new Map(
      await Promise.all(rooms.map(async (room) => [room, await readHead(log, room)] as const)),
    );
    const settling_ms = performance.now();
    await becomes(() => behind(crowd.readers, heads).length === 0, variant.bound_ms);
    const settled_ms = performance.now() - settling_ms;
    const late = behind(crowd.readers, heads);
    say(`${late.length} readings are not at the end; reading the log`);
    for (const room of rooms) await recordLog(log, room, recorder, "history");
    await fleet.look();
    const recording = recorder.recording();
    const verdict = check(recording, CHECK);
    const { losses } = verdict.figures;
    const times = { published_ms, settled_ms };
    return {
      violations: [
        ...late.slice(0, LINES_MAX),
        ...verdict.findings.slice(0, LINES_MAX).map(({ kind, room_id, text }) =>
          `${kind} in ${room_id}: ${text}`
        ),
        ...(losses.size > 0
          ? [`losses were told, with everything kept: ${JSON.stringify([...losses])}`]
          : []),
        ...(verdict.figures.acknowledged === 0 ? ["nothing was acknowledged"] : []),
        ...surprises.slice(0, LINES_MAX),
        ...fleet.bus.bugs(),
      ],
      report: reportOf({ ...verdict, faults, times, publishers: crowd.publishers, fleet }),
      recording,
    };
  } finally {
    await crowd.close();
  }
}

/** Runs it all. Rejects only when the cluster does not start or start again. */
export async function runDurable(plan: Plan): Promise<Outcome> {
  const { variant, say } = plan;
  const dir = await Deno.makeTempDir({ prefix: "arqon-durable-" });
  const surprises: string[] = [];
  const onSurprise = (text: string) => {
    say(`unexpected: ${text}`);
    surprises.push(text);
  };
  say(`logs in ${dir}`);
  await using fleet = await startFleet({ variant, dir, say, onSurprise });
  return { ...await perform(plan, fleet, new Recorder(), surprises, onSurprise), dir };
}
