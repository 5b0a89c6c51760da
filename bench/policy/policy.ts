/** The scenario `policy`: the cost of the Overseer, in parts; each part has its own file. */
import { part, type Parts, runParts } from "../measure/parts.ts";
import { scenario } from "../measure/scenario.ts";
import { measurePrice, renderPrice } from "./policy_price.ts";
import { measureWorst, renderWorst } from "./policy_worst.ts";

/** The parts by name, in the order in which they run. */
const PARTS: Parts = {
  price: ({ rounds, seconds }) => part(measurePrice(rounds, seconds), renderPrice),
  worst: ({ rounds }) => part(measureWorst(rounds), renderWorst),
};

/** The scenario of `deno task bench policy`. */
export const POLICY = scenario(
  "policy",
  `what policies cost. In turns within one run: the messages per CPU second of the whole
process of a bus with and without a policy and with one that keeps state, and what a policy adds to the
delay; the time of a unit with the worst operands of every instruction beside a reference loop.`,
  {
    only: ["", "price, worst; with commas; all"],
    rounds: [5, "turns of each row; medians over them count"],
    seconds: [2, "counted time of a turn of price"],
  },
  async (values) => {
    const { report, tables } = await runParts(PARTS, values);
    return { report, table: tables.join("\n\n") };
  },
);
