/**
 * Tenants that publish while one of three NATS servers is killed and comes back: for how long each of
 * them waited at most, and whether everything that was acknowledged is in its room, once.
 */
import { pace } from "../../shared/testing/pace.ts";
import { until } from "../../shared/testing/until.ts";
import { DurableClient } from "../peers/durable_client.ts";
import type { ManyDeployment } from "./many_deployment.ts";

/** What came of it. */
export interface Kill {
  readonly acknowledged: number;
  /** Answers other than an ACK, each repeated until there was one. */
  readonly refused: number;
  /** The longest time between two ACKs of each tenant, in ms, in order. */
  readonly stalls_ms: readonly number[];
  /** What was acknowledged and is not there, or twice, or elsewhere. */
  readonly broken: readonly string[];
}

const ROOM = "log-killed";
/** ACKs that each tenant has before, while the server is away, and after. */
const ACKS = 20;
/** Most that tenants wait for so many, in ms. */
const REACHED_MS = 300_000;
const AGAIN_MS = 50;
const PAGE = 1_000;

/** One tenant that publishes numbers, one after the other. */
class Writer implements Disposable {
  readonly tenant: string;
  readonly client: DurableClient;
  /** By number, the offset. */
  readonly acknowledged = new Map<number, number>();
  refused = 0;
  stall_ms = 0;
  /** Of the last ACK. */
  #last_ms = performance.now();

  constructor(tenant: string, client: DurableClient) {
    this.tenant = tenant;
    this.client = client;
  }

  /** Until `stop` holds; a refused number is sent again with its id until it is taken. */
  async run(stop: () => boolean): Promise<void> {
    this.#last_ms = performance.now();
    while (!stop()) {
      const number = this.acknowledged.size;
      const { code, offset = 0 } = await this.client.pub(ROOM, number, {
        message_id: `${this.tenant}-${number}`,
      });
      if (code === 0) {
        const now_ms = performance.now();
        this.stall_ms = Math.max(this.stall_ms, now_ms - this.#last_ms);
        this.#last_ms = now_ms;
        this.acknowledged.set(number, offset);
        continue;
      }
      this.refused++;
      await pace(AGAIN_MS);
    }
  }

  /** What the room has against what was acknowledged. */
  async problems(): Promise<string[]> {
    const found = new Map<number, number>();
    const problems: string[] = [];
    for (let after = 0, more = true; more;) {
      const data = { after, limit: PAGE };
      const answer = await this.client.ask({ op: "cmd", room: ROOM, name: "history.get", data });
      if (answer.code !== 0) return [`${this.tenant}: ${JSON.stringify(answer)}`];
      for (const { data, offset } of answer.result.messages) {
        if (found.has(data)) problems.push(`${this.tenant}: ${data} is there twice`);
        found.set(data, offset);
        after = offset;
      }
      more = answer.result.more;
    }
    for (const [number, offset] of this.acknowledged) {
      if (found.get(number) === offset) continue;
      problems.push(`${this.tenant}: ${number} was acknowledged at ${offset} and is not there`);
    }
    return problems;
  }

  [Symbol.dispose](): void {
    this.client[Symbol.dispose]();
  }
}

/** Kills the server that leads one of the streams, and starts it again. */
export async function killOne(bus: ManyDeployment, tenants: readonly string[]): Promise<Kill> {
  using stack = new DisposableStack();
  const writers: Writer[] = [];
  for (const tenant of tenants) {
    const client = await DurableClient.open(bus.url, await bus.tokenFor(tenant));
    writers.push(stack.use(new Writer(tenant, client)));
  }
  let goal = ACKS;
  let stopped = false;
  let failed: { readonly error: unknown } | undefined;
  const running = Promise.all(writers.map((writer) => writer.run(() => stopped)));
  running.catch((error) => failed = { error });
  const reached = async () => {
    await until(`${goal} messages of each tenant`, () => {
      if (failed !== undefined) throw failed.error;
      return writers.every(({ acknowledged }) => acknowledged.size >= goal);
    }, REACHED_MS);
    goal = Math.max(...writers.map(({ acknowledged }) => acknowledged.size)) + ACKS;
  };
  await reached();
  const [stream] = await bus.logStreams();
  const leader = await bus.cluster.leaderOf(stream?.name ?? "");
  await leader.kill();
  await reached();
  await leader.start();
  await reached();
  stopped = true;
  await running;
  const problems: string[] = [];
  for (const writer of writers) problems.push(...await writer.problems());
  const sum = (of: (writer: Writer) => number) =>
    writers.reduce((all, writer) => all + of(writer), 0);
  return {
    acknowledged: sum(({ acknowledged }) => acknowledged.size),
    refused: sum(({ refused }) => refused),
    stalls_ms: writers.map(({ stall_ms }) => stall_ms).sort((left, right) => left - right),
    broken: problems,
  };
}
