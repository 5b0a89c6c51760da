/** Finds the wire for a protocol. The wires of the peers are loaded only when they are asked for. */
import type { Wire, WireSpec } from "../targets/target.ts";
import { ARQON_WIRE } from "./wire_arqon.ts";
import { RAW_WIRE } from "./wire_raw.ts";

/** The wire for the protocol of a target. */
export async function wireOf({ protocol }: WireSpec): Promise<Wire> {
  if (protocol === "arqon") return ARQON_WIRE;
  if (protocol === "raw") return RAW_WIRE;
  const { PEER_WIRES } = await import("../../peers/mod.ts");
  return PEER_WIRES[protocol];
}
