/**
 * The peers that ArqonBus is compared with: their servers as targets, their protocols as wires. The file of each peer
 * has its version and configuration; other files measure.
 */
import type { Target, Wire } from "../load/targets/target.ts";
import { BUN, SOCKETIO } from "./npm_peers.ts";
import { CENTRIFUGO } from "./centrifugo.ts";
import { CENTRIFUGO_WIRE } from "./centrifugo_wire.ts";
import { NATS_WS } from "./nats_ws.ts";
import { NATS_WIRE } from "./nats_wire.ts";
import { SOCKETIO_WIRE } from "./socketio_wire.ts";

/** Every peer, in the order of tables. */
export const PEERS: readonly Target[] = [BUN, NATS_WS, CENTRIFUGO, SOCKETIO];

/** The wires of the peers, by protocol. */
export const PEER_WIRES: Readonly<Record<"nats" | "centrifugo" | "socketio", Wire>> = {
  nats: NATS_WIRE,
  centrifugo: CENTRIFUGO_WIRE,
  socketio: SOCKETIO_WIRE,
};
