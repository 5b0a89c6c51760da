/** Finds the wire for a protocol. The wires of the peers are loaded only on request. */
import type { Wire, WireSpec } from "../targets/target.ts";
import { ARQON_WIRE } from "./wire_arqon.ts";
import { RAW_WIRE } from "./wire_raw.ts";

/** The wire for a target's protocol. */
export async function wireOf({ protocol }: WireSpec): Promise<Wire> {
  if (protocol === "arqon") return ARQON_WIRE;
  if (protocol === "raw") return RAW_WIRE;
  const { PEER_WIRES } = await import("../../peers/mod.ts");
  return PEER_WIRES[protocol];
}
