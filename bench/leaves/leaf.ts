/**
 * What a hot leaf is to the regression gate: a piece of the message path that is called for each
 * message, and how to call it. Not its measuring (`leaves_child.ts`) nor its judging (`compare.ts`).
 */

/** A leaf whose garbage is counted. */
export interface AllocationLeaf {
  readonly name: string;
  readonly unit: "B";
  /** Operations of a round: enough that what surrounds the round does not show in one of them. */
  readonly times: number;
  /** Readies everything that is there before a message comes. */
  open(): LeafRun | Promise<LeafRun>;
}

/** Runs so many operations, and resolves when the last has had its effect. */
export type LeafRun = (times: number) => void | Promise<void>;

/** A leaf with a figure that is the same at every run. */
export interface CountLeaf {
  readonly name: string;
  /** Instruction units of metered code. */
  readonly unit: "units";
  count(): Promise<number>;
}

/** One line of the table. */
export type Leaf = AllocationLeaf | CountLeaf;

/** What one leaf came to: bytes of garbage, or units, of one operation. */
export interface LeafFigure {
  readonly name: string;
  readonly unit: Leaf["unit"];
  readonly value: number;
}

/** Results go here, so that the engine cannot leave out what nobody reads. */
export const kept: { value: unknown } = { value: undefined };
