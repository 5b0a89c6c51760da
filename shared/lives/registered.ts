/**
 * The Shields that cluster questions wait for, from the bucket of lives. Shields without such components write no
 * marks: they are known after their first message.
 */
import type { RegisteredShield } from "../cluster/known_nodes.ts";
import { endOf, isLater, type Life, SILENT_MS, silentMs } from "./life.ts";
import type { OwnLife } from "./own_life.ts";

/** The state of each Shield by its last life. Pure. */
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

/** Reads them; none if this Shield itself writes no marks. Rejects with `spine-unavailable`. */
export async function readRegistered(
  life: Pick<OwnLife, "has_marks" | "lives">,
  now: () => number,
): Promise<RegisteredShield[]> {
  return life.has_marks ? registeredOf(await life.lives.all(), now()) : [];
}
