/** Finds targets by name. The code of the peers is loaded only on request. */
import { UsageError } from "../../measure/scenario.ts";
import type { Target } from "./target.ts";
import { ARQON, ARQON_CENTRIFUGO, ARQON_NATIVE, ARQON_NATS } from "./target_arqon.ts";
import { DENO } from "./target_bare.ts";

const OWN: readonly Target[] = [ARQON, ARQON_NATS, ARQON_NATIVE, ARQON_CENTRIFUGO, DENO];
/** Variants of the same bus. */
const VARIANTS: readonly Target[] = [ARQON_NATIVE, ARQON_CENTRIFUGO];

/** The targets of a list, in the order of tables; `all` means every target except the variants. Throws `UsageError`. */
export async function targetsNamed(list: string): Promise<readonly Target[]> {
  const names = list.split(",").map((name) => name.trim());
  if (names.every((name) => OWN.some(({ id }) => id === name))) {
    return OWN.filter(({ id }) => names.includes(id));
  }
  const { PEERS } = await import("../../peers/mod.ts");
  const every = [...OWN, ...PEERS];
  if (names.includes("all")) return every.filter((target) => !VARIANTS.includes(target));
  const unknown = names.filter((name) => !every.some(({ id }) => id === name));
  if (unknown.length === 0) return every.filter(({ id }) => names.includes(id));
  const known = every.map(({ id }) => id).join(", ");
  throw new UsageError(`--targets: no target ${unknown.join(", ")}; there are: ${known}, all`);
}
