// Generated from sale.schema.json by `arq reducer types`: change that and run it again.

/** `State` of the schema. */
export type State = "open" | "sold" | "unsold";

/** The lot as all see it. */
export type Lot = {
  readonly lot: number;
  readonly state: "open" | "sold" | "unsold" | null;
  readonly title: string | null;
  readonly seller: string | null;
  readonly price: number;
  readonly bidder: string | null;
  readonly closes_ms: number;
};

/** One lot after another. A bid in the last five seconds leaves five more. */
export type Sale = {
  /** Data and answers of the commands. */
  readonly commands: {
    /** Offers a lot, when none is open. */
    readonly offer: readonly [data: {
      readonly title: string;
      /** The least price. */
      readonly price: number;
      readonly seconds: number;
    }, answer: null];
    /** Bids more than the highest bid; the first one at least the least price. */
    readonly bid: readonly [data: {
      readonly amount: number;
    }, answer: null];
    readonly look: readonly [data: undefined, answer: Lot];
  };
  /** Data of the messages. */
  readonly events: {
    readonly lot: Lot;
  };
  /** The visible values. */
  readonly values: {
    /** Its number, from 1. */
    readonly lot: number;
    readonly state: State;
    readonly title: string;
    readonly seller: string;
    /** The highest bid; the least price without one. */
    readonly price: number;
    /** Who has bid most; empty: nobody yet. */
    readonly bidder: string;
    readonly closes_ms: number;
  };
};
