/**
 * A hot leaf of the regression gate: code that runs for each message, with a way to call it. `leaves_child.ts` measures
 * leaves, `compare.ts` compares them with the record.
 */

/** A leaf with counted garbage. */
export interface AllocationLeaf {
  readonly name: string;
  readonly unit: "B";
  /** Operations of a round: enough to make the cost around a round negligible for one operation. */
  readonly times: number;
  /** Prepares everything that exists before a message arrives. */
  open(): LeafRun | Promise<LeafRun>;
}

/** Runs this number of operations. Resolves when the last one has had its effect. */
export type LeafRun = (times: number) => void | Promise<void>;

/** A leaf whose figure is the same in every run. */
interface CountLeaf {
  readonly name: string;
  /** The unit: instruction units of metered code. */
  readonly unit: "units";
  count(): Promise<number>;
}

/** A leaf of either kind, one line of the table. */
export type Leaf = AllocationLeaf | CountLeaf;

/** The figure of one leaf for one operation: bytes of garbage, or units. */
export interface LeafFigure {
  readonly name: string;
  readonly unit: Leaf["unit"];
  readonly value: number;
}

/** Stores the last result, so that the engine cannot remove unused code. */
export const kept: { value: unknown } = { value: undefined };
