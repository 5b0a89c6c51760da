/** When a crowd that was hurt is whole again: every client is where it wants to be, and every list is right. */
import { becomes } from "../../shared/testing/until.ts";
import type { Crowd } from "./crowd.ts";
import type { Registry } from "./registry.ts";
import { describeDifferences, findDifferences } from "./roster.ts";
import type { Variant } from "./variant.ts";

/** The outcome of the lists. */
export interface Settled {
  /** Until every list was right for good; undefined: never. */
  readonly after_ms: number | undefined;
  readonly problems: readonly string[];
}

const LINES_MAX = 40;

/**
 * Waits until every client does nothing more of its own, is connected, and every list has been right for
 * `steady_ms`.
 */
export async function settle(
  { crowd, registry }: { readonly crowd: Crowd; readonly registry: Registry },
  { bound_ms, steady_ms }: Pick<Variant, "bound_ms" | "steady_ms">,
): Promise<Settled> {
  const began_ms = performance.now();
  let right_ms: number | undefined;
  let problems = (): string[] => [];
  const isSettled = await becomes(() => {
    const clients = crowd.attendees();
    const away = clients.filter(({ connection_id }) => connection_id === undefined);
    const differences = findDifferences(clients);
    const now_ms = performance.now();
    if (away.length + differences.length > 0 || crowd.busy) right_ms = undefined;
    else right_ms ??= now_ms;
    const name = (id: string) => registry.describe(id);
    problems = () => [
      ...away.map(({ user_id, tenant_id }) => `${user_id} of ${tenant_id} is not connected`),
      ...describeDifferences(differences, name, LINES_MAX),
    ];
    return right_ms !== undefined && now_ms - right_ms >= steady_ms;
  }, bound_ms + steady_ms);
  return isSettled && right_ms !== undefined
    ? { after_ms: right_ms - began_ms, problems: [] }
    : { after_ms: undefined, problems: problems() };
}
