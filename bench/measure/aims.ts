/** The aims of a scenario beside its figures. A missed one is a finding and does not fail the run. */
import { renderTable } from "./table.ts";

/** One aim, with its figure. */
export interface Aim {
  readonly name: string;
  readonly measured: number;
  /** The figure of the round that was disturbed least; absent where there are no rounds. */
  readonly least?: number;
  readonly bound: number;
  readonly unit: string;
  /** Whether more is better; else the figure must stay below the bound. */
  readonly at_least?: true;
}

/** The table of the aims, one row for each. */
export function renderAims(aims: readonly Aim[]): string {
  const shown = (value: number | undefined, unit: string) =>
    value === undefined ? "" : `${value.toFixed(unit === "x" ? 2 : 0)} ${unit}`;
  const verdict = ({ measured, least, bound, at_least }: Aim) => {
    const met = (value: number) => at_least ? value >= bound : value < bound;
    return met(measured) ? "met" : least !== undefined && met(least) ? "undisturbed" : "missed";
  };
  return renderTable(aims, [
    ["aim", ({ name }) => name],
    ["bound", ({ bound, unit, at_least }) => `${at_least ? ">=" : "<"} ${shown(bound, unit)}`],
    ["measured", ({ measured, unit }) => shown(measured, unit)],
    ["least disturbed", ({ least, unit }) => shown(least, unit)],
    ["", verdict],
  ]);
}
