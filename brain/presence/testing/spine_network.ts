/**
 * The writers and followers of these tests on a real Spine, in real time: they send and receive real bytes. Also starts
 * Brains there. Tests only.
 */
import { brainIdOf } from "../../../shared/cluster/cluster.ts";
import { configFrom } from "../../../shared/config/load.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { keptLog } from "../../../shared/testing/logs.ts";
import { createMetrics, type Registry } from "../../../shared/metrics/metrics.ts";
import type { PresencePort } from "../../../shared/presence/messages.ts";
import { decodeMessage, encodeMessage } from "../../../shared/presence/wire.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { Subscription } from "../../../shared/spine/contract/spine_message.ts";
import {
  everyProcess,
  HELLO,
  presenceSubject,
  processSubject,
} from "../../../shared/subjects/subject.ts";
import { openRing } from "../../ring/service.ts";
import { type BrainPresenceService, startBrainPresence } from "../capability.ts";
import type { Peer } from "./cluster.ts";
import { TestFollower } from "./follower.ts";
import type { TestShield } from "./shield.ts";

/** Short heartbeats, so that tests wait little. */
export const QUICK = {
  heartbeat_ms: 100,
  announce_ms: 10,
  down_ms: 1_000,
  forget_ms: 60_000,
  brain_timeout_ms: 600,
};

/** A Brain's presence with everything that it logged and counted. */
export interface RunningBrain extends BrainPresenceService {
  drain(): Promise<void>;
  readonly registry: Registry;
  readonly lines: readonly string[];
}

/** Starts one; resolves when it serves. */
export async function startPresence(
  spine: Spine,
  settings: Record<string, unknown> = {},
  now: () => number = Date.now,
): Promise<RunningBrain> {
  const { log, lines } = keptLog({ level: "info", now });
  const registry = createMetrics({ node_id: "b", version: "0" });
  const config = configFrom({ presence: QUICK, ...settings });
  const random = Math.random;
  const { node_id } = config.server;
  const brain_id = node_id === undefined
    ? `brain-${crypto.randomUUID().slice(0, 8)}`
    : brainIdOf(node_id);
  const env = { config, spine, log, registry, now, monotonic_ms: () => performance.now() };
  const { ring, leave } = await openRing({ ...env, brain_id });
  const service = await startBrainPresence({ ...env, random, ring });
  return { ...service, registry, lines, drain: () => leave().then(service.close) };
}

/** Connection ids of a room, in order. */
export function listed({ view }: RunningBrain, room_id = "lobby"): string[] {
  return [...view.members("acme", room_id)].map(({ connection_id }) => connection_id).sort();
}

/** Writers and followers on one Spine, until it is disposed. Leaves the Spine open. */
export class SpineNetwork implements Disposable {
  readonly config: Config["presence"] = configFrom({ presence: QUICK }).presence;
  readonly #spine: Spine;
  readonly #timers = new Map<string, Set<ReturnType<typeof setTimeout>>>();
  readonly #subscriptions = new Map<string, Subscription[]>();

  constructor(spine: Spine) {
    this.#spine = spine;
  }

  port(id: string): PresencePort {
    const timers = new Set<ReturnType<typeof setTimeout>>();
    this.#timers.set(id, timers);
    return {
      now: Date.now,
      random: Math.random,
      after: (delay_ms, run) => {
        const timer = setTimeout(() => {
          timers.delete(timer);
          run();
        }, delay_ms);
        timers.add(timer);
        return () => clearTimeout(timer);
      },
      send: (subject, message) => {
        if (this.#spine.status.state !== "connected") return;
        this.#spine.publish(subject, encodeMessage(message));
      },
    };
  }

  /** Adds a process; resolves when it receives messages. */
  async join<Process extends TestShield | TestFollower>(process: Process): Promise<Process> {
    const peer: Peer = process;
    const patterns = [
      processSubject("direct", peer.id),
      everyProcess("beat"),
      HELLO,
      ...(process instanceof TestFollower ? [presenceSubject("acme", process.room_id)] : []),
    ];
    const subscriptions = patterns.map((pattern) =>
      this.#spine.subscribe(pattern, ({ subject, payload }) => {
        if (peer.subscribes(subject)) peer.receive(subject, decodeMessage(payload));
      })
    );
    this.#subscriptions.set(peer.id, subscriptions);
    await this.#spine.flush();
    return process;
  }

  /** As a crash: nothing more happens in it. */
  kill({ id }: Peer): void {
    for (const subscription of this.#subscriptions.get(id) ?? []) subscription.unsubscribe();
    for (const timer of this.#timers.get(id) ?? []) clearTimeout(timer);
    this.#subscriptions.delete(id);
    this.#timers.delete(id);
  }

  [Symbol.dispose](): void {
    for (const id of [...this.#timers.keys()]) this.kill({ id } as Peer);
  }
}
