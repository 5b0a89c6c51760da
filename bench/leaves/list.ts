/** The list of all leaves of the regression gate. A new leaf is one more line in the file of its kind. */
import type { Leaf } from "./leaf.ts";
import { PATH_LEAVES } from "./path_leaves.ts";
import { POLICY_LEAVES } from "./policy_leaves.ts";
import { PROCESS_LEAVES } from "./process_leaves.ts";
import { WIRE_LEAVES } from "./wire_leaves.ts";

/** All leaves, in the order in which they are shown. */
export const LEAVES: readonly Leaf[] = [
  ...WIRE_LEAVES,
  ...PATH_LEAVES,
  ...PROCESS_LEAVES,
  ...POLICY_LEAVES,
];
