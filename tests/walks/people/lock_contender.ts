/**
 * A client that acquires a room's lock repeatedly, writes while it holds it and sometimes too late, and one that writes
 * without acquiring it. They record the answers; `lock_judge.ts` judges them.
 */
import { ArqonError, type Room } from "@arqon/sdk";
import { type RoomEvent, roomState } from "@arqon/sdk/state";
import { pace } from "../../../shared/testing/pace.ts";
import type { Random } from "../../../shared/testing/seeded.ts";
import type { Mark } from "./lock_judge.ts";
import type { Grant, LockLedger, Write } from "./lock_ledger.ts";

/** The contender. */
export interface Contender {
  readonly user_id: string;
  readonly room: Room;
}

/** A contender's options. */
export interface ContenderOptions {
  readonly client: Contender;
  readonly ledger: LockLedger;
  readonly random: Random;
  readonly ttl_ms: number;
  /** It starts nothing new once this is aborted. */
  readonly signal: AbortSignal;
  /** Called with refusals that no fault explains. */
  readonly onSurprise: (text: string) => void;
}

const KEY = "guarded";
const RETRY_MS = 200;
/** The time limit of a command, including retries. */
const TIMEOUT_MS = 5_000;
/** Probabilities of what a contender finally does with a lock; else it unlocks. */
const RENEWS = 0.2;
const FORGETS = 0.15;
const WRITES_LATE = 0.15;
let nonces = 0;

/** What an error means for a command: not applied, or unknown. Others are reported as surprises. */
function outcomeOf(error: unknown, { onSurprise, client }: ContenderOptions): Write["outcome"] {
  if (!(error instanceof ArqonError)) throw error;
  const { code, reason, message } = error;
  if (reason === "locked" || reason === "fence-mismatch") return { kind: "refused", reason };
  const outage = [408, 429, 503].includes(code) ||
    ["connection-lost", "connection-closed", "answer-timeout", "unreachable"].includes(reason);
  if (!outage) onSurprise(`${client.user_id} was refused: ${reason}: ${message}`);
  return { kind: "unknown" };
}

/** Requests the room's events that nobody has received yet. Returns true if it answered. */
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

/** Acquires the lock once; with a `fence` extends it. */
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

/** While holding the lock. */
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

/** Contends until it is stopped. */
export async function contend(options: ContenderOptions): Promise<void> {
  const { client, ledger, random, ttl_ms, signal } = options;
  while (!signal.aborted) {
    await askForEvents(client, ledger);
    const grant = await lock(options);
    if (grant !== undefined) await hold(options, grant);
    await pace(random.int(RETRY_MS, RETRY_MS + ttl_ms / 2));
  }
}

/** Writes without a lock until it is stopped: only applied while nobody holds the room. */
export async function intrude(options: ContenderOptions): Promise<void> {
  while (!options.signal.aborted) {
    await write(options, 0);
    await pace(options.random.int(RETRY_MS, RETRY_MS + options.ttl_ms));
  }
}
