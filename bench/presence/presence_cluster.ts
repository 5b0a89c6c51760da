/**
 * The cluster of the presence benchmark: Brains as processes, Shields in this process, and the requests that
 * tell what a Brain has merged. `presence_child.ts` measures on it.
 */
import { SUBJECT_HEADER } from "../../brain/rooms/desk/forward.ts";
import type { PresenceService } from "../../shield/presence/service.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { commandSubject, processSubject } from "../../shared/subjects/subject.ts";
import {
  accepted,
  type Brains,
  commandBytes,
  PATIENCE_MS,
  startBrains,
  until,
} from "../measure/brains.ts";
import { startShieldPresence } from "./presence_shields.ts";

/** Number of Brains. */
export const BRAINS = 3;
/** Number of Shields, whose members take turns. */
export const SHIELDS = 2;

/** All parts of the running cluster. */
export interface PresenceCluster extends AsyncDisposable {
  readonly running: Brains;
  readonly shields: readonly PresenceService[];
  /** A Spine for requests and listening, which no Shield uses. */
  readonly spine: Spine;
}

/** Starts the cluster. Resolves when all Brains and Shields know each other. */
export async function startCluster(): Promise<PresenceCluster> {
  await using starting = new AsyncDisposableStack();
  const running = starting.use(await startBrains(BRAINS));
  const spine = await running.openSpine();
  const shields: PresenceService[] = [];
  for (let index = 1; index <= SHIELDS; index++) {
    const shield = startShieldPresence(`shield-${index}`, await running.openSpine());
    starting.defer(() => shield.close());
    shields.push(shield);
  }
  const isComplete = () => shields.every(({ stats }) => stats.live_brains === BRAINS);
  await until(isComplete, `Shields know ${BRAINS} Brains`);
  for (const { metrics } of running.brains) {
    const isUp = async () => (await metrics()).sum("brain_presence_writers", '"up"') === SHIELDS;
    await until(isUp, `a Brain knows ${SHIELDS} Shields`, 50);
  }
  const owned = starting.move();
  return { running, shields, spine, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** The number of connections that one Brain sees in a room. It is asked as another Brain would ask. */
export async function countOn(
  spine: Spine,
  brain_id: string,
  tenant_id: string,
  room_id: string,
): Promise<number> {
  const subject = processSubject("commands", brain_id);
  const payload = commandBytes(tenant_id, room_id, { name: "presence.count" });
  const headers = { [SUBJECT_HEADER]: commandSubject(tenant_id, room_id) };
  const reply = await spine.request(subject, payload, { timeout_ms: PATIENCE_MS, headers });
  return JSON.parse(new TextDecoder().decode(accepted(reply.payload).result)).connections;
}
