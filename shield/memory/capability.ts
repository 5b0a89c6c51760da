/**
 * The memory-guard capability of a Shield: it samples the process, pings, bans guilty clients, and ends the process.
 * `memory_guard.ts` decides.
 */
import type { Env } from "../../shared/env.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import type { Capability, Parts } from "../capability.ts";
import { banKey, decodeBan, encodeBan, EVERY_ROOM } from "../../shared/records/bans.ts";
import type { Config } from "../../shared/config/schema.ts";
import { scraped } from "../../shared/metrics/metrics.ts";
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { Connection } from "../connection/connection.ts";
import type { Identity } from "../auth/identity.ts";
import { type Action, MemoryGuard, type Reading, type Suspect } from "./memory_guard.ts";
import type { ClientSocket } from "../socket/client_socket.ts";
import { bump } from "../stats/stats.ts";
import { within } from "../../shared/within.ts";

/** The pause between two readings during an alert, in ms. */
const ALERT_MS = 10;
/** The shortest wait in which the runtime polls the system, in ms. */
const LOOK_MS = 1;
/** How long storing the bans may take, in ms; after that the process ends without them. */
const BAN_MS = 2_000;
/** The most users that are banned at a time; those with the most sockets first. */
const BANNED_MAX = 100;
const REASON = "unfinished messages took the memory of the process";

type Sockets = ReadonlyMap<ClientSocket, Connection>;

interface MemoryWatchOptions extends Pick<Env, "registry" | "log" | "node_id" | "now"> {
  readonly config: Pick<Config, "limits" | "server">;
  /** Unix ms by the clock of the bus: by one that is behind, a ban would be over when it begins. */
  readonly storeNow: () => number;
  /** The bucket `ARQON_BANS`. */
  readonly bans: KeyValue;
  /** The sockets that are not closed. */
  readonly sockets: Sockets;
  /** Reads resident memory, and what heap and buffers account for. */
  readonly readMemory: () => { rss: number; heapTotal: number; external: number };
  /** Blocks this thread, in ms. */
  readonly pause: (pause_ms: number) => void;
  /** Triggers a garbage collection: without allocations the engine does not collect, and much memory may be garbage. */
  readonly collect: () => void;
  readonly giveUp: (sockets: readonly ClientSocket[]) => void;
  /** Called when the process has to restart; `at_once` means without a drain. */
  readonly onExhausted: (detail: string, at_once: boolean) => void;
}

/** A running guard. */
export interface MemoryWatch {
  /** A socket has closed; call it before its memory is freed. */
  onClosed(socket: ClientSocket, connection: Connection): void;
  /** Resolves once the guilty users are banned, or the timeout has passed; for the end of the process. */
  settled(): Promise<void>;
  close(): void;
}

/** The time over which closed clients return. */
type Spread = Pick<Config["server"], "drain_ms">;

class SocketSuspect implements Suspect {
  readonly socket: ClientSocket;
  readonly connection: Connection;
  readonly #sockets: Sockets;
  readonly #server: Spread;

  constructor(socket: ClientSocket, connection: Connection, sockets: Sockets, server: Spread) {
    this.socket = socket;
    this.connection = connection;
    this.#sockets = sockets;
    this.#server = server;
  }

  get received_ms(): number {
    const { received, received_ms } = this.connection.liveness;
    return received === 0 ? 0 : received_ms;
  }

  get closed(): boolean {
    return !this.#sockets.has(this.socket);
  }

  get ended(): boolean {
    return this.connection.ended;
  }

  get unfinished_bytes(): number | undefined {
    return this.socket.unfinished_bytes;
  }

  ping(): void {
    if (this.connection.opened) this.connection.ping();
  }

  sendAway(): void {
    this.connection.sendAway(this.#server.drain_ms);
  }

  terminate(): void {
    this.socket.terminate();
  }
}

/** The guard's objects for sockets: one per socket, so that it recognizes a socket. */
class Known {
  readonly #suspects = new WeakMap<ClientSocket, SocketSuspect>();
  readonly #sockets: Sockets;
  readonly #server: Spread;

  constructor(sockets: Sockets, server: Spread) {
    this.#sockets = sockets;
    this.#server = server;
  }

  /** The state of a socket; undefined for an unknown one. */
  get(socket: ClientSocket): SocketSuspect | undefined {
    return this.#suspects.get(socket);
  }

