/**
 * A rolling restart of two Shields on a real NATS, behind a load balancer, under load: everything that
 * is counted, and what is wrong. Processes only; the crowd is `crowd.ts`.
 */
import { pace } from "../../shared/testing/pace.ts";
import { createIssuer, startServer } from "../harness/cluster.ts";
import type { Issuer, ServerProcess } from "../harness/cluster.ts";
import { startNats } from "../harness/nats_server.ts";
import { startBalancer } from "./balancer.ts";
import { findProblems } from "./checker.ts";
import type { Finding } from "./checker.ts";
import { Crowd } from "./crowd.ts";
import type { CrowdSize } from "./crowd.ts";

/** What is to be done. */
export interface RollingPlan extends CrowdSize {
  /** How often each Shield is restarted. */
  readonly rounds: number;
  /** Between two restarts, and before the first and after the last, in ms. */
  readonly calm_ms: number;
  /** `[server] drain_ms`. */
  readonly drain_ms: number;
  /** SIGKILL is the planted fault: it must be found. */
  readonly signal: "SIGTERM" | "SIGKILL";
  /** How long the last messages are waited for, in ms. */
  readonly patience_ms: number;
  readonly say: (line: string) => void;
}

/** What came of it. */
export interface RollingOutcome {
  readonly findings: readonly Finding[];
  /** Connections that ended, publishes that failed, processes that did not end with 0. */
  readonly errors: readonly string[];
  readonly published: number;
  readonly delivered: number;
  /** Connections opened anew, of all clients. */
  readonly moves: number;
  readonly restarts: number;
  /** How long each Shield took to end, in ms. */
  readonly stops_ms: readonly number[];
  /** The longest wait for an ACK, in ms. */
  readonly latest_ms: number;
}

const CLASS = `
[[rooms]]
room = "log-*"
durable = true
history_size = 1_000_000
#constant limits.deduplication_entries = 1_000_000
[log]
level = "info"
`;

class Fleet {
  readonly servers: (ServerProcess | undefined)[] = [undefined, undefined];
  readonly errors: string[] = [];
  readonly stops_ms: number[] = [];

  constructor(readonly start: (name: string) => Promise<ServerProcess>) {}

  get running(): ServerProcess[] {
    return this.servers.filter((server) => server !== undefined);
  }

  async up(index: number): Promise<void> {
    this.servers[index] = await this.start(`shield-${index}`);
  }

  async restart(index: number, signal: Deno.Signal): Promise<void> {
    const server = this.servers[index];
    if (server === undefined) throw new Error(`shield-${index} does not run`);
    const began_ms = performance.now();
    const { code } = await server.stop(signal);
    this.stops_ms.push(performance.now() - began_ms);
    this.servers[index] = undefined;
    const bug = /.*(level=error|uncaught).*/.exec(server.log())?.[0];
    if (signal === "SIGTERM" && (code !== 0 || bug !== undefined)) {
      this.errors.push(`shield-${index} ended with ${code}: ${bug ?? server.log()}`);
    }
    await this.up(index);
  }
}

/** Runs it all. Rejects only when something does not start. */
export async function runRolling(plan: RollingPlan): Promise<RollingOutcome> {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  return await underLoad(plan, nats.url, issuer);
}

async function underLoad(
  plan: RollingPlan,
  nats_url: string,
  issuer: Issuer,
): Promise<RollingOutcome> {
  const { drain_ms, say, signal, rounds, calm_ms } = plan;
  const config = `[nats]\nurls = ["${nats_url}"]\n${CLASS}${issuer.config}`;
  const fleet = new Fleet((name) => {
    const lines = `node_id = "${name}"\ndrain_ms = ${drain_ms}`;
    return startServer("shield", config, issuer.dir, lines);
  });
  const stopping = new AbortController();
  try {
    await Promise.all([fleet.up(0), fleet.up(1)]);
    await using balancer = startBalancer(() => fleet.running);
    await balancer.ready(2);
    await using crowd = await Crowd.open({ ...plan, url: balancer.url, tokenFor: issuer.tokenFor });
    const published = crowd.publish(plan.rate, stopping.signal);
    for (let turn = 0; turn < 2 * rounds; turn++) {
      await pace(calm_ms);
      say(`${signal} for shield-${turn % 2}; ${crowd.published} published`);
      await fleet.restart(turn % 2, signal);
      await balancer.ready(2);
      say(
        `shield-${turn % 2} is back; it took ${Math.round(fleet.stops_ms.at(-1) ?? 0)} ms to end`,
      );
    }
    await pace(calm_ms);
    stopping.abort();
    await published;
    const { sent, heard } = await crowd.result(plan.patience_ms);
    return {
      findings: findProblems(sent, heard),
      errors: [...fleet.errors, ...crowd.errors],
      published: crowd.published,
      delivered: heard.reduce((sum, { sights }) => sum + sights.length, 0),
      moves: crowd.moves,
      restarts: 2 * rounds,
      stops_ms: fleet.stops_ms,
      latest_ms: crowd.latest_ms,
    };
  } finally {
    stopping.abort();
    await Promise.all(fleet.running.map((server) => server.stop()));
  }
}
