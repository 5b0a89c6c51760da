/** Which wire speaks which protocol. Those of the peers are loaded when they are asked for. */
import type { Wire, WireSpec } from "./target.ts";
import { ARQON_WIRE } from "./wire_arqon.ts";
import { RAW_WIRE } from "./wire_raw.ts";

/** The wire of a protocol. */
export async function wireOf({ protocol }: WireSpec): Promise<Wire> {
  if (protocol === "arqon") return ARQON_WIRE;
  if (protocol === "raw") return RAW_WIRE;
  const { PEER_WIRES } = await import("../peers/mod.ts");
  return PEER_WIRES[protocol];
}