  all(): SocketSuspect[] {
    return [...this.#sockets].map(([socket, connection]) => {
      const make = () => new SocketSuspect(socket, connection, this.#sockets, this.#server);
      return this.#suspects.getOrInsertComputed(socket, make);
    });
  }
}

/** Starts the guard. */
function watchMemory(options: MemoryWatchOptions): MemoryWatch {
  const { config: { limits, server }, sockets, log, now, readMemory } = options;
  const actions: Record<string, number> = {};
  registerMetrics(options, actions);
  const known = new Known(sockets, server);
  const guard = new MemoryGuard(limits, () => known.all());
  let timer: ReturnType<typeof setTimeout>;
  let closed = false;
  /** Pending writes of bans; the end of the process waits for them. */
  let banning: Promise<void> = Promise.resolve();
  const judged = Promise.withResolvers<void>();
  const punish = (guilty: readonly SocketSuspect[]) => {
    if (guilty.length === 0) return;
    banning = Promise.all([banning, banAll(options, guilty, actions)]).then(() => {});
    options.giveUp(guilty.map(({ socket }) => socket));
  };
  const freed = new Freed<SocketSuspect>(() => readMemory().rss, (suspect, freed_bytes) => {
    if (!guard.isGuilty(suspect, freed_bytes)) return;
    bump(actions, "left");
    const { id } = suspect.connection;
    log.warn("a client that held the memory has left", { connection: id });
    punish([suspect]);
  });
  const act = (action: Action<SocketSuspect>, { rss_bytes }: Reading): void => {
    if (action.kind === "none") return;
    bump(actions, action.kind);
    const { memory_bytes } = limits;
    const clients = "clients" in action ? { clients: action.clients } : {};
    const guilty = "guilty" in action ? action.guilty : [];
    log.warn(TEXTS[action.kind], { rss_bytes, memory_bytes, ...clients });
    punish(guilty);
    if (action.kind === "cut" || action.kind === "unexplained") options.collect();
    // Every client is asked to leave while the closed ones are judged and bans are stored.
    if (action.kind === "end") options.onExhausted(TEXTS.end, false);
    if (action.kind === "end" ? action.judged : action.kind === "judged") judged.resolve();
    if (action.kind === "abort") banning.then(() => options.onExhausted(TEXTS.abort, true));
  };
  const read = (): Reading => {
    const { rss, heapTotal, external } = readMemory();
    return { now_ms: now(), rss_bytes: rss, own_bytes: heapTotal + external };
  };
  const turn = () => {
    if (closed) return;
    const reading = read();
    act(guard.sample(reading), reading);
    const pause_ms = guard.pause_ms(reading);
    if (pause_ms >= 1) {
      bump(actions, "paused");
      options.pause(pause_ms);
    }
    // After a pause one poll is enough, as each poll reads more bytes.
    const wait_ms = guard.calm ? guard.calm_ms(reading) : pause_ms >= 1 ? LOOK_MS : ALERT_MS;
    timer = setTimeout(turn, wait_ms);
    Deno.unrefTimer(timer);
  };
  turn();
  return {
    onClosed(socket) {
      freed.settle();
      const suspect = known.get(socket);
      if (suspect !== undefined && !guard.calm) freed.closing(suspect);
    },
    settled: () => judged.promise.then(() => banning),
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

const TEXTS = {
  asked: "memory runs short: all clients are pinged",
  parted: "memory runs short: clients that did not answer a PING are closed",
  cut: "clients that held the memory were cut off",
  end: "the memory is used up: the process ends for a restart",
  judged: "clients did not leave, and their memory was not freed",
  unexplained: "memory runs short, but not because of unfinished messages",
  abort: "the memory limit is exceeded: no time to drain",
} as const;

/** Bans the users of these sockets from their tenants temporarily. Never rejects. */
async function banAll(
  options: MemoryWatchOptions,
  guilty: readonly SocketSuspect[],
  actions: Record<string, number>,
): Promise<void> {
  const { log } = options;
  const users = new Map<string, { identity: Identity; sockets: number }>();
  for (const { connection: { identity } } of guilty) {
    const key = `${identity.tenant_id}\n${identity.user_id}`;
    const sockets = (users.get(key)?.sockets ?? 0) + 1;
    users.set(key, { identity, sockets });
  }
  const chosen = [...users.values()].sort((a, b) => b.sockets - a.sockets).slice(0, BANNED_MAX);
  const banned = chosen.map(async ({ identity, sockets }) => {
    const { tenant_id, user_id: user } = identity;
    try {
      await ban(options, identity);
      bump(actions, "banned");
      log.warn("a user was banned", { tenant_id, user, sockets, reason: REASON });
    } catch (error) {
      bump(actions, "ban_failed");
      log.error("a user could not be banned", { tenant_id, user, error });
    }
  });
  await within(BAN_MS, Promise.all(banned), () => {});
}

/** Bans one user. A longer existing ban is kept. */
async function ban(
  { bans, config: { limits }, node_id, storeNow }: MemoryWatchOptions,
  { tenant_id, user_id }: Identity,
): Promise<void> {
  const key = banKey(tenant_id, EVERY_ROOM, user_id);
  const created_ms = storeNow();
  const until_ms = created_ms + limits.memory_ban_seconds * 1_000;
  const one = { user_id, room_id: EVERY_ROOM, until_ms, reason: REASON, by: node_id, created_ms };
  // Each round trip costs memory now, and usually there is no ban, so a new one is tried first.
  const first = await bans.update(key, encodeBan(one), 0).catch((error) => {
    if (isConflict(error)) return undefined;
    throw error;
  });
  if (first !== undefined) return;
  const entry = await bans.get(key);
  const old = entry && decodeBan(entry.value);
  const longer = old !== undefined && (old.until_ms === 0 || old.until_ms >= until_ms);
  if (!longer) await bans.put(key, encodeBan(one));
}

function registerMetrics(
  { registry, config, sockets, readMemory }: MemoryWatchOptions,
  actions: Record<string, number>,
): void {
  scraped(registry, {
    "shield_memory_bytes": ["Resident memory of the process.", () => readMemory().rss],
    "shield_memory_limit_bytes": [
      "The limit of resident memory: [limits] memory_bytes.",
      () => config.limits.memory_bytes,
    ],
    "shield_lingering_sockets": [
      "Sockets whose connection has ended but whose peer has not closed yet.",
      () => [...sockets.values()].filter(({ ended }) => ended).length,
    ],
    "shield_memory_guard_total": ["Actions of the memory guard.", "action", () => actions],
  });
}

/** Attributes freed memory to the socket that closed last. */
export class Freed<S> {
  readonly #read_bytes: () => number;
  readonly #onFreed: (who: S, freed_bytes: number) => void;
  #last: { readonly who: S; readonly before_bytes: number } | undefined;

  /** Prepares a measurement. `read_bytes` returns the resident memory of the process. */
  constructor(read_bytes: () => number, onFreed: (who: S, freed_bytes: number) => void) {
    this.#read_bytes = read_bytes;
    this.#onFreed = onFreed;
  }

  /**
   * A socket closes; call it in its close event. The runtime frees a socket's memory right after that event, but
   * several close events may come before anything else runs. So memory freed until the next close event belonged to
   * this socket.
   */
  closing(who: S): void {
    this.settle();
    this.#last = { who, before_bytes: this.#read_bytes() };
    queueMicrotask(() => this.settle());
  }

  /** Attributes memory freed so far to the last closed socket. */
  settle(): void {
    const last = this.#last;
    this.#last = undefined;
    if (last !== undefined) this.#onFreed(last.who, last.before_bytes - this.#read_bytes());
  }
}

/** Ends the process in time if clients exhaust its memory, and bans those clients. */
export const MEMORY: Capability = {
  name: "memory",
  title: "ends the process in time if clients exhaust its memory, and bans those clients",
  start(env, parts) {
    let watch: MemoryWatch | undefined;
    return {
      begin: () => void (watch = startMemoryWatch(env, parts, parts.bans_bucket)),
      socketClosed: (socket, connection) => watch?.onClosed(socket, connection),
      async clientsGone() {
        // Such clients hold the memory to the end, so it is watched until then.
        if (parts.hurried) await watch?.settled();
        else watch?.close();
      },
    };
  },
};

/** The number of buffers that make the engine collect garbage, their interval in ms, and their size. */
const COLLECT_TURNS = 16;
const COLLECT_MS = 50;
const COLLECT_BYTES = 67_108_864;

/** Allocates a buffer that is never touched. It takes no memory, but triggers a garbage collection. */
function pretend(): void {
  try {
    new ArrayBuffer(COLLECT_BYTES);
  } catch {
    // The address space is exhausted; the engine has collected garbage in that case.
  }
}

interface MemoryStartOptions extends Pick<Env, "config" | "registry" | "log" | "now"> {
  readonly onExhausted: (detail: string, at_once: boolean) => void;
}

/** Starts the guard, which samples from now on. `bans` is the bucket `ARQON_BANS`. */
function startMemoryWatch(
  options: MemoryStartOptions,
  { node_id, sockets, time }: Pick<Parts, "node_id" | "sockets" | "time">,
  bans: KeyValue,
): MemoryWatch {
  const never = new Int32Array(new SharedArrayBuffer(4));
  return watchMemory({
    ...options,
    node_id,
    sockets,
    bans,
    storeNow: () => time.now(),
    readMemory: Deno.memoryUsage,
    // The thread blocks: the peer's next bytes wait, too.
    pause: (pause_ms) => void Atomics.wait(never, 0, 0, pause_ms),
    collect() {
      for (let turn = 0; turn < COLLECT_TURNS; turn++) {
        Deno.unrefTimer(setTimeout(pretend, turn * COLLECT_MS));
      }
    },
    giveUp: (given_up) => given_up.forEach((socket) => sockets.delete(socket)),
  });
}
