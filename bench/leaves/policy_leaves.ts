/** Leaves of a verdict of policies that run in a worker: the process's part and the worker's, without the guest. */
import { openRing, Records, ringMemory, ringPut, ringTake } from "../../shield/policy/ring/ring.ts";
import {
  type ChainEntry,
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
} from "../../shield/policy/ring/ring_message.ts";
import { chatPayload } from "../policy/policy_rows.ts";
import { kept, type Leaf, type LeafRun } from "./leaf.ts";

const RING_BYTES = 65_536;
const CHAIN: readonly ChainEntry[] = [{ module: 1, name: "p", mode: "enforce", asks: false }];
const REQUEST = {
  hook: "on_message",
  tenant_id: "acme",
  facts: () => ({ headers: [], claims: {} }),
  payload: chatPayload(200),
  payload_most: 262_144,
} as const;
const RAN = { allowed: true, code: 0, reason: "", units: 1_234, instance_units: 0 };
const REPLY = { outcomes: [{ ...RAN, duration_ms: 0.01 }], added_headers: [], logs: [] };

/** A run that writes a record into a ring, removes it and reads it. */
function through(
  encode: (id: number) => readonly Uint8Array[],
  decode: (records: Records) => unknown,
): LeafRun {
  const ring = openRing(ringMemory(RING_BYTES));
  const records = new Records(RING_BYTES);
  return (times) => {
    for (let id = 0; id < times; id++) {
      if (!ringPut(ring, encode(id))) throw new Error("the ring is full");
      const taken = ringTake(ring, RING_BYTES, records);
      if (taken?.next() !== true) throw new Error("the ring is empty");
      kept.value = decode(taken);
    }
  };
}

const request = (id: number) => encodeRequest({ id, deadline_ms: 0 }, REQUEST, CHAIN);
const reply = (id: number) => encodeReply(id, REPLY);

/** The leaves of this file: there and back. */
export const POLICY_LEAVES: readonly Leaf[] = [
  {
    name: "request to a policy worker",
    unit: "B",
    times: 20_000,
    open: () => through(request, decodeRequest),
  },
  {
    name: "reply of a policy worker",
    unit: "B",
    times: 20_000,
    open: () => through(reply, decodeReply),
  },
];
