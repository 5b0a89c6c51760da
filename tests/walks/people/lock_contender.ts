/**
 * A client that wants the lock of a room again and again, writes while it has it and sometimes too
 * late, and one that writes without asking for the lock. They record what they were answered; whether
 * it was right is `lock_judge.ts`.
 */
import { ArqonError, type Room } from "@arqon/sdk";
import type { RoomEvent } from "@arqon/sdk/state";
import { roomState } from "@arqon/sdk/state";
import { pace } from "../../../shared/testing/pace.ts";
import type { Random } from "../../presence_simulation/random.ts";
import type { Mark } from "./lock_judge.ts";
import type { Grant, LockLedger, Write } from "./lock_ledger.ts";

/** Who contends. */
export interface Contender {
  readonly user_id: string;
  readonly room: Room;
}

/** What a contender is given. */
export interface ContenderOptions {
  readonly client: Contender;
  readonly ledger: LockLedger;
  readonly random: Random;
  readonly ttl_ms: number;
  /** It begins nothing new once this is aborted. */
  readonly signal: AbortSignal;
  /** Hears refusals that no fault explains. */
  readonly onSurprise: (text: string) => void;
}

const KEY = "guarded";
const RETRY_MS = 200;
/** How long a command may take, repetitions included. */
const TIMEOUT_MS = 5_000;
/** Shares of what a contender does with a lock in the end; else it unlocks. */
const RENEWS = 0.2;
const FORGETS = 0.15;
const WRITES_LATE = 0.15;
let nonces = 0;

/** What an error says about a command: not done, or nobody knows. Others are told as surprises. */
function outcomeOf(error: unknown, { onSurprise, client }: ContenderOptions): Write["outcome"] {
  if (!(error instanceof ArqonError)) throw error;
  const { code, reason, message } = error;
  if (reason === "locked" || reason === "fence-mismatch") return { kind: "refused", reason };
  const outage = [408, 429, 503].includes(code) ||
    ["connection-lost", "connection-closed", "answer-timeout", "unreachable"].includes(reason);
  if (!outage) onSurprise(`${client.user_id} was refused: ${reason}: ${message}`);
  return { kind: "unknown" };
}

/** Asks the room for the events that nobody has heard yet. True when it answered. */
export async function askForEvents({ room }: Contender, ledger: LockLedger): Promise<boolean> {
  try {
    const events_after = ledger.known_to;
    const { events = [], truncated } = await roomState(room).get(undefined, {
      events_after,
      timeout_ms: TIMEOUT_MS,
    });
    for (const event of events) ledger.add(event as RoomEvent);
    if (truncated === true && ledger.known_to === events_after) ledger.giveUp();
    return true;
  } catch (error) {
    if (error instanceof ArqonError) return false;
    throw error;
  }
}

async function write(options: ContenderOptions, fence: number): Promise<void> {
  const { client, ledger } = options;
  const { user_id } = client;
  const nonce = `n${++nonces}`;
  const mark: Mark = { nonce, fence };
  let outcome: Write["outcome"];
  try {
    const { room } = client;
    const command = {
      command_id: nonce,
      timeout_ms: TIMEOUT_MS,
      ...(fence === 0 ? {} : { fence }),
    };
    const { epoch, version } = await roomState(room).set(KEY, { ...mark }, command);
    outcome = { kind: "applied", epoch, version };
  } catch (error) {
    outcome = outcomeOf(error, options);
  }
  ledger.writes.push({ user_id, fence, nonce, outcome });
}

/** Asks for the lock once; with a `fence` for more time. */
async function lock(options: ContenderOptions, fence?: number): Promise<Grant | undefined> {
  const { client, ledger, ttl_ms } = options;
  const { user_id } = client;
  try {
    const { room } = client;
    const { epoch, until_ms, ...answer } = await room.lock({
      ttl_ms,
      command_id: `n${++nonces}`,
      timeout_ms: TIMEOUT_MS,
      ...(fence === undefined ? {} : { fence }),
    });
    return ledger.granted({ user_id, epoch, fence: answer.fence, until_ms, acked_ms: Date.now() });
  } catch (error) {
    outcomeOf(error, options);
    return undefined;
  }
}

async function unlock(options: ContenderOptions, grant: Grant): Promise<void> {
  const { client } = options;
  grant.released_ms = Date.now();
  try {
    const { room } = client;
    await room.unlock(grant.fence, { command_id: `n${++nonces}`, timeout_ms: TIMEOUT_MS });
  } catch (error) {
    outcomeOf(error, options);
  }
}

/** With the lock in hand. */
async function hold(options: ContenderOptions, grant: Grant): Promise<void> {
  const { random, ttl_ms } = options;
  for (let count = random.int(1, 3); count > 0; count--) {
    await pace(random.int(0, ttl_ms / 5));
    await write(options, grant.fence);
  }
  if (random.chance(RENEWS)) await lock(options, grant.fence);
  const then = random.next();
  if (then >= FORGETS + WRITES_LATE) return await unlock(options, grant);
  if (then < FORGETS) return;
  // As a holder that was asleep: others have had the lock meanwhile, or nobody has it.
  await pace(Math.max(0, grant.until_ms - Date.now()) + random.int(1, ttl_ms));
  await write(options, grant.fence);
}

/** Contends until it is told to stop. */
export async function contend(options: ContenderOptions): Promise<void> {
  const { client, ledger, random, ttl_ms, signal } = options;
  while (!signal.aborted) {
    await askForEvents(client, ledger);
    const grant = await lock(options);
    if (grant !== undefined) await hold(options, grant);
    await pace(random.int(RETRY_MS, RETRY_MS + ttl_ms / 2));
  }
}

/** Writes without a lock until it is told to stop: only done while nobody holds the room. */
export async function intrude(options: ContenderOptions): Promise<void> {
  while (!options.signal.aborted) {
    await write(options, 0);
    await pace(options.random.int(RETRY_MS, RETRY_MS + options.ttl_ms));
  }
}
