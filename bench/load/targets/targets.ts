/** Finds targets by name. The code of the peers is loaded only on request. */
import { listed } from "../../measure/scenario.ts";
import type { Target } from "./target.ts";
import { ARQON, ARQON_CENTRIFUGO, ARQON_NATIVE, ARQON_NATS } from "./target_arqon.ts";
import { DENO } from "./target_bare.ts";

const OWN: readonly Target[] = [ARQON, ARQON_NATS, ARQON_NATIVE, ARQON_CENTRIFUGO, DENO];
/** Variants of the same bus. */
const VARIANTS: readonly Target[] = [ARQON_NATIVE, ARQON_CENTRIFUGO];

/** The targets of a list, in the order of tables; `all` means every target except the variants. Throws `UsageError`. */
export async function targetsNamed(list: string): Promise<readonly Target[]> {
  const own = list.split(",").every((name) => OWN.some(({ id }) => id === name.trim()));
  const every = own ? OWN : [...OWN, ...(await import("../../peers/mod.ts")).PEERS];
  const names = listed("targets", list, [...every.map(({ id }) => id), "all"]);
  if (names.includes("all")) return every.filter((target) => !VARIANTS.includes(target));
  return every.filter(({ id }) => names.includes(id));
}
