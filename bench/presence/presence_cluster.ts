/**
 * The cluster of the presence benchmark: Brains as processes, Shields in this one, and the questions
 * that tell what a Brain has merged. What is measured on it is in `presence_child.ts`.
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

/** Brains of the cluster. */
export const BRAINS = 3;
/** Shields of the cluster; their members take turns. */
export const SHIELDS = 2;

/** Everything that runs. */
export interface PresenceCluster extends AsyncDisposable {
  readonly running: Brains;
  readonly shields: readonly PresenceService[];
  /** For questions and listening; no Shield's. */
  readonly spine: Spine;
}

/** Resolves when everybody knows everybody. */
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

/** How many connections that one Brain sees in a room. Asked as another Brain would ask it. */
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
