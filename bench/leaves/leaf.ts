/**
 * A hot leaf of the regression gate: a piece of the message path that is called for each message, and how to
 * call it. `leaves_child.ts` measures leaves, `compare.ts` judges them.
 */

/** A leaf whose garbage is counted. */
export interface AllocationLeaf {
  readonly name: string;
  readonly unit: "B";
  /** Operations of a round, so many that the cost around a round does not show in one operation. */
  readonly times: number;
  /** Prepares everything that exists before a message comes. */
  open(): LeafRun | Promise<LeafRun>;
}

/** Runs so many operations, and resolves when the last one has had its effect. */
export type LeafRun = (times: number) => void | Promise<void>;

/** A leaf whose figure is the same in every run. */
export interface CountLeaf {
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

/** The last result, kept here so that the engine cannot leave out what nobody reads. */
export const kept: { value: unknown } = { value: undefined };
