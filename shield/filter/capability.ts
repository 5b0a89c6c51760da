/** The filters capability of a Shield. */
import type { Capability } from "../capability.ts";
import { SCHEMAS } from "../schema/capability.ts";
import { type Filters, startFilters } from "./filters.ts";

/** Subscribers receive what matches their own filter, and what their claims allow. */
export const FILTERS: Capability<Filters> = {
  name: "filters",
  title: "subscribers receive what they have asked for, and what their claims let them have",
  open({ config, registry }, { stats, running }) {
    const schemas = running.of(SCHEMAS)?.gate;
    const { ledger } = running.given;
    const filters = startFilters(config.filters, registry, { stats, schemas, ledger });
    return { own: filters, gives: { filters, shares: filters.shares } };
  },
};
