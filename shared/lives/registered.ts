/**
 * Which Shields questions to the cluster wait for, as the bucket of lives says. Shields without a part that writes
 * leave no mark there: they are known once they are heard of.
 */
import type { RegisteredShield } from "../cluster/known_nodes.ts";
import { endOf, isLater, SILENT_MS, silentMs } from "./life.ts";
import type { Life } from "./life.ts";
import type { OwnLife } from "./own_life.ts";

/** What the lives say of each Shield; its last life counts. Pure. */
export function registeredOf(all: readonly Life[], now_ms: number): RegisteredShield[] {
  const last = new Map<string, Life>();
  for (const life of all) {
    const before = last.get(life.node_id);
    if (before === undefined || isLater(life, before)) last.set(life.node_id, life);
  }
  return [...last.values()].map((life) => {
    const { node_id, is_over } = life;
    if (endOf(life, all, now_ms).how === "lives") return { node_id };
    return { node_id, over_for_ms: silentMs(life, now_ms) - (is_over ? 0 : SILENT_MS) };
  });
}

/** Reads them; none where this Shield leaves no marks itself. Rejects with `spine-unavailable`. */
export async function readRegistered(
  life: Pick<OwnLife, "has_marks" | "lives">,
  now: () => number,
): Promise<RegisteredShield[]> {
  return life.has_marks ? registeredOf(await life.lives.all(), now()) : [];
}
