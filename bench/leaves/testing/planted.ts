/**
 * Two leaves for a test of the gate: `copied` copies 64 bytes; `copied and noted` makes more garbage, like code whose
 * author forgot that it runs for each message.
 */
import { kept, type Leaf, type LeafRun } from "../leaf.ts";

const source = new Uint8Array(64).fill(0x61);

function copied(): LeafRun {
  return (times) => {
    for (let index = 0; index < times; index++) kept.value = source.slice();
  };
}

function copiedAndNoted(): LeafRun {
  return (times) => {
    for (let index = 0; index < times; index++) {
      kept.value = { bytes: source.slice(), note: [index, index + 1, index + 2] };
    }
  };
}

/** The list of leaves for the child process, which selects one by name. */
export const LEAVES: readonly Leaf[] = [
  { name: "copied", unit: "B", times: 20_000, open: copied },
  { name: "copied and noted", unit: "B", times: 20_000, open: copiedAndNoted },
];
